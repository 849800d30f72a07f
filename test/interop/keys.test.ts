/** `microbuild keys` as users meet it; what it makes is judged by openssl, keytool and avbtool's format. */

import { spawn } from 'node:child_process';
import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { publicKeyOfAvb } from '../../src/signing/avb/public-key.ts';
import { corpus, corpusPath } from '../support/corpus.ts';
import { openSandbox, type CliResult } from '../support/cli.ts';
import { runTool } from '../support/tools.ts';

const sandbox = openSandbox();
afterAll(() => sandbox.dispose());
const at = (name: string): string => join(sandbox.folder, name);

const PHRASE = 'correct horse';
/** Of util-linux: runs a program on a terminal of its own. */
const TERMINAL = 'script';

const keys = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<CliResult> =>
  sandbox.microbuild(['keys', ...args], env);

interface Facts {
  readonly kind: string;
  readonly publicKey: { readonly sha256: string };
  readonly avb: { readonly sha256: string; readonly sha1: string } | null;
  readonly certificates: readonly { readonly sha256: string; readonly subject: string }[];
  readonly published: string | null;
  readonly encrypted: boolean;
}

async function json(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Facts> {
  const { status, stdout, stderr } = await keys([...args, '--json'], env);
  expect(stderr.replaceAll(/^\{.*\}$/gm, '').trim()).toBe('');
  expect(status).toBe(0);
  return JSON.parse(stdout) as Facts;
}

function openssl(args: readonly string[]): string {
  const { status, stdout, stderr } = runTool('openssl', args, {
    cwd: sandbox.folder,
    env: { ...process.env, PHRASE },
  });
  expect(stderr.includes('rror') ? stderr : '').toBe('');
  expect(status).toBe(0);
  return stdout;
}

describe('keys generate', () => {
  test.each([
    ['rsa2048', 'RSA-2048', 'sha256WithRSAEncryption'],
    ['rsa3072', 'RSA-3072', 'sha256WithRSAEncryption'],
    ['p256', 'P-256', 'ecdsa-with-SHA256'],
    ['p384', 'P-384', 'ecdsa-with-SHA384'],
    ['ed25519', 'Ed25519', 'ED25519'],
  ])('%s with a certificate that openssl accepts for its key', async (type, kind, algorithm) => {
    const [key, certificate] = [`${type}.pem`, `${type}.crt`];
    const says =
      "--subject 'CN=Größe, O=Example, C=DE' --not-before 2021-02-03 --not-after 2051-02-03T04:05:06Z";
    const words = (says.match(/'[^']*'|\S+/g) ?? []).map((word) => word.replaceAll("'", ''));
    const made = ['generate', at(key), '--type', type, '--cert', at(certificate), ...words];
    const facts = await json(made);
    expect(facts.kind).toBe(kind);
    expect(facts.encrypted).toBe(false);
    expect(statSync(at(key)).mode & 0o777).toBe(0o600);
    expect(
      openssl(['verify', '-x509_strict', '-CAfile', certificate, '-purpose', 'any', certificate]),
    ).toContain('OK');
    const text = openssl(['x509', '-in', certificate, '-noout', '-text', '-nameopt', 'utf8']);
    expect(text).toContain(`Signature Algorithm: ${algorithm}`);
    expect(text).toContain('CN=Größe, O=Example, C=DE');
    expect(text).toContain('Not Before: Feb  3 00:00:00 2021 GMT');
    expect(text).toContain('Not After : Feb  3 04:05:06 2051 GMT');
    expect(text).toMatch(/Key Usage: critical\s+Digital Signature\s/);
    expect(text).toMatch(/Extended Key Usage:\s+Code Signing\s/);
    // openssl's own idea of the key identifier.
    const own = openssl(['x509', '-in', certificate, '-noout', '-ext', 'subjectKeyIdentifier']);
    const pub = openssl(['pkey', '-in', key, '-pubout', '-outform', 'PEM']);
    expect(openssl(['x509', '-in', certificate, '-noout', '-pubkey'])).toBe(pub);
    expect(own).toMatch(/([0-9A-F]{2}:){19}[0-9A-F]{2}/);
    const spki = createPublicKey(pub).export({ type: 'spki', format: 'der' });
    expect(facts.publicKey.sha256).toBe(createHash('sha256').update(spki).digest('hex'));
    const parsed = new X509Certificate(readFileSync(at(certificate)));
    expect(facts.certificates[0]?.sha256).toBe(
      createHash('sha256').update(parsed.raw).digest('hex'),
    );
  });

  test('encrypted is opened by openssl with the pass phrase, and by us', async () => {
    const facts = await json(
      ['generate', at('secret.pem'), '--type', 'p256', '--key-pass', 'env:PHRASE'],
      { PHRASE },
    );
    expect(facts.encrypted).toBe(true);
    expect(readFileSync(at('secret.pem'), 'utf8')).toContain('BEGIN ENCRYPTED PRIVATE KEY');
    openssl(['pkey', '-in', 'secret.pem', '-passin', 'env:PHRASE', '-noout']);
    const info = await json(['info', at('secret.pem'), '--key-pass', 'env:PHRASE'], { PHRASE });
    expect(info.publicKey).toEqual(facts.publicKey);
  });

  test('never overwrites, and leaves nothing of what it does not finish', async () => {
    writeFileSync(at('taken'), 'mine');
    for (const args of [
      [at('taken')],
      [at('new.pem'), '--cert', at('taken'), '--subject', 'x'],
      [at('new.pem'), '--cert', at('new.pem'), '--subject', 'x'],
      [at('new.pem'), '--cert', at('new.crt')],
      [at('new.pem'), '--subject', 'x'],
      [at('new.pem'), '--cert', at('new.crt'), '--subject', 'x', '--not-after', '2019-01-01'],
      [at('new.pem'), '--cert', at('new.crt'), '--subject', 'x', '--not-after', '2030-02-30'],
      [at('new.pem'), '--type', 'rsa1024'],
      [at('new.pem'), '--key-pass', 'env:EMPTY'],
    ]) {
      const { status, stderr } = await keys(['generate', '--type', 'p256', ...args], { EMPTY: '' });
      expect([status, stderr.split(':')[0]]).toEqual([2, 'error']);
    }
    expect(readFileSync(at('taken'), 'utf8')).toBe('mine');
    expect(readdirSync(sandbox.folder).filter((name) => name.includes('new'))).toEqual([]);
  });

  test('a certificate is opened by keytool', async () => {
    await json([
      'generate',
      at('jvm.pem'),
      '--type',
      'p256',
      '--cert',
      at('jvm.crt'),
      '--subject',
      'CN=jvm',
    ]);
    const { stdout } = runTool('keytool', ['-printcert', '-file', at('jvm.crt')]);
    expect(stdout).toContain('Owner: CN=jvm');
    const { certificates } = await json(['info', at('jvm.crt')]);
    expect(stdout.replaceAll(':', '').toLowerCase()).toContain(certificates[0]?.sha256);
  });
});

describe('of a key', () => {
  test('info and fingerprint tell digests, export-avb writes what avbtool writes', async () => {
    await json(['generate', at('image.pem'), '--type', 'rsa2048']);
    const facts = await json(['info', at('image.pem')]);
    const exported = await json(['export-avb', at('image.pem'), '-o', at('image.avb')]);
    const blob = new Uint8Array(readFileSync(at('image.avb')));
    expect(createHash('sha256').update(blob).digest('hex')).toBe(facts.avb?.sha256);
    expect(createHash('sha1').update(blob).digest('hex')).toBe(facts.avb?.sha1);
    expect(exported).toMatchObject({ sha256: facts.avb?.sha256, size: 520 });
    const pem = openssl(['pkey', '-in', 'image.pem', '-pubout']);
    expect(publicKeyOfAvb(blob).equals(createPublicKey(pem))).toBe(true);
    const avbtool = await sandbox.microbuild([
      'avb',
      'extract_public_key',
      '--key',
      at('image.pem'),
      '--output',
      at('image.avb2'),
    ]);
    expect(avbtool.status).toBe(0);
    expect(readFileSync(at('image.avb2'))).toEqual(Buffer.from(blob));
    const { stdout } = await keys(['fingerprint', at('image.avb')]);
    expect(stdout).toContain(`avb key      sha256:${facts.avb?.sha256}`);
    expect(stdout).toContain(`public key   sha256:${facts.publicKey.sha256}`);
  });

  test('export-avb replaces neither the key nor anything by a key that AVB has not', async () => {
    await json(['generate', at('keep.pem'), '--type', 'ed25519']);
    const before = readFileSync(at('keep.pem'));
    expect((await keys(['export-avb', at('keep.pem'), '-o', at('keep.pem')])).status).toBe(2);
    const refused = await keys(['export-avb', `file:${at('keep.pem')}`, '-o', at('keep.avb')]);
    expect(refused.stderr).toContain('Ed25519');
    expect(readFileSync(at('keep.pem'))).toEqual(before);
  });

  test('a certificate is made anew for a key that has none', async () => {
    await json(['generate', at('bare.pem'), '--type', 'rsa2048']);
    const made = ['certificate', '--key', at('bare.pem'), '--subject', 'Later'];
    for (const name of ['one.crt', 'two.crt']) {
      expect((await keys([...made, '-o', at(name)])).status).toBe(0);
    }
    expect(readFileSync(at('one.crt'))).toEqual(readFileSync(at('two.crt')));
    openssl(['verify', '-CAfile', 'one.crt', '-purpose', 'any', 'one.crt']);
    const { certificates } = await json(['info', at('bare.pem'), '--cert', at('one.crt')]);
    expect(certificates[0]?.subject).toBe('CN=Later');
    expect((await keys([...made, '-o', at('bare.pem')])).status).toBe(2);
  });
});

/** Runs with something on standard input. */
function withInput(args: readonly string[], input: string): Promise<CliResult> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['bin/microbuild.js', 'keys', ...args], {
      stdio: 'pipe',
    });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
    child.on('close', (status) => resolve({ status: status ?? -1, ...output }));
    child.stdin.end(input);
  });
}

/** Runs on a terminal, and types each answer when it is asked for. */
function onTerminal(command: string, answers: readonly string[]): Promise<CliResult> {
  return new Promise((resolve) => {
    const child = spawn(TERMINAL, ['-qefc', command, '/dev/null'], { stdio: 'pipe' });
    let stdout = '';
    let asked = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      if (stdout.split('pass phrase').length - 1 <= asked || !stdout.endsWith(': ')) return;
      const answer = answers[asked++];
      if (answer !== undefined) child.stdin.write(answer);
    });
    child.on('close', (status) => resolve({ status: status ?? -1, stdout, stderr: '' }));
  });
}

describe('a pass phrase', () => {
  test('comes from standard input, a line for each that is asked for', async () => {
    const path = at('piped.pem');
    const made = await withInput(
      ['generate', path, '--type', 'p256', '--key-pass', 'stdin'],
      `${PHRASE}\nrest\n`,
    );
    expect(made.status).toBe(0);
    for (const [input, status] of [
      [`${PHRASE}\n`, 0],
      [PHRASE, 0],
      [`${PHRASE}\r\n`, 0],
      ['other\n', 2],
      ['', 2],
    ] as const) {
      const opened = await withInput(['info', path, '--key-pass', 'stdin'], input);
      expect(opened.status).toBe(status);
      expect(opened.stdout + opened.stderr).not.toContain(PHRASE);
    }
  });

  test('is typed without being shown, and the terminal is as before', async () => {
    const path = at('typed.pem');
    const node = `${process.execPath} bin/microbuild.js keys`;
    const made = await onTerminal(`${node} generate ${path} --type p256 --key-pass prompt`, [
      `${PHRASE}\r`,
      `${PHRASE}\r`,
    ]);
    expect(made.status).toBe(0);
    // A slip, taken back; then the same without being asked to prompt.
    const opened = await onTerminal(`${node} info ${path}; stty -a`, [`${PHRASE}xy\u007f\u007f\r`]);
    expect(opened.stdout).toContain('P-256');
    expect(opened.stdout).toMatch(/ echo /);
    expect(opened.stdout).not.toContain(PHRASE);
    const differing = await onTerminal(`${node} generate ${path}2 --key-pass prompt`, [
      'a\r',
      'b\r',
    ]);
    expect(differing.status).toBe(2);
    const interrupted = await onTerminal(`${node} info ${path}`, ['ab\u0003']);
    expect(interrupted.status).toBe(130);
  });

  test('is asked for where nobody is only when told so, and then it is said', async () => {
    const path = at('typed.pem');
    const { stderr, status } = await withInput(['info', path], '');
    expect(status).toBe(2);
    expect(stderr).toContain('--key-pass env:NAME');
  });

  test('is neither in messages nor in the arguments of what is started', async () => {
    writeFileSync(at('helper'), '#!/bin/sh\ncat /proc/$$/cmdline > "$0.cmdline"; exit 1\n', {
      mode: 0o755,
    });
    await json(['generate', at('h.pem'), '--type', 'p256']);
    openssl(['pkey', '-in', 'h.pem', '-pubout', '-out', 'h.pub']);
    const reference = `helper:${at('helper')}?public-key=${at('h.pub')}&key=name`;
    const failed = await keys(
      ['certificate', '--key', reference, '--subject', 'x', '-o', at('h.crt')],
      { PHRASE },
    );
    expect(failed.status).toBe(1);
    expect(readFileSync(at('helper.cmdline'), 'latin1')).toContain('ecdsa\0sha256\0name');
    expect(failed.stdout + failed.stderr).not.toContain(PHRASE);
  });
});

test.skipIf(corpus === undefined)('a published key is told', async () => {
  const certificate = corpusPath('sig-apksig', 'keys', 'rsa-2048.x509.pem');
  expect((await json(['info', certificate])).published).toBe('AOSP apksig rsa-2048');
  const { stdout } = await keys(['info', certificate]);
  expect(stdout).toContain('everybody can sign with this key');
  await json(['generate', at('fresh.pem'), '--type', 'p256']);
  expect((await json(['info', at('fresh.pem')])).published).toBeNull();
});
