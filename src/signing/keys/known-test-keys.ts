/** Tells keys whose private half is published, in whatever form they are met. */

import type { KeyObject } from 'node:crypto';
import { toHex } from '../../core/digest.ts';
import { publicKeyDigest } from './development.ts';
import { KNOWN_TEST_KEYS } from './known-test-keys-table.ts';

/** Names by each digest that a key is known by. */
const NAMES: ReadonlyMap<string, string> = new Map(
  KNOWN_TEST_KEYS.flatMap(({ name, publicKey, certificates = [], avb = [] }) =>
    [publicKey, ...certificates, ...avb].map((digest) => [digest, name] as const),
  ),
);

/** Where the private half of a key is published, or undefined when it is none of those known here. */
export const knownTestKey = (publicKey: KeyObject): string | undefined =>
  knownTestDigest(publicKeyDigest(publicKey));

/**
 * The same by a digest alone, where there is no key: SHA-256 of SubjectPublicKeyInfo, certificate or
 * AVB's encoding, or SHA-1 of the last.
 */
export const knownTestDigest = (digest: Uint8Array): string | undefined => NAMES.get(toHex(digest));
