/**
 * The newest versions that an instance has run, in `versions.json`: an older one may not have its
 * secrets any more. Systems are told apart by their AVB key and packages by their signer, so that
 * nobody's numbers bind anybody else.
 */

import { createHash } from 'node:crypto';
import { FormatError, VerificationError } from '../../core/errors.ts';

const MAX_ENTRIES = 4096;
const MAX_VERSION = 2n ** 64n - 1n;

/** Keys: SHA-256 of the AVB key; package, a space, SHA-256 of the signer's certificate. In hex. */
export interface Versions {
  /** Tells the root key and the id that the secrets were made from, and nothing else of them. */
  readonly origin: string;
  readonly system: ReadonlyMap<string, bigint>;
  readonly payload: ReadonlyMap<string, bigint>;
}

export const NO_VERSIONS: Versions = { origin: '', system: new Map(), payload: new Map() };

/** A verified APK, as the guest reports it before it asks for the handover. */
export interface PayloadVersion {
  readonly package: string;
  readonly versionCode: bigint;
  /** SHA-256 of the signer's DER certificate, hex. */
  readonly signer: string;
}

const systemKey = (publicKey: Uint8Array): string =>
  createHash('sha256').update(publicKey).digest('hex');
const payloadKey = ({ package: name, signer }: PayloadVersion): string => `${name} ${signer}`;

/** @throws {VerificationError} `rollback` for a system that is older than one that ran before. */
export function checkSystem(seen: Versions, publicKey: Uint8Array, rollbackIndex: bigint): void {
  const newest = seen.system.get(systemKey(publicKey)) ?? 0n;
  if (rollbackIndex >= newest) return;
  throw new VerificationError(
    'kernel',
    'rollback',
    'Cannot start: the instance has run a newer system',
    {
      expected: `rollback index ${newest} or above`,
      actual: String(rollbackIndex),
      hint: 'Run the newer bundle, or another instance (--instance, --ephemeral)',
    },
  );
}

/** @throws {VerificationError} `rollback` for an APK that is older than one that ran before. */
export function checkPayload(seen: Versions, payload: readonly PayloadVersion[]): void {
  for (const apk of payload) {
    const newest = seen.payload.get(payloadKey(apk)) ?? 0n;
    if (apk.versionCode < newest) {
      throw new VerificationError(
        'payload-version',
        'rollback',
        `The instance has run a newer version of ${apk.package}`,
        { expected: `versionCode ${newest} or above`, actual: String(apk.versionCode) },
      );
    }
  }
}

/** What the instance has seen when these have run, too. */
export function withVersions(
  seen: Versions,
  publicKey: Uint8Array,
  rollbackIndex: bigint,
  payload: readonly PayloadVersion[],
): Versions {
  const system = new Map(seen.system);
  const packages = new Map(seen.payload);
  raise(system, systemKey(publicKey), rollbackIndex);
  for (const apk of payload) raise(packages, payloadKey(apk), apk.versionCode);
  return { ...seen, system, payload: packages };
}

function raise(map: Map<string, bigint>, key: string, version: bigint): void {
  const before = map.get(key);
  if (before === undefined || before < version) map.set(key, version);
}

/** Sorted, so that the same versions are the same bytes. */
export function formatVersions(versions: Versions): string {
  const sorted = (map: ReadonlyMap<string, bigint>): Record<string, string> =>
    Object.fromEntries(
      [...map].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => [key, String(value)]),
    );
  const value = {
    schemaVersion: 1,
    origin: versions.origin,
    system: sorted(versions.system),
    payload: sorted(versions.payload),
  };
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** @throws {FormatError} `instance`. What cannot be read is no reason to let anything older run. */
export function parseVersions(text: string): Versions {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw bad('it is not JSON', cause);
  }
  if (typeof value !== 'object' || value === null) throw bad('it is not an object');
  const { schemaVersion, origin, system, payload } = value as Record<string, unknown>;
  if (schemaVersion !== 1) throw bad('schemaVersion is not 1');
  if (typeof origin !== 'string' || !/^[0-9a-f]{32}$/.test(origin)) throw bad('it has no origin');
  return {
    origin,
    system: parseMap(system, /^[0-9a-f]{64}$/),
    payload: parseMap(payload, /^[!-~]{1,255} [0-9a-f]{64}$/),
  };
}

function parseMap(value: unknown, key: RegExp): Map<string, bigint> {
  if (typeof value !== 'object' || value === null) throw bad('a list of versions is missing');
  const entries = Object.entries(value);
  if (entries.length > MAX_ENTRIES) throw bad(`over ${MAX_ENTRIES} versions`);
  return new Map(
    entries.map(([name, version]: [string, unknown]) => {
      const number = typeof version === 'string' && /^[0-9]{1,20}$/.test(version);
      if (!key.test(name) || !number || BigInt(version) > MAX_VERSION) {
        throw bad(`"${name}" is no entry`);
      }
      return [name, BigInt(version)];
    }),
  );
}

function bad(why: string, cause?: unknown): FormatError {
  return new FormatError('instance', 'bad-value', `Cannot use versions.json: ${why}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'Put the file back from a backup, or remove the instance and its secrets',
  });
}
