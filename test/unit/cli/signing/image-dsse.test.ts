/** `sign image`, `sign dsse` and `verify` of what they make, as a user meets them. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { loadSignGroup } from '../../../../src/cli/commands/sign/group.ts';
import { verifyCommand } from '../../../../src/cli/commands/verify.ts';
import { runCommandLine } from '../../../../src/cli/command.ts';
import { decodeEnvelope } from '../../../../src/formats/dsse/envelope.ts';
import { addHashFooterToFile } from '../../../../src/signing/avb/hash-footer.ts';
import { keySigner } from '../../../../src/signing/signer.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';
import { keys, signElsewhere } from './bench.ts';

const signCommands = await loadSignGroup();

const pairs = { old: keys.one, new: keys.two, ec: keys.ec };
const TYPE = 'application/vnd.example+json';

let folder: string;
const at = (name: string): string => join(folder, name);

async function microbuild(
  ...argv: string[]
): Promise<{ status: number; stdout: string; stderr: string }> {
  let stdout = '';
  let stderr = '';
  const status = await runCommandLine(argv, [signCommands, verifyCommand], {
    terminal: {
      interactive: false,
      out: (text) => (stdout += `${text}\n`),
      err: (text) => (stderr += `${text}\n`),
      style: (_style, text) => text,
    },
    env: { MICROBUILD_KEYS: at('no-keys') },
    signal: new AbortController().signal,
    version: '0',
  });
  return { status, stdout, stderr };
}
async function succeed(...argv: string[]): Promise<string> {
  const { status, stdout, stderr } = await microbuild(...argv);
  expect([status, stderr]).toEqual([0, '']);
  return stdout;
}

beforeEach(async () => {
  folder = tmpDir();
  for (const [name, { privateKey, publicKey }] of Object.entries(pairs)) {
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' });
    writeFileSync(at(`${name}.pem`), pem, { mode: 0o600 });
    writeFileSync(at(`${name}.pub`), publicKey.export({ format: 'pem', type: 'spki' }));
  }
  writeFileSync(at('manifest.json'), '{"a":1}');
  writeFileSync(at('boot.img'), new Uint8Array(10_000).fill(1));
  await addHashFooterToFile(at('boot.img'), {
    partitionName: 'boot',
    partitionSize: 'dynamic',
    vbmeta: { algorithm: 'SHA256_RSA2048', signer: keySigner(pairs.old.privateKey) },
  });
});

describe('sign image', () => {
  test('writes to another file, or in place, and verify says who signed', async () => {
    const before = readFileSync(at('boot.img'));
    const line = ['sign', 'image', at('boot.img'), '--key', at('new.pem'), '--rollback-index=7'];
    await succeed(...line, '-o', at('out.img'), '--prop', 'a:b');
    expect(readFileSync(at('boot.img')).equals(before)).toBe(true);
    const json = JSON.parse(await succeed(...line, '--prop=a:b', '--json')) as object;
    expect(json).toMatchObject({
      before: { rollbackIndex: '0', properties: {} },
      after: { rollbackIndex: '7', properties: { a: '62' } },
    });
    expect(readFileSync(at('boot.img')).equals(readFileSync(at('out.img')))).toBe(true);

    const verify = ['verify', at('out.img'), '--minimum-rollback-index=7'];
    expect(await succeed(...verify, '--trust', at('new.pub'))).toContain(
      'verified: rollback index 7',
    );
    const unknown = await microbuild('verify', at('out.img'));
    expect(unknown).toMatchObject({
      status: 3,
      stderr: expect.stringMatching(
        /signed by RSA-2048 key sha256:[0-9a-f]{64}, which nothing here trusts[^]*--trust sha256:/,
      ) as string,
    });
    const old = await microbuild(...verify, '--trust', at('old.pub'), '--json');
    expect([old.status, JSON.parse(old.stdout)]).toMatchObject([3, { verified: false }]);
    const trust = ['--trust', at('new.pub')];
    const late = await microbuild('verify', at('out.img'), '--minimum-rollback-index=8', ...trust);
    expect([late.status, late.stderr]).toEqual([
      3,
      expect.stringContaining('index is 7, 8 or more'),
    ]);
  });

  test('is what sign does with such a file', async () => {
    expect(await succeed('sign', at('boot.img'), '--key', at('new.pem'))).toContain(
      'signed with SHA256_RSA2048',
    );
  });

  test('trusts a key by its digest', async () => {
    const { stdout } = await microbuild('verify', at('boot.img'), '--json');
    const { key } = JSON.parse(stdout) as { key: string };
    expect(await succeed('verify', at('boot.img'), '--trust', key)).toContain('verified:');
    const other = `sha512:${'ab'.repeat(64)}`;
    const wrong = await microbuild('verify', at('boot.img'), '--trust', other);
    expect([wrong.status, wrong.stderr]).toEqual([
      3,
      expect.stringContaining('nothing here trusts'),
    ]);
    const short = await microbuild('verify', at('boot.img'), '--trust', 'sha256:abcd');
    expect([short.status, short.stderr]).toEqual([2, expect.stringContaining('no sha256 digest')]);
  });

  test.each([
    [['--key', 'ec.pem'], 'this is ec'],
    [['--key', 'new.pem', '--algorithm', 'NONE'], 'that is no signature'],
    [['--key', 'new.pem', '--algorithm', 'SHA1'], 'known are'],
    [['--key', 'new.pem', '--chain-key', 'vendor'], 'PARTITION=KEY'],
    [['--key', 'new.pem', '--rollback-index', '-1'], 'it is negative'],
    [['--key', 'new.pem', '--partition-size', '8192'], 'bytes are needed'],
    [['--key', 'new.pem', '--output', 'boot.img'], 'it is'],
    [[], '--key'],
  ])('refuses %j', async (options, said) => {
    const before = readFileSync(at('boot.img'));
    const words = options.map((word) => (/\.(?:pem|img)$/.test(word) ? at(word) : word));
    const { status, stderr } = await microbuild('sign', 'image', at('boot.img'), ...words);
    expect([status, stderr]).toEqual([2, expect.stringContaining(said)]);
    expect(readFileSync(at('boot.img')).equals(before)).toBe(true);
  });
});

describe('sign dsse', () => {
  const sign = (...more: string[]): string[] => [
    'sign',
    'dsse',
    at('manifest.json'),
    '--payload-type',
    TYPE,
    '--key',
    at('new.pem'),
    '-o',
    at('m.dsse.json'),
    ...more,
  ];

  test('makes an envelope to which others add, and which verify counts', async () => {
    await succeed(...sign());
    const add = ['sign', 'dsse', at('m.dsse.json'), '--add', '--key', at('ec.pem')];
    await succeed(...add, '-o', at('m.dsse.json'));
    const { payload, payloadType, signatures } = decodeEnvelope(readFileSync(at('m.dsse.json')));
    expect([Buffer.from(payload).toString(), payloadType, signatures.length]).toEqual([
      '{"a":1}',
      TYPE,
      2,
    ]);
    const trust = ['new', 'ec', 'old'].flatMap((name) => ['--trust', at(`${name}.pub`)]);
    const verify = ['verify', at('m.dsse.json'), ...trust];
    expect(JSON.parse(await succeed(...verify, '--threshold=2', '--json'))).toMatchObject({
      verified: true,
      signedBy: [at('new.pub'), at('ec.pub')],
    });
    for (const [options, code, said] of [
      [['--threshold=3'], 3, 'only 2 of the trusted keys'],
      [['--threshold=4'], 2, '3 different keys'],
      [['--payload-type', 'other'], 3, 'another type'],
      [['--minimum-rollback-index', '1'], 2, 'means nothing'],
    ] as const) {
      const { status, stderr } = await microbuild(...verify, ...options);
      expect([status, stderr]).toEqual([code, expect.stringContaining(said)]);
    }
    const none = await microbuild('verify', at('m.dsse.json'));
    expect([none.status, none.stderr]).toEqual([3, expect.stringContaining('--trust')]);
  });

  test('is refused without a type, with another one, or for what is no envelope', async () => {
    const untyped = ['sign', 'dsse', at('manifest.json'), '--key', at('new.pem'), '-o', at('x')];
    await succeed(...sign());
    const added = ['sign', 'dsse', at('m.dsse.json'), '--key', at('new.pem'), '-o', at('x')];
    for (const [argv, code, said] of [
      [untyped, 2, '--payload-type'],
      [[...added, '--add', '--payload-type', 'other'], 2, `it says ${TYPE}`],
      [[...untyped, '--add'], 1, 'payloadType is not a text'],
    ] as const) {
      const { status, stderr } = await microbuild(...argv);
      expect([status, stderr]).toEqual([code, expect.stringContaining(said)]);
    }
    expect(existsSync(at('x'))).toBe(false);
  });
});

describe('in two phases', () => {
  test('an image changes only when its signature is there, and gets the bytes of signing at once', async () => {
    const before = readFileSync(at('boot.img'));
    const line = ['sign', 'image', at('boot.img'), '--rollback-index', '7'];
    await succeed(...line, '--key', at('new.pem'), '-o', at('direct'));
    await succeed(...line, '--key', at('new.pub'), '--prepare', at('request'));
    expect(readFileSync(at('boot.img')).equals(before)).toBe(true);
    expect(signElsewhere(at('request'))).toBe(1);
    await succeed('sign', '--attach', at('request'));
    expect(readFileSync(at('boot.img')).equals(readFileSync(at('direct')))).toBe(true);
  });

  test('an envelope is the same, and takes a signature of another kind of key', async () => {
    const line = ['sign', 'dsse', at('manifest.json'), '--payload-type', TYPE];
    await succeed(...line, '--key', at('new.pem'), '-o', at('direct'));
    await succeed(...line, '--key', at('new.pub'), '-o', at('phased'), '--prepare', at('one'));
    expect(signElsewhere(at('one'))).toBe(1);
    await succeed('sign', '--attach', at('one'));
    expect(readFileSync(at('phased'), 'utf8')).toBe(readFileSync(at('direct'), 'utf8'));
    const add = ['sign', 'dsse', at('phased'), '--add', '--key', at('ec.pub'), '-o', at('both')];
    await succeed(...add, '--prepare', at('two'));
    expect(signElsewhere(at('two'), 'raw')).toBe(1);
    await succeed('sign', '--attach', at('two'));
    const trust = ['new', 'ec'].flatMap((name) => ['--trust', at(`${name}.pub`)]);
    await succeed('verify', at('both'), ...trust, '--threshold=2');
  });
});
