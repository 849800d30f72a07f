/**
 * Whether a file is the signature that was asked for, and if not, what it seems to be instead: whoever
 * moves files between machines mixes them up.
 */

import { verify, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { sha256, toHex } from '../../core/digest.ts';
import { VerificationError } from '../../core/errors.ts';
import { isSignatureOf, type SignatureOptions } from '../signer.ts';
import type { SignatureRequest } from './request.ts';

/** RSA-16384 makes 2 KiB; beyond this a file is something else. */
export const MAX_SIGNATURE_SIZE = 65536;

/** What else is known in the folder, to tell what a wrong signature is. */
export interface Surroundings {
  readonly folder: string;
  /** A file of the folder; undefined where there is none. */
  read(name: string): Promise<Uint8Array | undefined>;
  readonly others: readonly SignatureRequest[];
  readonly keys: readonly {
    readonly id: string;
    readonly reference: string | null;
    readonly publicKey: KeyObject;
  }[];
}

/**
 * The signature in the form that its carrier takes.
 *
 * ECDSA and DSA signatures may come as `r || s`, as tokens and key services answer: they become DER. All
 * else is attached as it came.
 *
 * @throws {VerificationError} `signature` naming the file and what is wrong with it.
 */
export async function checkSignature(
  request: SignatureRequest,
  publicKey: KeyObject,
  data: Uint8Array,
  options: SignatureOptions,
  signature: Uint8Array,
  around: Surroundings,
): Promise<Uint8Array> {
  if (isSignatureOf(publicKey, data, options, signature)) return signature;
  const der = derOfFixedSize(publicKey, data, options, signature);
  if (der !== undefined) return der;
  const { reason, hint } = await explain(request, publicKey, data, options, signature, around);
  const path = join(around.folder, request.signature);
  throw new VerificationError('signature', 'wrong-signature', `Cannot attach ${path}: ${reason}`, {
    hint,
  });
}

/** DER of a valid `r || s`, or undefined where it is none. */
function derOfFixedSize(
  publicKey: KeyObject,
  data: Uint8Array,
  { scheme, hash }: SignatureOptions,
  signature: Uint8Array,
): Uint8Array | undefined {
  if (scheme !== 'ecdsa' && scheme !== 'dsa') return undefined;
  if (publicKey.asymmetricKeyType !== (scheme === 'ecdsa' ? 'ec' : 'dsa')) return undefined;
  const half = signature.length / 2;
  if (!Number.isInteger(half) || half === 0 || half > 66) return undefined;
  try {
    if (!verify(hash, data, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)) {
      return undefined;
    }
  } catch {
    return undefined;
  }
  return encodeSequence(signature.subarray(0, half), signature.subarray(half));
}

/** DER `SEQUENCE { INTEGER r, INTEGER s }`. */
function encodeSequence(r: Uint8Array, s: Uint8Array): Uint8Array {
  const body = Buffer.concat([encodeInteger(r), encodeInteger(s)]);
  // P-521 has two integers of 66 bytes: one byte of length does not always do.
  const length = body.length < 0x80 ? [body.length] : [0x81, body.length];
  return new Uint8Array(Buffer.concat([Buffer.from([0x30, ...length]), body]));
}

function encodeInteger(bytes: Uint8Array): Buffer {
  const start = bytes.findIndex((byte) => byte !== 0);
  const digits = start < 0 ? Uint8Array.of(0) : bytes.subarray(start);
  const sign = (digits[0] ?? 0) >= 0x80 ? [0] : [];
  return Buffer.from([0x02, digits.length + sign.length, ...sign, ...digits]);
}

interface Explanation {
  readonly reason: string;
  readonly hint: string;
}

const SIGN_AGAIN = 'Sign the bytes of the request again';

async function explain(
  request: SignatureRequest,
  publicKey: KeyObject,
  data: Uint8Array,
  options: SignatureOptions,
  signature: Uint8Array,
  around: Surroundings,
): Promise<Explanation> {
  if (signature.length === 0) return { reason: 'it is empty', hint: SIGN_AGAIN };
  const tbs = await around.read(request.data);
  if (tbs !== undefined && toHex(sha256(tbs)) !== request.dataSha256) {
    return {
      reason: `${request.data} was changed after it was prepared, and that was signed`,
      hint: 'Prepare the job again, in another folder',
    };
  }
  const signer = around.keys.find(
    (key) => key.id !== request.key && isSignatureOf(key.publicKey, data, options, signature),
  );
  if (signer !== undefined) {
    return {
      reason: `it was made with key ${signer.reference ?? signer.id}, not with ${request.key}`,
      hint: 'Sign with the key that the request names',
    };
  }
  for (const other of around.others) {
    const bytes = await around.read(other.data);
    if (bytes !== undefined && isSignatureOf(publicKey, bytes, optionsOf(other), signature)) {
      return {
        reason: `it is the signature of ${other.data}`,
        hint: `Name it ${other.signature}`,
      };
    }
  }
  const { digest } = request;
  if (digest !== null && isSignatureOf(publicKey, Buffer.from(digest, 'hex'), options, signature)) {
    return {
      reason: 'it signs the hash as if that were the data, so that it was hashed twice',
      hint: `Sign ${request.data}, or give the hash to a tool that does not hash again`,
    };
  }
  const wanted = signatureSize(publicKey, options);
  if (wanted !== undefined && signature.length !== wanted) {
    const isText = signature.every(
      (byte) => byte === 10 || byte === 13 || (byte > 31 && byte < 127),
    );
    return isText
      ? { reason: 'it is text', hint: 'Decode it to binary: base64 -d, or xxd -r -p' }
      : {
          reason: `it has ${signature.length} bytes, a signature of this key has ${wanted}`,
          hint: `${SIGN_AGAIN} with ${request.algorithm}`,
        };
  }
  return {
    reason: `it is no ${request.algorithm} signature of key ${request.key} over ${request.data}`,
    hint: `${SIGN_AGAIN} with this key and algorithm`,
  };
}

const optionsOf = ({ scheme, hash }: SignatureRequest): SignatureOptions => ({ scheme, hash });

/** In bytes; undefined where the size varies. */
function signatureSize(publicKey: KeyObject, { scheme }: SignatureOptions): number | undefined {
  if (scheme === 'ed25519') return 64;
  const { modulusLength } = publicKey.asymmetricKeyDetails ?? {};
  return modulusLength === undefined || !scheme.startsWith('rsa')
    ? undefined
    : Math.ceil(modulusLength / 8);
}
