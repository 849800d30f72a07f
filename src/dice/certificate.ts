/**
 * CDI certificates: an untagged COSE_Sign1 (RFC 9052) over a CBOR Web Token, in which a stage vouches
 * for the key of the next one and says what it measured.
 */

import { createPublicKey, sign, verify } from 'node:crypto';
import { FormatError, VerificationError } from '../core/errors.ts';
import { type CborKey, type CborMap, type CborValue, decodeCbor, encodeCbor } from './cbor.ts';
import {
  type DiceInput,
  type DiceKey,
  type DiceMode,
  MODE_NUMBER,
  certificateId,
  configValue,
} from './derive.ts';

/** RFC 8392 and the Open Profile for DICE. */
const LABEL = {
  issuer: 1,
  subject: 2,
  codeHash: -4670545,
  codeDescriptor: -4670546,
  configHash: -4670547,
  configDescriptor: -4670548,
  authorityHash: -4670549,
  authorityDescriptor: -4670550,
  mode: -4670551,
  subjectPublicKey: -4670552,
  keyUsage: -4670553,
  profileName: -4670554,
} as const;
/** RFC 5280: keyCertSign. */
const KEY_USAGE = Uint8Array.of(0x20);

/** RFC 9053: the parameters of an Ed25519 key, and EdDSA in the header of a signature. */
const COSE_KEY = { type: 1, algorithm: 3, operations: 4, curve: -1, x: -2 } as const;
const OKP = 1;
const ED25519 = 6;
const EDDSA = -8;
const VERIFY = 2;
const PUBLIC_KEY_SIZE = 32;
const SIGNATURE_SIZE = 64;
/** RFC 8410. */
const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');

/** What a certificate may say beyond the input of the derivation. */
export interface CertificateExtras {
  readonly codeDescriptor?: Uint8Array;
  readonly authorityDescriptor?: Uint8Array;
  /** Such as `android.16`; none is read as `android.14`. */
  readonly profileName?: string;
}

export interface DiceCertificate extends CertificateExtras {
  readonly issuer: string;
  readonly subject: string;
  readonly codeHash: Uint8Array;
  /** The descriptor, or a 64-byte value that stands for itself when there is no hash of it. */
  readonly config: Uint8Array;
  readonly configHash: Uint8Array | undefined;
  readonly authorityHash: Uint8Array;
  readonly mode: DiceMode;
  readonly subjectPublicKey: Uint8Array;
  /** The signed bytes, and what signs them. */
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
}

export function encodeCoseKey(publicKey: Uint8Array): Uint8Array {
  return encodeCbor(coseKey(publicKey));
}

export function coseKey(publicKey: Uint8Array): CborMap {
  return new Map<CborKey, CborValue>([
    [COSE_KEY.type, OKP],
    [COSE_KEY.algorithm, EDDSA],
    [COSE_KEY.operations, [VERIFY]],
    [COSE_KEY.curve, ED25519],
    [COSE_KEY.x, publicKey],
  ]);
}

/** The 32 bytes of an Ed25519 key. @throws {FormatError} for any other key. */
export function publicKeyOf(value: CborValue): Uint8Array {
  if (!(value instanceof Map)) throw bad('the key is not a map', 'COSE_Key');
  const key = value as CborMap;
  const x = key.get(COSE_KEY.x);
  if (key.get(COSE_KEY.type) !== OKP || key.get(COSE_KEY.curve) !== ED25519) {
    throw new FormatError('dice', 'unsupported', 'Cannot use COSE_Key: it is not an Ed25519 key');
  }
  const algorithm = key.get(COSE_KEY.algorithm);
  if (algorithm !== undefined && algorithm !== EDDSA) throw bad('not for EdDSA', 'COSE_Key');
  const operations = key.get(COSE_KEY.operations);
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes(VERIFY))) {
    throw bad('the key is not for verifying', 'COSE_Key');
  }
  if (!(x instanceof Uint8Array) || x.length !== PUBLIC_KEY_SIZE) {
    throw bad(`the key does not have ${PUBLIC_KEY_SIZE} bytes`, 'COSE_Key');
  }
  return x;
}

/** The certificate that the owner of `issuer` gives to the stage measured as `input`. */
export function issueCertificate(
  issuer: DiceKey,
  subjectPublicKey: Uint8Array,
  input: DiceInput,
  extras: CertificateExtras = {},
): Uint8Array {
  const { codeDescriptor, authorityDescriptor, profileName } = extras;
  const claims = new Map<CborKey, CborValue>([
    [LABEL.issuer, certificateId(issuer.publicKey)],
    [LABEL.subject, certificateId(subjectPublicKey)],
    [LABEL.codeHash, input.codeHash],
  ]);
  if (codeDescriptor !== undefined) claims.set(LABEL.codeDescriptor, codeDescriptor);
  if ('descriptor' in input.config) {
    claims.set(LABEL.configDescriptor, input.config.descriptor);
    claims.set(LABEL.configHash, configValue(input.config));
  } else claims.set(LABEL.configDescriptor, input.config.inline);
  claims.set(LABEL.authorityHash, input.authorityHash);
  if (authorityDescriptor !== undefined) claims.set(LABEL.authorityDescriptor, authorityDescriptor);
  claims.set(LABEL.mode, Uint8Array.of(MODE_NUMBER[input.mode]));
  claims.set(LABEL.subjectPublicKey, encodeCoseKey(subjectPublicKey));
  claims.set(LABEL.keyUsage, KEY_USAGE);
  if (profileName !== undefined) claims.set(LABEL.profileName, profileName);

  const payload = encodeCbor(claims);
  const header = encodeCbor(new Map([[1, EDDSA]]));
  const signature = sign(null, toBeSigned(header, payload), issuer.privateKey);
  return encodeCbor([header, new Map(), payload, new Uint8Array(signature)]);
}

/** RFC 9052 section 4.4. */
function toBeSigned(header: Uint8Array, payload: Uint8Array): Uint8Array {
  return encodeCbor(['Signature1', header, new Uint8Array(0), payload]);
}

/** Decodes a certificate, and believes nothing of it. @throws {FormatError} `dice` or `cbor`. */
export function decodeCertificate(value: CborValue): DiceCertificate {
  if (!Array.isArray(value) || value.length !== 4) throw bad('it is not a COSE_Sign1');
  const [header, unprotected, payload, signature] = value as readonly CborValue[];
  if (!(header instanceof Uint8Array) || !(payload instanceof Uint8Array)) {
    throw bad('header or payload is not a byte string');
  }
  if (!(unprotected instanceof Map) || unprotected.size > 0) {
    throw bad('it has attributes that nobody signed');
  }
  if (!(signature instanceof Uint8Array) || signature.length !== SIGNATURE_SIZE) {
    throw bad(`the signature does not have ${SIGNATURE_SIZE} bytes`);
  }
  const attributes = decodeCbor(header);
  if (!(attributes instanceof Map) || attributes.size !== 1 || attributes.get(1) !== EDDSA) {
    throw new FormatError('dice', 'unsupported', 'Cannot use certificate: not signed by EdDSA');
  }
  const claims = decodeCbor(payload);
  if (!(claims instanceof Map)) throw bad('the payload is not a map');
  const { codeDescriptor, authorityDescriptor } = LABEL;
  const code = claims.get(codeDescriptor);
  const authority = claims.get(authorityDescriptor);
  const profileName = claims.get(LABEL.profileName);
  if (profileName !== undefined && typeof profileName !== 'string') {
    throw bad('the profile name is not a text', String(LABEL.profileName));
  }
  return {
    issuer: text(claims, LABEL.issuer),
    subject: text(claims, LABEL.subject),
    codeHash: bytes(claims, LABEL.codeHash),
    ...(code === undefined ? {} : { codeDescriptor: bytes(claims, codeDescriptor) }),
    config: bytes(claims, LABEL.configDescriptor),
    configHash: claims.has(LABEL.configHash) ? bytes(claims, LABEL.configHash) : undefined,
    authorityHash: bytes(claims, LABEL.authorityHash),
    ...(authority === undefined ? {} : { authorityDescriptor: bytes(claims, authorityDescriptor) }),
    mode: modeOf(claims.get(LABEL.mode)),
    subjectPublicKey: publicKeyOf(decodeCbor(bytes(claims, LABEL.subjectPublicKey))),
    ...(profileName === undefined ? {} : { profileName }),
    signed: toBeSigned(header, payload),
    signature,
  };
}

/** @throws {VerificationError} `dice` when this key did not sign the certificate. */
export function verifyCertificate(certificate: DiceCertificate, issuerKey: Uint8Array): void {
  const key = createPublicKey({
    key: Buffer.concat([SPKI_ED25519, issuerKey]),
    format: 'der',
    type: 'spki',
  });
  if (verify(null, certificate.signed, key, certificate.signature)) return;
  throw new VerificationError(
    'dice',
    'bad-signature',
    `Cannot trust DICE certificate: the key of ${certificate.issuer} did not sign it`,
  );
}

function text(claims: CborMap, label: number): string {
  const value = claims.get(label);
  if (typeof value !== 'string') throw bad(`${label} is not a text`, String(label));
  return value;
}

function bytes(claims: CborMap, label: number): Uint8Array {
  const value = claims.get(label);
  if (!(value instanceof Uint8Array)) throw bad(`${label} is not a byte string`, String(label));
  return value;
}

/** Some ROMs write an integer, which Android's profile permits. */
function modeOf(value: CborValue | undefined): DiceMode {
  const number = value instanceof Uint8Array && value.length === 1 ? value[0] : value;
  const found = Object.entries(MODE_NUMBER).find(([, each]) => each === number);
  if (found === undefined) throw bad('the mode is unknown', String(LABEL.mode));
  return found[0] as DiceMode;
}

function bad(why: string, field?: string): FormatError {
  const message = `Cannot use DICE certificate: ${why}`;
  return new FormatError('dice', 'bad-value', message, field === undefined ? {} : { field });
}
