/**
 * `manifest.json`: what is in a bundle and how its parts depend on each other, for people and
 * programs. It is not signed and decides nothing: `verify` computes every digest anew.
 */

import { isArch, type Arch } from '../core/arch.ts';
import { FormatError } from '../core/errors.ts';

export interface ManifestFile {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

export interface ManifestKey {
  /** SHA-256 of the AVB public key, or of the DER certificate. */
  readonly sha256: string;
  /** True for a key that microbuild made for development. */
  readonly development: boolean;
}

/** What a payload disk starts. */
export interface ManifestPayload {
  readonly package: string;
  readonly versionCode: number;
  /** The library that is started, or the program of a payload configuration. */
  readonly entry: string;
  /** vsock port that the payload serves, if the recipe says so. */
  readonly rpcPort: number | null;
  /** Files below `interfaces/`. */
  readonly interfaces: readonly string[];
}

/** A further payload, on the disk `payload-NAME.img`. */
export interface ManifestFurtherPayload extends ManifestPayload {
  readonly apkRootDigest: string;
  /** When it has extra APKs. */
  readonly extraApkRootDigests?: readonly string[];
}

export interface Manifest {
  readonly schemaVersion: 1;
  readonly name: string;
  readonly arch: Arch;
  /** `development` when any key is one. */
  readonly release: 'development' | 'release';
  readonly keys: { readonly image: ManifestKey; readonly payload: ManifestKey };
  /** The digests by which each link pins the next, from the kernel down. */
  readonly chain: {
    readonly kernelDigest: string;
    readonly initrdNormalDigest: string;
    readonly initrdDebuggableDigest: string;
    readonly vbmetaDigest: string;
    readonly systemRootDigest: string;
    /** Of the partitions beside the system, by name; absent where there are none. */
    readonly partitionRootDigests?: Readonly<Record<string, string>>;
    readonly payloadCertificates: readonly string[];
    readonly apkRootDigest: string;
    /** When the payload has extra APKs. */
    readonly extraApkRootDigests?: readonly string[];
    readonly rollbackIndex: number;
  };
  readonly payload: ManifestPayload;
  /** Further payloads, by name; absent where there are none. */
  readonly payloads?: Readonly<Record<string, ManifestFurtherPayload>>;
  readonly inputs: readonly {
    readonly name: string;
    readonly version: string;
    readonly sha256: string;
  }[];
  readonly files: readonly ManifestFile[];
}

/** Canonical text: fixed key order, two spaces, one newline at the end. */
export function formatManifest(manifest: Manifest): string {
  const files = manifest.files.map(({ path, sha256, size }) => ({ path, sha256, size }));
  return `${JSON.stringify({ ...manifest, files }, undefined, 2)}\n`;
}

const isHex = (size: number) => (each: unknown) =>
  typeof each === 'string' && each.length === size * 2 && /^[0-9a-f]*$/.test(each);
/** What `payloads` and `partitionRootDigests` are keyed by: names of a recipe. */
const isKey = (each: string): boolean => /^[a-z][a-z0-9_-]{0,30}$/.test(each);
const isRecord = (each: unknown, ok: (value: unknown) => boolean): boolean =>
  each !== null &&
  typeof each === 'object' &&
  !Array.isArray(each) &&
  Object.keys(each).length <= 64 &&
  Object.entries(each).every(([key, value]) => isKey(key) && ok(value));
const isName = (each: unknown): boolean =>
  typeof each === 'string' &&
  /^[A-Za-z0-9_][A-Za-z0-9._/-]{0,200}$/.test(each) &&
  !each.split('/').includes('..');

/** Checks the parts that the runner and `verify` read. @throws {FormatError} naming the field. */
export function parseManifest(text: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new FormatError('manifest', 'bad-value', 'Cannot read manifest.json: it is not JSON', {
      cause,
    });
  }
  const get = (path: string): unknown =>
    path
      .split('.')
      .reduce<unknown>(
        (at, key) =>
          at !== null && typeof at === 'object' && Object.hasOwn(at, key)
            ? (at as Record<string, unknown>)[key]
            : undefined,
        value,
      );
  const need = (path: string, ok: (each: unknown) => boolean, wanted: string): void => {
    if (!ok(get(path))) {
      throw new FormatError(
        'manifest',
        'bad-value',
        `Cannot use manifest.json: ${path} is not ${wanted}`,
        {
          field: path,
        },
      );
    }
  };
  need('schemaVersion', (each) => each === 1, '1');
  need('name', isName, 'a name');
  need('arch', isArch, 'an architecture that is known');
  need('release', (each) => each === 'development' || each === 'release', 'development or release');
  for (const key of ['image', 'payload']) {
    need(`keys.${key}.sha256`, isHex(32), 'a SHA-256');
    need(`keys.${key}.development`, (each) => typeof each === 'boolean', 'true or false');
  }
  const isPort = (each: unknown): boolean => each === null || Number.isInteger(each);
  const isNames = (each: unknown): boolean => Array.isArray(each) && each.every(isName);
  need('payload.rpcPort', isPort, 'a port or null');
  need('payload.interfaces', isNames, 'a list of file names');
  need(
    'payloads',
    (each) =>
      each === undefined ||
      isRecord(each, (payload) => {
        const fields = (payload ?? {}) as Readonly<Record<string, unknown>>;
        return (
          typeof fields['package'] === 'string' &&
          Number.isInteger(fields['versionCode']) &&
          typeof fields['entry'] === 'string' &&
          isPort(fields['rpcPort']) &&
          isNames(fields['interfaces']) &&
          isHex(32)(fields['apkRootDigest'])
        );
      }),
    'a record of payloads by name',
  );
  need(
    'chain.partitionRootDigests',
    (each) =>
      each === undefined || isRecord(each, (digest) => isHex(32)(digest) || isHex(64)(digest)),
    'a record of digests by name of partition',
  );
  need(
    'files',
    (each) =>
      Array.isArray(each) &&
      each.length <= 1000 &&
      each.every(
        (file: Record<string, unknown> | null) =>
          file !== null &&
          isName(file['path']) &&
          Number.isSafeInteger(file['size']) &&
          isHex(32)(file['sha256']),
      ),
    'a list of { path, size, sha256 }',
  );
  return value as Manifest;
}
