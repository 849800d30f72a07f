/** What a token is asked to do for each kind of signature, and what its answer becomes. */

import { createHash, type KeyObject } from 'node:crypto';
import { UsageError } from '../../core/errors.ts';
import {
  integer,
  nullValue,
  objectIdentifier,
  octetString,
  sequence,
} from '../../formats/der/write.ts';
import { CKG, CKM } from '../../formats/pkcs11/constants.ts';
import type { SignMechanism } from '../../formats/pkcs11/cryptoki.ts';
import { CK_RSA_PKCS_PSS_PARAMS } from '../../formats/pkcs11/records.ts';
import type { SignatureHash, SignatureOptions } from '../signer.ts';

export interface TokenTask {
  readonly mechanism: SignMechanism;
  /** What C_Sign is given. */
  readonly input: Uint8Array;
  /** Makes a signature in our form of the token's. */
  readonly toSignature: (answer: Uint8Array) => Uint8Array;
}

interface HashFacts {
  readonly oid: string;
  readonly size: number;
  /** The hash, its mask generation function, and RSA PKCS#1 over data that the token hashes. */
  readonly mechanism: number;
  readonly mgf: number;
  readonly rsaPkcs: number;
}

const HASHES: Readonly<Record<SignatureHash, HashFacts>> = {
  sha1: {
    oid: '1.3.14.3.2.26',
    size: 20,
    mechanism: CKM.SHA_1,
    mgf: CKG.MGF1_SHA1,
    rsaPkcs: CKM.SHA1_RSA_PKCS,
  },
  sha256: {
    oid: '2.16.840.1.101.3.4.2.1',
    size: 32,
    mechanism: CKM.SHA256,
    mgf: CKG.MGF1_SHA256,
    rsaPkcs: CKM.SHA256_RSA_PKCS,
  },
  sha384: {
    oid: '2.16.840.1.101.3.4.2.2',
    size: 48,
    mechanism: CKM.SHA384,
    mgf: CKG.MGF1_SHA384,
    rsaPkcs: CKM.SHA384_RSA_PKCS,
  },
  sha512: {
    oid: '2.16.840.1.101.3.4.2.3',
    size: 64,
    mechanism: CKM.SHA512,
    mgf: CKG.MGF1_SHA512,
    rsaPkcs: CKM.SHA512_RSA_PKCS,
  },
};

/** Bytes of the order of each curve, which is that of r and of s. */
const ORDER_SIZE: Readonly<Record<string, number>> = {
  prime256v1: 32,
  secp384r1: 48,
  secp521r1: 66,
};

const same = (answer: Uint8Array): Uint8Array => answer;

/** What PKCS#1 v1.5 pads (RFC 8017, 9.2). */
const digestInfo = (oid: string, digest: Uint8Array): Uint8Array =>
  sequence(sequence(objectIdentifier(oid), nullValue()), octetString(digest));

/**
 * @param mechanisms What the token knows. The hash is computed here where it can be: the data may be large.
 * @throws {TypeError} when the scheme does not fit the type of the key.
 * @throws {UsageError} `key` when the token cannot do it, or the key's curve is not known.
 */
export function planSignature(
  publicKey: KeyObject,
  data: Uint8Array,
  { hash, scheme }: SignatureOptions,
  mechanisms: ReadonlySet<number>,
): TokenTask {
  const type = publicKey.asymmetricKeyType;
  const facts = HASHES[hash];
  const digest = new Uint8Array(createHash(hash).update(data).digest());
  const need = (mechanism: number, name: string): number => {
    if (mechanisms.has(mechanism)) return mechanism;
    throw new UsageError('key', `Cannot sign: the token has no mechanism ${name}`, {
      hint: 'Another kind of key or signature may do; pkcs11-tool --list-mechanisms shows what it has',
    });
  };
  if (scheme === 'rsa-pkcs1' && type === 'rsa') {
    if (!mechanisms.has(CKM.RSA_PKCS) && mechanisms.has(facts.rsaPkcs)) {
      return { mechanism: { type: facts.rsaPkcs }, input: data, toSignature: same };
    }
    return {
      mechanism: { type: need(CKM.RSA_PKCS, 'CKM_RSA_PKCS') },
      input: digestInfo(facts.oid, digest),
      toSignature: same,
    };
  }
  if (scheme === 'rsa-pss' && type === 'rsa') {
    const parameter = CK_RSA_PKCS_PSS_PARAMS.encode({
      hashAlg: BigInt(facts.mechanism),
      mgf: BigInt(facts.mgf),
      sLen: BigInt(facts.size),
    });
    return {
      mechanism: { type: need(CKM.RSA_PKCS_PSS, 'CKM_RSA_PKCS_PSS'), parameter },
      input: digest,
      toSignature: same,
    };
  }
  if (scheme === 'ecdsa' && type === 'ec') {
    const curve = publicKey.asymmetricKeyDetails?.namedCurve ?? 'without a name';
    const size = ORDER_SIZE[curve];
    if (size === undefined) {
      throw new UsageError('key', `Cannot sign with a key on curve ${curve}`, {
        hint: 'P-256, P-384 and P-521 are known here',
      });
    }
    return {
      mechanism: { type: need(CKM.ECDSA, 'CKM_ECDSA') },
      // ECDSA takes the leftmost bits of a longer hash; not every token does that itself.
      input: digest.subarray(0, size),
      toSignature: (answer) => ecdsaDer(answer, size),
    };
  }
  if (scheme === 'ed25519' && type === 'ed25519') {
    return {
      mechanism: { type: need(CKM.EDDSA, 'CKM_EDDSA') },
      input: data,
      toSignature: same,
    };
  }
  throw new TypeError(`Cannot make a ${scheme} signature with a key of type ${type}`);
}

/** From r and s side by side to `SEQUENCE { r, s }`. */
function ecdsaDer(answer: Uint8Array, size: number): Uint8Array {
  if (answer.length !== size * 2) {
    throw new UsageError(
      'key',
      `Cannot sign: the token answered with ${answer.length} bytes instead of ${size * 2}`,
    );
  }
  const half = (at: number): Uint8Array =>
    integer(BigInt(`0x${Buffer.from(answer.subarray(at, at + size)).toString('hex')}`));
  return sequence(half(0), half(size));
}
