/** Puts a payload disk together out of APKs that are there, as Android's `vm run-app` does. */

import { join } from 'node:path';
import { LABELS } from '../bundle/layout.ts';
import type { ComposedPayload } from '../bundle/open.ts';
import { APK_DIRECTORY, PAYLOAD_CONFIG_ENTRY } from '../bundle/payload-config.ts';
import { ARCHITECTURES, type Arch } from '../core/arch.ts';
import { FormatError, UsageError, VerificationError } from '../core/errors.ts';
import { decodeAxml } from '../formats/axml/decode.ts';
import type { PayloadStart } from '../formats/payload-metadata/metadata.ts';
import { readEntry } from '../formats/zip/read-entry.ts';
import { readZip } from '../formats/zip/read.ts';
import { openFileSource, type ByteSource } from '../io/byte-source.ts';
import type { ApkHasher } from '../signing/apk/content-digests.ts';
import { copyApk, verifyApk, type GivenApk } from './payload-apks.ts';
import { writePayloadDisk } from './steps/payload-disk.ts';

export interface ComposeOptions extends GivenApk {
  readonly extraApks: readonly GivenApk[];
  /** A library's file name, instead of a configuration in the APK. */
  readonly payloadBinaryName?: string | undefined;
  /** A configuration's path in the APK, such as `assets/vm_config.json`. */
  readonly configPath?: string | undefined;
  /** Where libraries are looked for. */
  readonly arch: Arch;
  /** Seeds the GUIDs of the disk. */
  readonly name: string;
  /** An empty folder that the caller removes. */
  readonly scratch: string;
  readonly hasher?: ApkHasher | undefined;
}

export interface ComposedDisk {
  readonly path: string;
  readonly payload: ComposedPayload;
}

const ANDROID_MANIFEST = 'AndroidManifest.xml';
const MAX_MANIFEST_SIZE = 16 << 20;
/** frameworks/base core/res/res/values/public-final.xml */
const VERSION_CODE = 0x0101021b;

/**
 * Writes the disk into the scratch folder.
 *
 * @throws {VerificationError} or {FormatError} naming the APK that the guest would refuse.
 * @throws {UsageError} when it is not clear what is to be started.
 */
export async function composePayload(options: ComposeOptions): Promise<ComposedDisk> {
  const { scratch, name, hasher } = options;
  const { start, payload } = await naming(options.apk, () =>
    planStart(options).catch(async (error: unknown) => {
      // Of an APK that was changed, that is what is to be said.
      await verifyApk(options.apk, hasher);
      throw error;
    }),
  );
  const path = join(scratch, `${LABELS.apk}.img`);
  await writePayloadDisk(path, { name, start }, async (disk) => {
    for (const given of [options, ...options.extraApks]) {
      await naming(given.apk, () => disk.addApk((place) => copyApk(given, place, hasher)));
    }
  });
  return { path, payload };
}

/** Errors about one of several files say which one. */
async function naming<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const message = cause instanceof Error ? `${path}: ${cause.message}` : '';
    if (cause instanceof VerificationError) {
      throw new VerificationError(cause.link, cause.code, message, { cause });
    }
    if (cause instanceof FormatError) {
      throw new FormatError(cause.format, cause.code, message, { cause });
    }
    throw cause;
  }
}

async function planStart(
  options: ComposeOptions,
): Promise<{ start: PayloadStart; payload: ComposedPayload }> {
  const apk = await openFileSource(options.apk);
  try {
    const { entries } = await readZip(apk);
    const names = new Set(entries.map((entry) => entry.name));
    const identity = await readIdentity(apk);
    const { payloadBinaryName, configPath = usualConfig(options, names) } = options;
    if (configPath !== undefined) {
      requireEntry(options, names, configPath);
      const start = { kind: 'config-path', path: `${APK_DIRECTORY}${configPath}` } as const;
      return { start, payload: { ...identity, entry: configPath } };
    }
    const library = payloadBinaryName ?? onlyLibrary(options, names);
    requireEntry(options, names, `${libraryFolder(options)}${library}`);
    const extraApkCount = options.extraApks.length;
    const start = { kind: 'config', payloadBinaryName: library, extraApkCount } as const;
    return { start, payload: { ...identity, entry: library } };
  } finally {
    await apk.close();
  }
}

const libraryFolder = ({ arch }: ComposeOptions): string => `lib/${ARCHITECTURES[arch].abi}/`;

/** An APK that brings a configuration means it, unless a library is named. */
const usualConfig = (
  { payloadBinaryName }: ComposeOptions,
  names: ReadonlySet<string>,
): string | undefined =>
  payloadBinaryName === undefined && names.has(PAYLOAD_CONFIG_ENTRY)
    ? PAYLOAD_CONFIG_ENTRY
    : undefined;

function onlyLibrary(options: ComposeOptions, names: ReadonlySet<string>): string {
  const folder = libraryFolder(options);
  const libraries = [...names]
    .filter((name) => name.startsWith(folder))
    .map((name) => name.slice(folder.length));
  const [only] = libraries;
  if (only !== undefined && libraries.length === 1) return only;
  throw new UsageError(
    'usage',
    `Cannot tell what to run of ${options.apk}: it has ${libraries.length} libraries in ${folder}`,
    {
      hint:
        libraries.length === 0
          ? `The guest is ${options.arch}: build the APK for it`
          : `Name one with --payload-binary-name: ${libraries.sort().join(', ')}`,
    },
  );
}

function requireEntry({ apk }: ComposeOptions, names: ReadonlySet<string>, entry: string): void {
  if (names.has(entry)) return;
  throw new UsageError('input', `Cannot run ${apk}: it has no ${entry}`);
}

async function readIdentity(
  apk: ByteSource,
): Promise<Pick<ComposedPayload, 'package' | 'versionCode'>> {
  const bytes = await readEntry(apk, ANDROID_MANIFEST, MAX_MANIFEST_SIZE);
  const attributes = bytes === undefined ? [] : decodeAxml(bytes).attributes;
  const name = attributes.find((each) => each.name === 'package')?.value;
  const version = attributes.find((each) => each.resourceId === VERSION_CODE)?.value;
  if (name?.kind !== 'string') {
    throw new FormatError('apk', 'bad-value', `${ANDROID_MANIFEST} names no package`);
  }
  return {
    package: name.value,
    versionCode: version?.kind === 'integer' ? version.value : 0,
  };
}
