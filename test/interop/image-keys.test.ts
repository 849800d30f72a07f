/** A build with the keys of a pipeline, which no recipe names: encrypted, in a store, behind a program. */

import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSandbox, type CliResult } from '../support/cli.ts';
import { copyHello } from '../support/recipes.ts';
import { runTool } from '../support/tools.ts';

const sandbox = openSandbox();
afterAll(() => sandbox.dispose());
const at = (name: string): string => join(sandbox.folder, name);

const secrets = { IMAGE_PASS: 'image phrase', STORE_PASS: 'store phrase' };

const image = (args: readonly string[], env: NodeJS.ProcessEnv = secrets): Promise<CliResult> =>
  sandbox.microbuild(['image', at('hello'), ...args], env);

async function ok(result: Promise<CliResult>): Promise<CliResult> {
  const { status, stdout, stderr } = await result;
  expect([status, status === 0 ? '' : stderr]).toEqual([0, '']);
  return { status, stdout, stderr };
}

beforeAll(async () => {
  copyHello(at('hello'));
  const generate = (...args: string[]): Promise<CliResult> =>
    ok(sandbox.microbuild(['keys', 'generate', ...args], secrets));
  await generate(at('image.pem'), '--type', 'rsa2048', '--key-pass', 'env:IMAGE_PASS');
  await generate(at('plain.pem'), '--type', 'rsa2048');
  await generate(at('apk.pem'), '--type', 'p256', '--cert', at('apk.crt'), '--subject', 'Release');
  for (const args of [
    [
      'pkcs12',
      '-export',
      '-inkey',
      'apk.pem',
      '-in',
      'apk.crt',
      '-passout',
      'env:STORE_PASS',
      '-out',
      'apk.p12',
    ],
    ['pkey', '-in', 'plain.pem', '-pubout', '-out', 'plain.pub'],
  ]) {
    const env = { ...process.env, ...secrets };
    expect(runTool('openssl', args, { cwd: sandbox.folder, env }).status).toBe(0);
  }
  chmodSync(at('apk.p12'), 0o600);
  writeFileSync(
    at('helper'),
    `#!/bin/sh\ncat > "$0.$$"\nopenssl pkeyutl -sign -inkey ${at('plain.pem')} -in "$0.$$" -pkeyopt digest:$2\n`,
    { mode: 0o755 },
  );
});

describe('microbuild image', () => {
  test('signs with an encrypted key and one of a store, and says so in the audit log', async () => {
    const built = await ok(
      image([
        '-o',
        at('bundle'),
        '--image-key',
        at('image.pem'),
        '--image-key-pass',
        'env:IMAGE_PASS',
        '--payload-key',
        `p12:${at('apk.p12')}`,
        '--payload-key-pass',
        'env:STORE_PASS',
        '--profile',
        'release',
        '--release-log',
        at('releases.json'),
        '--audit-log',
        at('audit.log'),
      ]),
    );
    await ok(
      sandbox.microbuild(
        [
          'keys',
          'export-avb',
          at('image.pem'),
          '--key-pass',
          'env:IMAGE_PASS',
          '-o',
          at('image.avb'),
        ],
        secrets,
      ),
    );
    const verified = await ok(
      sandbox.microbuild(['verify', at('bundle'), '--trust', at('image.avb')]),
    );
    expect(verified.stdout).toContain('release keys');
    const audit = readFileSync(at('audit.log'), 'utf8');
    const purposes = audit
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { purpose: string }).purpose);
    expect(new Set(purposes)).toEqual(new Set(['vbmeta', 'apk-v3', 'apk-v4', 'dsse']));
    for (const secret of Object.values(secrets)) {
      expect(audit + built.stdout + built.stderr).not.toContain(secret);
    }
    // Both images count the releases of this one.
    expect(readFileSync(at('releases.json'), 'utf8')).toContain('hello/');
  });

  test('gives the same bytes when a program signs', async () => {
    const payload = ['--payload-key', at('plain.pem')];
    await ok(image(['-o', at('direct'), '--image-key', at('plain.pem'), ...payload]));
    const reference = `helper:${at('helper')}?public-key=${at('plain.pub')}`;
    await ok(image(['-o', at('helped'), '--image-key', reference, ...payload]));
    for (const name of ['kernel', 'os.img', 'payload.img', 'manifest.json']) {
      const [direct, helped] = ['direct', 'helped'].map((bundle) =>
        readFileSync(at(`${bundle}/${name}`)),
      );
      expect(helped?.equals(direct ?? Buffer.alloc(0))).toBe(true);
    }
  });

  test.each([
    [
      'a pass phrase that is wrong',
      ['--image-key', 'image.pem', '--key-pass', 'env:STORE_PASS'],
      /wrong/,
    ],
    ['no pass phrase', ['--image-key', 'image.pem'], /--key-pass env:NAME/],
    [
      'development keys for a release',
      ['--profile', 'release', '--audit-log', '/dev/null'],
      /development key/,
    ],
    [
      'a program that is not there',
      ['--image-key', 'helper:absent?public-key=plain.pub'],
      /absent/,
    ],
  ])('leaves nothing behind with %s', async (_, args, message) => {
    const words = args.map((word) =>
      word.replace(
        /^(helper:\w+\?public-key=)?(\w+\.(?:pem|pub))$/,
        (_all, head = '', name: string) => `${head}${at(name)}`,
      ),
    );
    const { status, stderr } = await image(['-o', at('none'), ...words]);
    expect(status).not.toBe(0);
    expect(stderr).toMatch(message);
    expect(existsSync(at('none'))).toBe(false);
  });
});
