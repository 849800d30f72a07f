/** What verification needs to know of `AndroidManifest.xml`. */

import { FormatError } from '../../../core/errors.ts';
import { axmlError } from '../../../formats/axml/layout.ts';
import { scanManifest } from './manifest-scan.ts';

/** frameworks/base core/res/res/values/public-final.xml */
const MIN_SDK_VERSION = 0x0101020c;
const TARGET_SDK_VERSION = 0x01010270;
const TARGET_SANDBOX_VERSION = 0x0101054c;

export interface ManifestFacts {
  /** @throws {FormatError} when nobody can tell. */
  minSdk(): number;
  readonly targetSdk: number;
  readonly targetSandboxVersion: number;
}

/** The first letter of a release's code name, and the version before that release. */
const CODE_NAMES: readonly (readonly [letter: string, sdk: number])[] = [
  ['C', 2],
  ['D', 3],
  ['E', 4],
  ['F', 7],
  ['G', 8],
  ['H', 10],
  ['I', 13],
  ['J', 15],
  ['K', 18],
  ['L', 20],
  ['M', 22],
  ['N', 23],
  ['O', 25],
];

/** A preview release has its name instead of a number; each later letter counts one version more. */
function sdkOfCodeName(name: string): number {
  const letter = name.charAt(0);
  if (!/^[A-Z]$/.test(letter)) {
    throw axmlError('bad-value', `android:minSdkVersion is "${name}", no release of Android`, {
      field: 'minSdkVersion',
    });
  }
  const known = CODE_NAMES.findLast(([first]) => first <= letter);
  if (known === undefined) return 1;
  const [first, sdk] = known;
  return sdk + (letter.charCodeAt(0) - first.charCodeAt(0));
}

function minSdkOf(bytes: Uint8Array): number {
  let minSdk = 1;
  // Each element refuses releases below its own version, so the highest counts.
  for (const element of scanManifest(bytes)) {
    if (element.depth !== 2 || element.name !== 'uses-sdk' || element.hasNamespace) continue;
    const value = element.attribute(MIN_SDK_VERSION);
    if (value === undefined) continue;
    if (value.kind === 'other') {
      throw axmlError('bad-value', 'android:minSdkVersion is neither a number nor a name', {
        field: 'minSdkVersion',
      });
    }
    const own = value.kind === 'string' ? sdkOfCodeName(value.value) : value.value;
    minSdk = Math.max(minSdk, own);
  }
  return minSdk;
}

/** The first number of an attribute on elements of this name; undefined when there is none to read. */
function findInteger(bytes: Uint8Array, name: string, id: number): number | undefined {
  for (const element of scanManifest(bytes)) {
    const value = element.name === name ? element.attribute(id) : undefined;
    if (value !== undefined) return value.kind === 'integer' ? value.value : undefined;
  }
  return undefined;
}

/** Undefined for what Android cannot read either, and passes over; a limit of ours is none of that. */
function optional(read: () => number | undefined): number | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof FormatError && error.code !== 'too-large') return undefined;
    throw error;
  }
}

/**
 * Reads what there is; only `minSdk` fails when it cannot be told.
 *
 * @throws {FormatError} `too-large` when it would take too much to tell.
 */
export function readManifestFacts(bytes: Uint8Array): ManifestFacts {
  const find = (name: string, id: number): number | undefined =>
    optional(() => findInteger(bytes, name, id));
  return {
    minSdk: () => minSdkOf(bytes),
    targetSdk: find('uses-sdk', TARGET_SDK_VERSION) ?? optional(() => minSdkOf(bytes)) ?? 1,
    targetSandboxVersion: find('manifest', TARGET_SANDBOX_VERSION) ?? 1,
  };
}
