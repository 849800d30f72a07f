/** `AndroidManifest.xml` of a payload: what a VM payload needs and installers ask for. */

import { decodeAxml } from './decode.ts';
import {
  ANDROID_NAMESPACE,
  type AxmlAttribute,
  type AxmlElement,
  type AxmlValue,
} from './document.ts';
import { encodeAxml } from './encode.ts';
import { axmlError } from './layout.ts';

interface UsesFeature {
  readonly name: string;
  readonly required: boolean;
}

export interface Manifest {
  /** Such as `dev.microbuild.hello`. */
  readonly package: string;
  /** 0..2^31-1. */
  readonly versionCode: number;
  readonly versionName?: string;
  readonly minSdk: number;
  readonly targetSdk: number;
  readonly debuggable: boolean;
  /** Whether there is a `classes.dex`; native payloads have none. */
  readonly hasCode: boolean;
  /** Whether installers copy libraries out of the APK; false needs them stored and page-aligned. */
  readonly extractNativeLibs: boolean;
  readonly features?: readonly UsesFeature[];
}

/** Attribute ids of frameworks/base core/res/res/values/public-final.xml: fixed forever. */
const ATTRIBUTE_IDS = {
  name: 0x01010003,
  hasCode: 0x0101000c,
  debuggable: 0x0101000f,
  minSdkVersion: 0x0101020c,
  versionCode: 0x0101021b,
  versionName: 0x0101021c,
  targetSdkVersion: 0x01010270,
  required: 0x0101028e,
  extractNativeLibs: 0x010104ea,
} as const;
type AttributeName = keyof typeof ATTRIBUTE_IDS;

/** Android's rule for package names: at least two segments of letters, digits and `_`. */
const PACKAGE_NAME = /^[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)+$/;
const MAX_PACKAGE_NAME = 223;
const MAX_INT = 0x7fffffff;

const text = (value: string): AxmlValue => ({ kind: 'string', value });
const integer = (value: number): AxmlValue => ({ kind: 'integer', value });
const boolean = (value: boolean): AxmlValue => ({ kind: 'boolean', value });

const android = (name: AttributeName, value: AxmlValue): AxmlAttribute => ({
  namespace: ANDROID_NAMESPACE,
  name,
  resourceId: ATTRIBUTE_IDS[name],
  value,
});

const element = (
  name: string,
  attributes: readonly AxmlAttribute[],
  children: readonly AxmlElement[] = [],
): AxmlElement => ({ name, attributes, children });

/** Whether Android takes `name` as a package name. */
const isPackageName = (name: string): boolean =>
  PACKAGE_NAME.test(name) && name.length <= MAX_PACKAGE_NAME;

/**
 * Encodes a manifest as binary XML.
 *
 * @throws {RangeError} when the package name or a number is not one that Android takes.
 */
export function encodeManifest(manifest: Manifest): Uint8Array {
  if (!isPackageName(manifest.package)) {
    throw new RangeError(
      `Cannot encode manifest: "${manifest.package}" is not a package name such as dev.example.app`,
    );
  }
  for (const field of ['versionCode', 'minSdk', 'targetSdk'] as const) {
    const value = manifest[field];
    if (!Number.isInteger(value) || value < 0 || value > MAX_INT) {
      throw new RangeError(`Cannot encode manifest: ${field} ${value} is not in 0..2^31-1`);
    }
  }
  return encodeAxml(
    element(
      'manifest',
      [
        android('versionCode', integer(manifest.versionCode)),
        ...(manifest.versionName === undefined
          ? []
          : [android('versionName', text(manifest.versionName))]),
        { name: 'package', value: text(manifest.package) },
      ],
      [
        element('uses-sdk', [
          android('minSdkVersion', integer(manifest.minSdk)),
          android('targetSdkVersion', integer(manifest.targetSdk)),
        ]),
        ...(manifest.features ?? []).map(({ name, required }) =>
          element('uses-feature', [
            android('name', text(name)),
            android('required', boolean(required)),
          ]),
        ),
        element('application', [
          android('hasCode', boolean(manifest.hasCode)),
          ...(manifest.debuggable ? [android('debuggable', boolean(true))] : []),
          android('extractNativeLibs', boolean(manifest.extractNativeLibs)),
        ]),
      ],
    ),
  );
}

const find = (of: AxmlElement | undefined, name: AttributeName): AxmlValue | undefined =>
  of?.attributes.find(({ resourceId }) => resourceId === ATTRIBUTE_IDS[name])?.value;

function findInteger(of: AxmlElement | undefined, name: AttributeName): number | undefined {
  const value = find(of, name);
  if (value === undefined) return undefined;
  if (value.kind === 'integer') return value.value;
  // A preview SDK's code name (`android:minSdkVersion="S"`) has no number that we could compare.
  throw axmlError('bad-value', `android:${name} is not an integer`, { field: name });
}

function findBoolean(of: AxmlElement | undefined, name: AttributeName, absent: boolean): boolean {
  const value = find(of, name);
  if (value === undefined) return absent;
  if (value.kind === 'boolean') return value.value;
  throw axmlError('bad-value', `android:${name} is not a boolean`, { field: name });
}

function findText(of: AxmlElement, name: AttributeName): string | undefined {
  const value = find(of, name);
  return value?.kind === 'string' ? value.value : undefined;
}

/**
 * Decodes what a payload's manifest says; absent attributes have Android's defaults.
 *
 * @throws {FormatError} when the bytes are no binary XML, not a manifest, or an attribute has
 *   another type than Android's.
 */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const root = decodeAxml(bytes);
  if (root.name !== 'manifest') {
    throw axmlError('bad-value', `its root element is <${root.name}>, not <manifest>`);
  }
  const packageValue = root.attributes.find(
    ({ name, namespace }) => name === 'package' && namespace === undefined,
  )?.value;
  if (packageValue?.kind !== 'string') {
    throw axmlError('bad-value', 'the manifest names no package', { field: 'package' });
  }
  const child = (name: string): AxmlElement | undefined =>
    root.children.find((candidate) => candidate.name === name);
  const usesSdk = child('uses-sdk');
  const application = child('application');
  const minSdk = findInteger(usesSdk, 'minSdkVersion') ?? 1;
  const versionName = findText(root, 'versionName');
  const features = root.children
    .filter(({ name }) => name === 'uses-feature')
    .flatMap((feature) => {
      const name = findText(feature, 'name');
      return name === undefined ? [] : [{ name, required: findBoolean(feature, 'required', true) }];
    });
  return {
    package: packageValue.value,
    versionCode: findInteger(root, 'versionCode') ?? 0,
    ...(versionName !== undefined && { versionName }),
    minSdk,
    targetSdk: findInteger(usesSdk, 'targetSdkVersion') ?? minSdk,
    debuggable: findBoolean(application, 'debuggable', false),
    hasCode: findBoolean(application, 'hasCode', true),
    extractNativeLibs: findBoolean(application, 'extractNativeLibs', true),
    ...(features.length > 0 && { features }),
  };
}
