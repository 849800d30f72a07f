/** Keys and certificates: what is written leads to them, they can be read, and fit together. */

import { createPublicKey, X509Certificate } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { UsageError } from '../../core/errors.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import { quoteForShell } from '../../signing/keys/bounded-file.ts';
import { parseKeyReference } from '../../signing/keys/reference.ts';
import { certificateDigest } from '../../signing/x509.ts';
import { toHex } from '../../core/digest.ts';
import type { CheckContext } from './context.ts';
import { readHead } from './read-head.ts';

/** Certificates have a few thousand bytes. */
const MAX_CERTIFICATE_SIZE = 1 << 20;
const AVB_BITS = [2048, 4096, 8192];

export async function checkKeys(context: CheckContext): Promise<void> {
  const { image, payload } = context.recipe.data.signing;
  const ofImage = ['signing', 'image', 'key'];
  const ofPayload = ['signing', 'payload', 'key'];
  if (!context.elsewhere.image && image.key !== undefined) {
    await checkReference(context, ofImage, image.key);
    await checkImageKey(context, ofImage);
  }
  if (context.elsewhere.payload) return;
  if (payload.key !== undefined) await checkReference(context, ofPayload, payload.key);
  const ofCertificate = ['signing', 'payload', 'certificate'];
  if (payload.certificate === undefined) return;
  if (payload.key === undefined) {
    const hint = 'Name signing.payload.key too';
    context.tell(ofCertificate, 'A certificate without its key cannot sign', hint);
  }
  await checkCertificate(context, ofCertificate, payload.certificate);
}

async function checkReference(
  context: CheckContext,
  at: RecipePath,
  reference: string,
): Promise<void> {
  let parsed;
  try {
    parsed = parseKeyReference(reference);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    context.tell(at, error.message, error.hint);
    return;
  }
  if (!('path' in parsed)) return;
  const path = resolve(context.recipe.folderOf(at), parsed.path);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) {
    // Of a key below the recipe that is told with its other files.
    if (/^[a-z0-9]{2,}:/.test(reference)) {
      context.tell(at, `"${parsed.path}" does not exist`, `Looked for ${path}`);
    }
    return;
  }
  if (!found.isFile() || parsed.kind !== 'file') return;
  if ((found.mode & 0o077) !== 0) {
    const mode = `0${(found.mode & 0o7777).toString(8).padStart(3, '0')}`;
    const message = `"${parsed.path}" has the mode ${mode}: others than its owner may use this key`;
    context.tell(at, message, `Run: chmod 600 ${quoteForShell(path)}`);
  }
  const head = Buffer.from(await readHead(path, MAX_CERTIFICATE_SIZE)).toString('latin1');
  const [, label] = /^-----BEGIN ([A-Z0-9 ]+)-----$/m.exec(head) ?? [];
  if (label === undefined || /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/.test(head)) return;
  context.tell(
    at,
    `"${parsed.path}" holds no private key, but a ${label.toLowerCase()}`,
    'Name the file of the private key',
  );
}

/** A key that is not encrypted tells its size. Others do when they are opened. */
async function checkImageKey(context: CheckContext, at: RecipePath): Promise<void> {
  const real = context.realPath(at);
  if (real === undefined) return;
  let key;
  try {
    key = createPublicKey(Buffer.from(await readHead(real, MAX_CERTIFICATE_SIZE)));
  } catch {
    return;
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (key.asymmetricKeyType !== 'rsa' || !AVB_BITS.includes(bits)) {
    const what = `${key.asymmetricKeyType ?? 'unknown'}${bits === 0 ? '' : ` ${bits}`}`;
    const hint = `Use RSA of ${AVB_BITS.join(', ')} bits: microbuild keys generate`;
    context.tell(at, `This key (${what}) cannot sign images`, hint);
    return;
  }
  const { algorithm } = context.recipe.data.signing.image;
  if (algorithm === undefined || algorithm.endsWith(`RSA${bits}`)) return;
  const where = ['signing', 'image', 'algorithm'];
  context.tell(where, `The key has ${bits} bits`, `Write SHA256_RSA${bits}`);
}

async function checkCertificate(
  context: CheckContext,
  at: RecipePath,
  path: string,
): Promise<void> {
  const real = context.realPath(at);
  if (real === undefined) return;
  let certificate;
  try {
    certificate = new X509Certificate(await readHead(real, MAX_CERTIFICATE_SIZE));
  } catch {
    context.tell(at, `"${path}" is no certificate`, 'Name an X.509 certificate, PEM or DER');
    return;
  }
  const trusted = context.recipe.data.trust.payload;
  if (trusted === undefined || !context.isSound(['trust', 'payload'])) return;
  const own = (['sha256', 'sha512'] as const).map(
    (algorithm) =>
      `${algorithm}:${toHex(certificateDigest(new Uint8Array(certificate.raw), algorithm))}`,
  );
  if (own.some((digest) => trusted.includes(digest))) return;
  context.tell(
    ['trust', 'payload'],
    'The guest would refuse the payload: its certificate is not among these',
    `Add ${own[0]}`,
  );
}
