/** Makes source stamps: the value of the signing block's pair and the entry that tells of it. */

import type { KeyObject } from 'node:crypto';
import { sha256 } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import {
  SIGNATURE_ECDSA_SHA256,
  SIGNATURE_ECDSA_SHA512,
  SIGNATURE_RSA_PKCS1_SHA256,
} from '../../formats/apk/algorithms.ts';
import {
  encodeSourceStamp,
  encodeStampAttributes,
  encodeStampDigests,
  STAMP_ROTATION_ATTRIBUTE_ID,
  STAMP_TIME_ATTRIBUTE_ID,
  type StampAttribute,
  type StampDigests,
  type StampedScheme,
} from '../../formats/apk/source-stamp.ts';
import { signChecked, type SignatureOptions, type Signer } from '../signer.ts';

export interface StampSigner {
  readonly signer: Signer;
  /** X.509 DER, of the signer's key. */
  readonly certificate: Uint8Array;
  /** An encoded lineage that ends with the certificate, as in v3 attributes. */
  readonly lineage?: Uint8Array;
}

export interface StampOptions {
  /** Seconds since 1970. Default: the stamp tells no time, so that it can be made again. */
  readonly time?: number;
}

/** The content of the entry `STAMP_CERTIFICATE_ENTRY`. */
export const stampEntryContent = (certificate: Uint8Array): Uint8Array => sha256(certificate);

interface StampAlgorithm {
  readonly id: number;
  readonly options: SignatureOptions;
}

/** apksig stamps with RSA only, and with SHA-256 for keys of any size. */
function stampAlgorithm(key: KeyObject): StampAlgorithm {
  const purpose = 'source-stamp';
  const type = key.asymmetricKeyType;
  if (type === 'rsa') {
    const options = { hash: 'sha256', scheme: 'rsa-pkcs1', purpose } as const;
    return { id: SIGNATURE_RSA_PKCS1_SHA256, options };
  }
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (type === 'ec' && curve === 'prime256v1') {
    const options = { hash: 'sha256', scheme: 'ecdsa', purpose } as const;
    return { id: SIGNATURE_ECDSA_SHA256, options };
  }
  if (type === 'ec' && (curve === 'secp384r1' || curve === 'secp521r1')) {
    const options = { hash: 'sha512', scheme: 'ecdsa', purpose } as const;
    return { id: SIGNATURE_ECDSA_SHA512, options };
  }
  throw new UsageError(
    'key',
    `Cannot make a source stamp with a key of type ${curve ?? type}: RSA and P-256, P-384 and P-521 are supported`,
  );
}

function timeAttribute(time: number): StampAttribute {
  if (!Number.isSafeInteger(time) || time <= 0) {
    throw new RangeError(`The time of a source stamp is ${time}, not seconds after 1970`);
  }
  const value = new Uint8Array(8);
  new DataView(value.buffer).setBigInt64(0, BigInt(time), true);
  return { id: STAMP_TIME_ATTRIBUTE_ID, value };
}

/**
 * Stamps what the signature schemes of an APK signed.
 *
 * @param digests By scheme: what each of them signed, all that the APK is signed with.
 * @returns the value of the pair `SOURCE_STAMP_V2_BLOCK_ID`.
 * @throws {UsageError} `key` when the key cannot stamp, or its signature is not its own.
 */
export async function signSourceStamp(
  stamp: StampSigner,
  digests: ReadonlyMap<StampedScheme, StampDigests>,
  { time }: StampOptions = {},
): Promise<Uint8Array> {
  const { signer, certificate, lineage } = stamp;
  const { id: algorithm, options } = stampAlgorithm(signer.publicKey);
  const sign = async (data: Uint8Array) => [
    { algorithm, signature: await signChecked(signer, data, options) },
  ];
  const encoded = encodeStampAttributes([
    ...(time === undefined ? [] : [timeAttribute(time)]),
    ...(lineage === undefined ? [] : [{ id: STAMP_ROTATION_ATTRIBUTE_ID, value: lineage }]),
  ]);
  // All at once: none depends on another, and one prompt of a token may serve them all.
  const [signatures, ...schemes] = await Promise.all([
    sign(encoded),
    ...[...digests]
      .sort(([a], [b]) => a - b)
      .map(async ([scheme, of]) => ({ scheme, signatures: await sign(encodeStampDigests(of)) })),
  ]);
  return encodeSourceStamp({ certificate, schemes, attributes: { encoded, signatures } });
}
