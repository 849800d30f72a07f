/**
 * The fixed-size certificates of libavb_cert, which chain a vbmeta's key to a root key in the device,
 * and what is made of them. Little-endian, RSA-4096 throughout.
 *
 * @see avb_cert_types.h
 */

import { FormatError } from '../../core/errors.ts';
import { decodeRsaPublicKey } from './public-key.ts';
import {
  certificateMetadata,
  certificateSignedData,
  permanentAttributes,
  unlockCredential,
} from './layout.ts';

const VERSION = 1;
const SIGNATURE_SIZE = 512;
const CERTIFICATE_SIZE = certificateSignedData.size + SIGNATURE_SIZE;

export interface AvbCertificate {
  /** AVB's encoding of an RSA-4096 key. */
  readonly publicKey: Uint8Array;
  /** SHA-256 of who the certificate is for. */
  readonly subject: Uint8Array;
  /** SHA-256 of what the key is for. */
  readonly usage: Uint8Array;
  /** A device refuses a certificate with a lower one than it has seen. */
  readonly keyVersion: bigint;
}

function requireRsa4096(publicKey: Uint8Array): void {
  if (publicKey.length !== 1032) {
    throw new RangeError('Cannot make AVB certificate: its keys must be RSA-4096');
  }
}

/** What the authority signs, with SHA-512: the certificate without its signature. */
export function encodeCertificate(certificate: AvbCertificate): Uint8Array {
  requireRsa4096(certificate.publicKey);
  return certificateSignedData.encode({
    version: VERSION,
    public_key: certificate.publicKey,
    subject: certificate.subject,
    usage: certificate.usage,
    key_version: certificate.keyVersion,
  });
}

function checkVersion(version: number, what: string, offset: number): void {
  if (version === VERSION) return;
  throw new FormatError(
    'avb',
    'bad-version',
    `Cannot read ${what}: its version is ${version}, known is ${VERSION}`,
    { offset, field: 'version' },
  );
}

/**
 * @param offset Where `data` stands in its input, for errors.
 * @throws {FormatError} when the bytes are not a certificate with signature.
 */
export function decodeCertificate(data: Uint8Array, offset = 0): AvbCertificate {
  if (data.length !== CERTIFICATE_SIZE) {
    throw new FormatError(
      'avb',
      data.length < CERTIFICATE_SIZE ? 'truncated' : 'trailing-data',
      `Cannot read AVB certificate: it has ${data.length} bytes, expected ${CERTIFICATE_SIZE}`,
      { offset },
    );
  }
  const raw = certificateSignedData.decode(data);
  checkVersion(raw.version, 'AVB certificate', offset);
  decodeRsaPublicKey(raw.public_key);
  return {
    publicKey: raw.public_key,
    subject: raw.subject,
    usage: raw.usage,
    keyVersion: raw.key_version,
  };
}

export interface CertificateMetadata {
  readonly version: number;
  readonly intermediate: AvbCertificate;
  readonly signing: AvbCertificate;
}

/**
 * The public key metadata of a vbmeta: both certificates, with their signatures.
 *
 * @throws {FormatError} when one of them is not a certificate.
 */
export function encodeCertificateMetadata(
  intermediate: Uint8Array,
  signing: Uint8Array,
): Uint8Array {
  decodeCertificate(intermediate);
  decodeCertificate(signing);
  return certificateMetadata.encode({
    version: VERSION,
    product_intermediate_key_certificate: intermediate,
    product_signing_key_certificate: signing,
  });
}

/**
 * @throws {FormatError} when the public key metadata is something else.
 */
export function decodeCertificateMetadata(data: Uint8Array): CertificateMetadata {
  if (data.length !== certificateMetadata.size) {
    throw new FormatError(
      'avb',
      'bad-value',
      `Cannot read AVB certificates: public key metadata has ${data.length} bytes, expected ${certificateMetadata.size}`,
    );
  }
  const raw = certificateMetadata.decode(data);
  checkVersion(raw.version, 'AVB certificates', 0);
  return {
    version: raw.version,
    intermediate: decodeCertificate(raw.product_intermediate_key_certificate, 4),
    signing: decodeCertificate(raw.product_signing_key_certificate, 4 + CERTIFICATE_SIZE),
  };
}

/**
 * What is burnt into a device: the root key and the product.
 *
 * @param productId 16 bytes.
 * @throws {RangeError} when the key is not RSA-4096 or the product ID has another size.
 */
export function encodePermanentAttributes(
  rootPublicKey: Uint8Array,
  productId: Uint8Array,
): Uint8Array {
  requireRsa4096(rootPublicKey);
  if (productId.length !== 16) {
    throw new RangeError(`Cannot use product ID of ${productId.length} bytes: it must have 16`);
  }
  return permanentAttributes.encode({
    version: VERSION,
    product_root_public_key: rootPublicKey,
    product_id: productId,
  });
}

/**
 * An unlock credential up to its last field, the signature of the device's challenge.
 *
 * @throws {FormatError} when one of the two is not a certificate.
 */
export function encodeUnlockCredential(intermediate: Uint8Array, unlock: Uint8Array): Uint8Array {
  decodeCertificate(intermediate);
  decodeCertificate(unlock);
  return unlockCredential.encode({
    version: VERSION,
    product_intermediate_key_certificate: intermediate,
    product_unlock_key_certificate: unlock,
  });
}
