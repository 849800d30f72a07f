/** What verification needs to know of `AndroidManifest.xml`, read as Android's package parser does. */

import { FormatError } from '../../../core/errors.ts';
import { decodeAxml } from '../../../formats/axml/decode.ts';
import type { AxmlElement, AxmlValue } from '../../../formats/axml/document.ts';
import { axmlError } from '../../../formats/axml/layout.ts';

/** frameworks/base core/res/res/values/public-final.xml */
const MIN_SDK_VERSION = 0x0101020c;
const TARGET_SDK_VERSION = 0x01010270;
const TARGET_SANDBOX_VERSION = 0x0101054c;

/** Without a number: it is only known when it is not given from outside. */
export interface ManifestFacts {
  /** @throws {FormatError} when the manifest names a version that nobody can tell. */
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

const valueOf = (element: AxmlElement, id: number): AxmlValue | undefined =>
  element.attributes.find(({ resourceId }) => resourceId === id)?.value;

/** As a signed number, which is what Android's attributes are. */
const integerOf = (value: AxmlValue | undefined): number | undefined =>
  value?.kind === 'integer' ? value.value | 0 : undefined;

function minSdkOf(root: AxmlElement): number {
  let minSdk = 1;
  // Each element refuses releases below its own version, so the highest counts.
  for (const element of root.children) {
    if (element.name !== 'uses-sdk') continue;
    const value = valueOf(element, MIN_SDK_VERSION);
    if (value === undefined) continue;
    if (value.kind !== 'integer' && value.kind !== 'string') {
      throw axmlError('bad-value', 'android:minSdkVersion is neither a number nor a name', {
        field: 'minSdkVersion',
      });
    }
    const own = value.kind === 'string' ? sdkOfCodeName(value.value) : value.value | 0;
    minSdk = Math.max(minSdk, own);
  }
  return minSdk;
}

/** The first value of an attribute on an element of this name, wherever in the document. */
function findFirst(of: AxmlElement, name: string, id: number): AxmlValue | undefined {
  const own = of.name === name ? valueOf(of, id) : undefined;
  if (own !== undefined) return own;
  for (const child of of.children) {
    const found = findFirst(child, name, id);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A version that cannot be told is the oldest, whose rules are the fewest. */
function minSdkOr1(root: AxmlElement): number {
  try {
    return minSdkOf(root);
  } catch (error) {
    if (error instanceof FormatError) return 1;
    throw error;
  }
}

/** @throws {FormatError} when the bytes are no binary XML. */
export function readManifestFacts(bytes: Uint8Array): ManifestFacts {
  const root = decodeAxml(bytes);
  return {
    minSdk: () => minSdkOf(root),
    targetSdk: integerOf(findFirst(root, 'uses-sdk', TARGET_SDK_VERSION)) ?? minSdkOr1(root),
    targetSandboxVersion: integerOf(findFirst(root, 'manifest', TARGET_SANDBOX_VERSION)) ?? 1,
  };
}
