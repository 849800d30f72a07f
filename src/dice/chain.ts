/**
 * A DICE chain, and the form in which Android hands one over together with the secrets of its last
 * stage ("BccHandover"): the root's public key, then a certificate for each stage.
 */

import { FormatError, VerificationError } from '../core/errors.ts';
import { type CborKey, type CborValue, decodeCbor, encodeCbor } from './cbor.ts';
import {
  type CertificateExtras,
  type DiceCertificate,
  coseKey,
  decodeCertificate,
  issueCertificate,
  publicKeyOf,
  verifyCertificate,
} from './certificate.ts';
import { CDI_SIZE, type Cdis, type DiceInput, deriveCdis, deriveKey } from './derive.ts';

const HANDOVER = { attest: 1, seal: 2, chain: 3 } as const;
/** More stages than any machine has; a chain has one certificate for each. */
const MAX_STAGES = 64;

export interface DiceChain {
  readonly rootKey: Uint8Array;
  readonly certificates: readonly DiceCertificate[];
}

/** Secrets of the last stage, and the chain that leads to its key. */
export interface Handover extends Cdis {
  /** The encoded chain; none where only the secrets were handed over. */
  readonly chain: Uint8Array | undefined;
}

/** Secrets and chain of a root without any stage; its UDS stands for both secrets. */
export function rootHandover(uds: Uint8Array): Handover {
  const { publicKey } = deriveKey(uds);
  return { attest: uds, seal: uds, chain: encodeCbor([coseKey(publicKey)]) };
}

/**
 * The secrets and the chain of the next stage.
 *
 * @throws {FormatError} for a chain that is none; its signatures are not checked.
 */
export function nextHandover(
  current: Handover,
  input: DiceInput,
  extras: CertificateExtras = {},
): Handover {
  const cdis = deriveCdis(current, input);
  if (current.chain === undefined) return { ...cdis, chain: undefined };
  const issuer = deriveKey(current.attest);
  const subject = deriveKey(cdis.attest);
  const certificate = issueCertificate(issuer, subject.publicKey, input, extras);
  const entries = chainEntries(current.chain);
  return { ...cdis, chain: encodeCbor([...entries, decodeCbor(certificate)]) };
}

export function encodeHandover({ attest, seal, chain }: Handover): Uint8Array {
  const entries: [CborKey, CborValue][] = [
    [HANDOVER.attest, attest],
    [HANDOVER.seal, seal],
  ];
  if (chain !== undefined) entries.push([HANDOVER.chain, decodeCbor(chain)]);
  return encodeCbor(new Map(entries));
}

/** @throws {FormatError} `dice` or `cbor`. */
export function decodeHandover(bytes: Uint8Array): Handover {
  const map = decodeCbor(bytes);
  if (!(map instanceof Map)) throw bad('the handover is not a map');
  const cdi = (label: number): Uint8Array => {
    const value = map.get(label);
    if (value instanceof Uint8Array && value.length === CDI_SIZE) return value;
    throw bad(`the secret ${label} does not have ${CDI_SIZE} bytes`);
  };
  const chain = map.get(HANDOVER.chain);
  if (chain !== undefined && !Array.isArray(chain)) throw bad('the chain is not an array');
  return {
    attest: cdi(HANDOVER.attest),
    seal: cdi(HANDOVER.seal),
    chain: chain === undefined ? undefined : encodeCbor(chain),
  };
}

function chainEntries(bytes: Uint8Array): readonly CborValue[] {
  const value = decodeCbor(bytes);
  if (!Array.isArray(value) || value.length === 0) throw bad('the chain has no root key');
  if (value.length > MAX_STAGES + 1) {
    throw new FormatError('dice', 'too-large', `Cannot use DICE chain: over ${MAX_STAGES} stages`);
  }
  return value as readonly CborValue[];
}

/** Decodes a chain, and believes nothing of it. @throws {FormatError} `dice` or `cbor`. */
export function decodeChain(bytes: Uint8Array): DiceChain {
  const [root, ...certificates] = chainEntries(bytes);
  return {
    rootKey: publicKeyOf(root ?? null),
    certificates: certificates.map((each) => decodeCertificate(each)),
  };
}

/**
 * Checks each signature with the key that the certificate before vouches for, from the root's on.
 * Whether the root itself is trusted is the caller's question.
 *
 * @throws {FormatError} {VerificationError} `dice`.
 */
export function verifyChain(bytes: Uint8Array): DiceChain {
  const chain = decodeChain(bytes);
  let key = chain.rootKey;
  let name: string | undefined;
  for (const certificate of chain.certificates) {
    verifyCertificate(certificate, key);
    if (name !== undefined && certificate.issuer !== name) {
      throw new VerificationError('dice', 'bad-issuer', 'Cannot trust DICE chain: names differ', {
        expected: name,
        actual: certificate.issuer,
      });
    }
    key = certificate.subjectPublicKey;
    name = certificate.subject;
  }
  return chain;
}

function bad(why: string): FormatError {
  return new FormatError('dice', 'bad-value', `Cannot use DICE chain: ${why}`);
}
