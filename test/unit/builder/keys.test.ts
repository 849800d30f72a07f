import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { keyOpener, resolveKeys, type ChosenKeys } from '../../../src/builder/keys.ts';
import { RecipeError, UsageError } from '../../../src/core/errors.ts';
import { readRecipe } from '../../../src/recipe/parse.ts';
import { keySigner } from '../../../src/signing/signer.ts';
import {
  createSelfSignedCertificate,
  encodeCertificatePem,
  readCertificate,
} from '../../../src/signing/x509.ts';
import { copyHello } from '../../support/recipes.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const image = generateKeyPairSync('rsa', { modulusLength: 2048 });
const payload = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const pem = (pair: typeof image): string =>
  pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;

const encrypted = (pair: typeof image): string =>
  pair.privateKey.export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'phrase',
  }) as string;

/** A project whose recipe has this section `signing`; keys are files in its folder. */
function project(signing: string, files: Readonly<Record<string, string>> = {}): string {
  const folder = copyHello(join(tmpDir(), 'hello'), [['\npayload:\n', `\n${signing}\npayload:\n`]]);
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    chmodSync(join(folder, name), 0o600);
  }
  return folder;
}

async function resolved(
  folder: string,
  chosen: ChosenKeys = {},
  env: NodeJS.ProcessEnv = {},
): Promise<Awaited<ReturnType<typeof resolveKeys>>> {
  const opener = keyOpener({ env });
  try {
    return await resolveKeys(await readRecipe(folder), {
      ...chosen,
      folder: join(folder, '.microbuild', 'keys'),
      open: opener.open,
    });
  } finally {
    await opener.close();
  }
}

const BOTH = 'signing: { image: { key: "file:image.pem" }, payload: { key: payload.pem } }';
const files = { 'image.pem': pem(image), 'payload.pem': pem(payload) };

describe('the keys of a build', () => {
  test('are those of the recipe, relative to it, whatever the current folder is', async () => {
    const keys = await resolved(project(BOTH, files));
    expect(keys.image.signer.publicKey.equals(image.publicKey)).toBe(true);
    expect(keys.payload.signer.publicKey.equals(payload.publicKey)).toBe(true);
    expect([keys.image.development, keys.payload.development]).toEqual([false, false]);
    expect(keys.image.algorithm).toBe('SHA256_RSA2048');
    const certificate = readCertificate(keys.payload.certificateDer);
    expect(certificate.publicKey.equals(payload.publicKey)).toBe(true);
    expect(certificate.subject).toBe('CN=dev.microbuild.hello');
  });

  test('are development keys where none is named', async () => {
    const keys = await resolved(project('# no keys'));
    expect([keys.image.development, keys.payload.development, keys.created]).toEqual([
      true,
      true,
      true,
    ]);
  });

  test('that are named for the build go before those of the recipe, which need not be there', async () => {
    const path = join(tmpDir(), 'other.pem');
    writeFileSync(path, encrypted(ec), { mode: 0o600 });
    const certificate = join(tmpDir(), 'other.crt');
    const der = await createSelfSignedCertificate(keySigner(ec.privateKey), {
      subject: [{ name: 'CN', value: 'other' }],
    });
    writeFileSync(certificate, encodeCertificatePem(der));
    const folder = project(
      'signing: { image: { key: image.pem }, payload: { key: absent.pem, certificate: absent.crt } }',
      { 'image.pem': encrypted(image) },
    );
    const keys = await resolved(
      folder,
      {
        image: { passphrase: 'env:PHRASE' },
        payload: { reference: path, certificate, passphrase: 'env:PHRASE' },
      },
      { PHRASE: 'phrase' },
    );
    expect(keys.image.signer.publicKey.equals(image.publicKey)).toBe(true);
    expect(keys.payload.signer.publicKey.equals(ec.publicKey)).toBe(true);
    expect(keys.payload.certificateDer).toEqual(der);
  });

  test('bring their certificate along, from the file or the store they are in', async () => {
    const der = await createSelfSignedCertificate(keySigner(payload.privateKey), {
      subject: [{ name: 'CN', value: 'along' }],
    });
    const together = pem(payload) + encodeCertificatePem(der);
    const keys = await resolved(project(BOTH, { ...files, 'payload.pem': together }));
    expect(keys.payload.certificateDer).toEqual(der);
  });

  test.each([
    ['a key that is not there', BOTH, { 'image.pem': pem(image) }, /payload\.pem.*ENOENT/],
    ['an encrypted key', BOTH, { ...files, 'image.pem': encrypted(image) }, /pass phrase/],
    ['a kind that is none', 'signing: { image: { key: "kms:x" } }', {}, /kms: is no kind of key/],
    [
      'a certificate without its key',
      'signing: { payload: { certificate: a.crt } }',
      {},
      /without its key/,
    ],
    [
      'a certificate of another key',
      'signing: { image: { key: image.pem }, payload: { key: image.pem, certificate: other.crt } }',
      { 'image.pem': pem(image), 'other.crt': '' },
      /not of key|certificate/,
    ],
  ])('with %s are refused at the line of the recipe', async (_, signing, contents, message) => {
    const error: unknown = await resolved(project(signing, contents)).catch(
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(RecipeError);
    const [problem] = (error as RecipeError).diagnostics;
    expect(problem?.message).toMatch(message);
    expect(problem?.source).toContain('signing');
  });

  test('get the same certificate each time, or need one', async () => {
    const [path, publicPath] = [join(tmpDir(), 'ec.pem'), join(tmpDir(), 'ec.pub')];
    writeFileSync(path, pem(ec), { mode: 0o600 });
    writeFileSync(publicPath, ec.publicKey.export({ type: 'spki', format: 'pem' }));
    const made = async (): Promise<Uint8Array> =>
      (await resolved(project(BOTH, files), { payload: { reference: path } })).payload
        .certificateDer;
    expect(await made()).toEqual(await made());
    const error: unknown = await resolved(project(BOTH, files), {
      payload: { reference: `helper:true?public-key=${publicPath}` },
    }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UsageError);
    expect((error as UsageError).hint).toContain('microbuild keys certificate');
    await expect(
      resolved(project('# none'), { payload: { certificate: 'x.crt' } }),
    ).rejects.toThrow(/without its key/);
  });

  test('for images must be RSA of a size that AVB has', async () => {
    const path = join(tmpDir(), 'ec.pem');
    writeFileSync(path, pem(ec), { mode: 0o600 });
    await expect(resolved(project(BOTH, files), { image: { reference: path } })).rejects.toThrow(
      /AVB takes RSA/,
    );
  });
});
