/** `--profile release` and `--audit-log` around a command that signs. */

import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ensureDevelopmentKeys } from '../../../../src/signing/keys/development.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';
import { copyHello } from '../../../support/recipes.ts';
import {
  keys,
  microbuild,
  openBench,
  readRequest,
  reviewed,
  signElsewhere,
  type Run,
} from './bench.ts';

let at: (name: string) => string;
beforeEach(() => {
  at = openBench();
});
afterEach(() => {
  reviewed.length = 0;
});

const line = (key: string): string[] => [
  'sign',
  'thing',
  at('thing.bin'),
  '--key',
  key,
  '-o',
  at('out'),
  '--profile',
  'release',
  '--release-log',
  at('releases.json'),
];

const release = (key = at('one.pem'), ...more: string[]): Promise<Run> =>
  microbuild([...line(key), ...more]);

const vbmeta = (rollbackIndex: bigint, name = 'hello/kernel') =>
  ({ kind: 'vbmeta', name, algorithm: 'SHA256_RSA4096', rollbackIndex }) as const;

const indexes = (): unknown =>
  (JSON.parse(readFileSync(at('releases.json'), 'utf8')) as { rollbackIndexes: unknown })
    .rollbackIndexes;

describe('a release', () => {
  test('is signed with a key of its own, with a warning where its file is not encrypted', async () => {
    const { privateKey } = keys.one;
    const der = { type: 'pkcs8', format: 'der' } as const;
    writeFileSync(at('one.der'), privateKey.export(der), { mode: 0o600 });
    for (const name of ['one.pem', 'one.der']) {
      const { status, stderr } = await release(at(name));
      // One key for both: it is said once.
      expect([status, stderr.split(`${name} is not encrypted`).length]).toEqual([0, 2]);
    }
    expect(existsSync(at('releases.json'))).toBe(false);

    const secret = { cipher: 'aes-256-cbc', passphrase: 'a pass phrase' } as const;
    const encrypted = privateKey.export({ type: 'pkcs8', format: 'pem', ...secret });
    writeFileSync(at('encrypted.pem'), encrypted, { mode: 0o600 });
    const words = [...line(at('encrypted.pem')), '--key-pass', 'env:PASS'];
    const run = await microbuild(words, { PASS: secret.passphrase });
    expect([run.status, run.stderr]).toEqual([0, '']);
  });

  test('is not signed with a development key', async () => {
    const { payload } = await ensureDevelopmentKeys(at('keys'), { imageBits: 2048 });
    const beside = await release(payload.path);
    expect([beside.status, beside.stderr]).toEqual([3, expect.stringContaining('development key')]);
    // A copy elsewhere is the same key.
    writeFileSync(at('copy.pem'), readFileSync(payload.path), { mode: 0o600 });
    const copied = await microbuild(line(at('copy.pem')), { MICROBUILD_KEYS: at('keys') });
    expect(copied.status).toBe(3);
    expect(existsSync(at('out'))).toBe(false);
  });

  test.skipIf(corpus === undefined)('is not signed with a published key', async () => {
    const key = corpusPath('sig-avb', 'keys', 'testkey_rsa2048.pem');
    writeFileSync(at('known.pem'), readFileSync(key), { mode: 0o600 });
    const { status, stdout, stderr } = await release(at('known.pem'), '--json');
    expect(status).toBe(3);
    expect(stderr).toContain('AOSP avb testkey_rsa2048');
    expect(JSON.parse(stdout)).toMatchObject({
      error: { code: 'published-key', link: 'release-policy' },
    });
    const ours = ['sign', 'thing', at('thing.bin'), '--key', at('known.pem'), '-o', at('out')];
    const development = await microbuild(ours);
    expect([development.status, development.stderr]).toEqual([
      0,
      expect.stringContaining('is a published test key'),
    ]);
  });

  test('is told all that is against it at once', async () => {
    reviewed.push({ ...vbmeta(1n), algorithm: 'NONE', flags: 2 });
    const { status, stderr } = await release();
    expect(status).toBe(3);
    expect(stderr).toContain('its algorithm is NONE');
    expect(stderr).toContain('turns verification off');
    expect(existsSync(at('out'))).toBe(false);
  });

  test('never goes below the rollback index of the last', async () => {
    reviewed.push(vbmeta(7n));
    expect((await release()).status).toBe(0);
    expect(indexes()).toEqual({ 'hello/kernel': '7' });
    reviewed[0] = vbmeta(6n);
    const lower = await release();
    expect([lower.status, lower.stderr]).toEqual([3, expect.stringContaining('7 was released')]);
    reviewed[0] = vbmeta(7n);
    expect((await release()).status).toBe(0);
    reviewed[0] = { ...vbmeta(1n), rollbackIndexLocation: 2 };
    reviewed[1] = vbmeta((1n << 64n) - 1n);
    expect((await release()).status).toBe(0);
    expect(indexes()).toEqual({ 'hello/kernel': '18446744073709551615', 'hello/kernel#2': '1' });
  });

  test('counts as released when it is signed, not when it is prepared', async () => {
    reviewed.push(vbmeta(9n));
    const request = at('request');
    expect((await release(at('one.pub'), '--prepare', request)).status).toBe(0);
    expect(existsSync(at('releases.json'))).toBe(false);
    for (const status of [5, 0]) {
      signElsewhere(request);
      expect((await microbuild(['sign', '--attach', request])).status).toBe(status);
      expect(existsSync(at('releases.json'))).toBe(status === 0);
    }
    expect(indexes()).toEqual({ 'hello/kernel': '9' });
    expect(readRequest(request).job.arguments).toContain('release');
  });

  test('stops where what was released before is not readable', async () => {
    writeFileSync(at('releases.json'), '{"schemaVersion":1,"rollbackIndexes":{"x":7}}');
    const { status, stderr } = await release();
    expect([status, stderr]).toEqual([1, expect.stringContaining('rollbackIndexes.x is not')]);
  });

  test('asks for more than development, which refuses nothing', async () => {
    reviewed.push({ kind: 'apk', name: 'a.apk', debuggable: true });
    expect((await release()).stderr).toContain('android:debuggable');
    const ours = ['sign', 'thing', at('thing.bin'), '--key', at('one.pem'), '-o', at('out')];
    expect((await microbuild(ours)).status).toBe(0);
  });
});

test('a build of a release takes what the lock pins, and nothing else', async () => {
  const recipe = copyHello(at('hello'));
  const image = (...more: string[]): Promise<Run> =>
    microbuild(['image', recipe, '-o', at('bundle'), '--profile', 'release', ...more]);
  const logs = ['--release-log', at('releases.json')];
  const relocked = await image('--relock', ...logs);
  expect([relocked.status, relocked.stderr]).toEqual([
    3,
    expect.stringContaining('nothing pins: linux-image-cloud-amd64, musl'),
  ]);
  rmSync(at('hello/microbuild.lock'));
  expect((await image(...logs)).stderr).toContain(`Pin it: microbuild lock ${recipe}`);
  expect(existsSync(at('bundle'))).toBe(false);
});

describe('the audit log', () => {
  const log = (): Record<string, unknown>[] =>
    readFileSync(at('log'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((each) => JSON.parse(each) as Record<string, unknown>);
  const signed = (...more: string[]): Promise<Run> =>
    microbuild(
      [
        'sign',
        'thing',
        at('thing.bin'),
        '--key',
        at('one.pem'),
        '-o',
        at('out'),
        '--audit-log',
        at('log'),
        ...more,
      ],
      { GITHUB_ACTOR: 'somebody', GITHUB_RUN_ID: '42', GITHUB_TOKEN: 'CANARY', HOME: '/root' },
    );

  test('has a line for each signature: who, key, digest, verdict', async () => {
    expect((await signed()).status).toBe(0);
    expect(log().map(({ verdict, purpose }) => [verdict, purpose])).toEqual([
      ['signed', expect.stringMatching(/apk-v[23]/)],
      ['signed', expect.stringMatching(/apk-v[23]/)],
      ['signed', 'apk-v4'],
    ]);
    expect(log()[0]).toMatchObject({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
      artefact: 'thing.bin',
      key: at('one.pem'),
      keyId: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      dataSha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      algorithm: 'SHA256withRSA',
      command: 'sign thing',
      profile: 'development',
      mode: 'direct',
      ci: { GITHUB_ACTOR: 'somebody', GITHUB_RUN_ID: '42' },
    });
    expect(statSync(at('log')).mode & 0o777).toBe(0o600);
    expect(readFileSync(at('log'), 'utf8')).not.toContain('CANARY');
    expect((await signed()).status).toBe(0);
    expect(log()).toHaveLength(6);
  });

  test('has what was requested, and then what was attached', async () => {
    const request = at('request');
    expect((await signed('--prepare', request)).status).toBe(0);
    expect(log().map(({ verdict, mode }) => [verdict, mode])).toEqual([
      ['requested', 'prepare'],
      ['requested', 'prepare'],
    ]);
    signElsewhere(request);
    const attach = ['sign', '--attach', request, '--audit-log', at('log')];
    expect((await microbuild(attach)).status).toBe(5);
    signElsewhere(request);
    expect((await microbuild(attach)).status).toBe(0);
    expect(
      log()
        .slice(-3)
        .map(({ verdict, mode }) => [verdict, mode]),
    ).toEqual(Array.from({ length: 3 }, () => ['signed', 'attach']));
  });

  test('has what was refused, with the reason', async () => {
    reviewed.push(vbmeta(1n));
    writeFileSync(
      at('releases.json'),
      '{"schemaVersion":1,"rollbackIndexes":{"hello/kernel":"5"}}',
    );
    expect((await release(at('one.pem'), '--audit-log', at('log'))).status).toBe(3);
    expect(log()).toEqual([
      expect.objectContaining({
        verdict: 'refused',
        artefact: 'hello/kernel',
        reason: expect.stringContaining('5 was released before') as string,
        profile: 'release',
      }),
    ]);
  });

  test('is checked, and tells whether it was changed', async () => {
    expect((await signed()).status).toBe(0);
    const check = ['sign', 'audit', at('log')];
    const whole = await microbuild(check);
    expect([whole.status, whole.stdout]).toEqual([
      0,
      expect.stringMatching(/3 lines: 3 signed\n {2}last line {2}sha256 [0-9a-f]{64}\nno line is/),
    ]);
    const [one = '', , three = ''] = readFileSync(at('log'), 'utf8').trimEnd().split('\n');
    writeFileSync(at('log'), `${one}\n${three}\n`);
    const cut = await microbuild([...check, '--json']);
    expect(cut.status).toBe(3);
    expect(JSON.parse(cut.stdout)).toMatchObject({
      lines: 2,
      problems: [{ line: 2, problem: 'the line before it was changed or taken away' }],
    });
  });

  test('of a release is kept beside its release log, asked for or not', async () => {
    expect((await release()).status).toBe(0);
    const lines = readFileSync(at('microbuild.audit.jsonl'), 'utf8').trimEnd().split('\n');
    expect(lines).toHaveLength(3);
  });

  test('that cannot be written stops the signature', async () => {
    mkdirSync(at('folder'));
    for (const path of [at('folder'), join(at('none'), 'log'), '/dev/full']) {
      const run = await microbuild([
        'sign',
        'thing',
        at('thing.bin'),
        '--key',
        at('one.pem'),
        '-o',
        at('out'),
        '--audit-log',
        path,
      ]);
      expect([run.status, run.stderr]).toEqual([2, expect.stringContaining('audit log')]);
      expect(existsSync(at('out'))).toBe(false);
    }
  });
});
