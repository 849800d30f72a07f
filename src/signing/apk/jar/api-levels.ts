/**
 * On which releases of Android a JAR signature can be verified, by its algorithms: a table of what each
 * release's library knew, with its holes.
 */

import {
  findHash,
  findSignatureAlgorithm,
  type CmsHash,
  type CmsScheme,
} from '../../cms/algorithms.ts';

/** API levels, both included. */
interface ApiLevels {
  readonly min: number;
  readonly max: number;
}

const LAST = 0x7fff_ffff;
const from = (min: number): readonly ApiLevels[] => [{ min, max: LAST }];
/** Android 2.2 and before had another library than the releases that followed. */
const upTo8AndFrom = (min: number): readonly ApiLevels[] => [{ min: 0, max: 8 }, ...from(min)];
const ALL = from(0);

type ByHash = Readonly<Partial<Record<CmsHash, readonly ApiLevels[]>>>;

/** Signature algorithms that name no hash: by the digest algorithm. */
const PLAIN: Readonly<Record<CmsScheme, ByHash>> = {
  rsa: {
    md5: ALL,
    sha1: ALL,
    sha224: upTo8AndFrom(21),
    sha256: upTo8AndFrom(18),
    sha384: from(18),
    sha512: from(18),
  },
  dsa: { sha1: ALL, sha224: from(22), sha256: from(22) },
  ecdsa: {
    sha1: from(18),
    sha224: from(21),
    sha256: from(18),
    sha384: from(18),
    sha512: from(18),
  },
};

/** Signature algorithms that name a hash, which is the digest algorithm's. */
const COMBINED: Readonly<Record<CmsScheme, ByHash>> = {
  rsa: {
    md5: upTo8AndFrom(21),
    sha1: ALL,
    sha224: upTo8AndFrom(21),
    sha256: upTo8AndFrom(18),
    sha384: from(21),
    sha512: from(21),
  },
  dsa: { sha1: from(9), sha224: from(21), sha256: from(21) },
  ecdsa: {
    sha1: from(18),
    sha224: from(21),
    sha256: from(21),
    sha384: from(21),
    sha512: from(21),
  },
};

/** Signature algorithms that name another hash: Android 5 and 6 put up with them. */
const MISMATCH: readonly ApiLevels[] = [{ min: 21, max: 23 }];
const ONLY_5_0: readonly ApiLevels[] = [{ min: 21, max: 21 }];
/** By digest algorithm and hash of the signature algorithm. */
const RSA_ONLY_5_0: ReadonlySet<string> = new Set([
  'sha224 sha256',
  'sha256 sha1',
  'sha512 sha384',
]);

function supportedLevels(digestOid: string, signatureOid: string): readonly ApiLevels[] {
  const digest = findHash(digestOid);
  const signature = findSignatureAlgorithm(signatureOid);
  if (digest === undefined || signature === undefined) return [];
  const { scheme, hash } = signature;
  if (hash === undefined) return PLAIN[scheme][digest] ?? [];
  if (hash === digest) return COMBINED[scheme][digest] ?? [];
  if (COMBINED[scheme][hash] === undefined) return [];
  const isOnly5 = scheme === 'rsa' && RSA_ONLY_5_0.has(`${digest} ${hash}`);
  return isOnly5 ? ONLY_5_0 : MISMATCH;
}

/** What of `wanted` is in none of `supported`, which are in order. */
function missingLevels(wanted: ApiLevels, supported: readonly ApiLevels[]): readonly ApiLevels[] {
  const missing: ApiLevels[] = [];
  let next = wanted.min;
  for (const { min, max } of supported) {
    if (max < next) continue;
    if (min > wanted.max) break;
    if (min > next) missing.push({ min: next, max: min - 1 });
    next = max + 1;
  }
  if (next <= wanted.max) missing.push({ min: next, max: wanted.max });
  return missing;
}

function formatLevels({ min, max }: ApiLevels): string {
  if (min === max) return `${min}`;
  return max === LAST ? `${min}+` : `${min}-${max}`;
}

/**
 * The releases of a range that do not know the algorithms of a signature: `1-17`, `9-20, 24+`.
 * Undefined when all know them.
 */
export function unsupportedLevels(
  digestOid: string,
  signatureOid: string,
  minSdk: number,
  maxSdk: number,
): string | undefined {
  const supported = supportedLevels(digestOid, signatureOid);
  const missing = missingLevels({ min: minSdk, max: maxSdk }, supported);
  return missing.length === 0 ? undefined : missing.map(formatLevels).join(', ');
}
