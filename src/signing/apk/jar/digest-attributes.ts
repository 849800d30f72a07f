/** Which digests of a section a release of Android compares. */

import { FormatError } from '../../../core/errors.ts';
import { findAttribute, type ManifestSection } from '../../../formats/jar/manifest.ts';

type JarHash = 'md5' | 'sha1' | 'sha256' | 'sha384' | 'sha512';

export interface ExpectedDigest {
  /** As node:crypto names it. */
  readonly hash: JarHash;
  /** As Java and messages name it. */
  readonly algorithm: string;
  readonly digest: Uint8Array;
}

export interface SdkRange {
  readonly minSdk: number;
  readonly maxSdk: number;
}

/** Android 4.3: the first release that takes the strongest digest instead of the first. */
const SDK_STRONGEST = 18;

const ALGORITHMS: Readonly<Record<JarHash, { readonly name: string; readonly minSdk: number }>> = {
  md5: { name: 'MD5', minSdk: 0 },
  sha1: { name: 'SHA-1', minSdk: 0 },
  sha256: { name: 'SHA-256', minSdk: 0 },
  sha384: { name: 'SHA-384', minSdk: 9 },
  sha512: { name: 'SHA-512', minSdk: 9 },
};

/** What old releases understand, in upper case. */
const BY_OLD_NAME: ReadonlyMap<string, JarHash> = new Map([
  ['MD5', 'md5'],
  ['SHA', 'sha1'],
  ['SHA1', 'sha1'],
  ['SHA-1', 'sha1'],
  ['SHA-256', 'sha256'],
  ['SHA-384', 'sha384'],
  ['SHA-512', 'sha512'],
]);

/** Prefixes of attributes, the strongest first. */
const STRONGEST_FIRST: readonly (readonly [prefix: string, hash: JarHash])[] = [
  ['SHA-512', 'sha512'],
  ['SHA-384', 'sha384'],
  ['SHA-256', 'sha256'],
  ['SHA1', 'sha1'],
];

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;

function expected(hash: JarHash, name: string, base64: string): ExpectedDigest {
  if (!BASE64.test(base64)) {
    throw new FormatError('jar', 'bad-value', `Cannot read JAR digest: ${name} is not base64`, {
      field: name,
    });
  }
  const digest = new Uint8Array(Buffer.from(base64, 'base64'));
  return { hash, algorithm: ALGORITHMS[hash].name, digest };
}

/** Before Android 4.3: the first digest of those that the section, or tradition, lists. */
function firstListed(
  section: ManifestSection,
  suffix: string,
  minSdk: number,
): ExpectedDigest | undefined {
  const listed = findAttribute(section, 'Digest-Algorithms') ?? 'SHA SHA1';
  const seen = new Set<string>();
  for (const prefix of listed.split(/[ \t\n\r\f]+/)) {
    const name = prefix.toUpperCase();
    const hash = BY_OLD_NAME.get(name);
    if (hash === undefined || ALGORITHMS[hash].minSdk > minSdk || seen.has(name)) continue;
    seen.add(name);
    const value = findAttribute(section, prefix + suffix);
    if (value !== undefined) return expected(hash, prefix + suffix, value);
  }
  return undefined;
}

function strongest(section: ManifestSection, suffix: string): ExpectedDigest | undefined {
  for (const [prefix, hash] of STRONGEST_FIRST) {
    const value = findAttribute(section, prefix + suffix);
    if (value !== undefined) return expected(hash, prefix + suffix, value);
  }
  return undefined;
}

/**
 * The digests that some release of the range compares; none when one of them would find none.
 *
 * @param suffix `-Digest`, `-Digest-Manifest`, ...
 * @throws {FormatError} `jar` when one of them is not base64.
 */
export function digestsToCompare(
  section: ManifestSection,
  suffix: string,
  { minSdk, maxSdk }: SdkRange,
): readonly ExpectedDigest[] {
  const digests: ExpectedDigest[] = [];
  if (minSdk < SDK_STRONGEST) {
    const first = firstListed(section, suffix, minSdk);
    if (first === undefined) return [];
    digests.push(first);
  }
  if (maxSdk >= SDK_STRONGEST) {
    const best = strongest(section, suffix);
    const isSame = digests.some(
      ({ hash, digest }) => hash === best?.hash && Buffer.compare(digest, best.digest) === 0,
    );
    if (best !== undefined && !isSame) digests.push(best);
  }
  return digests;
}
