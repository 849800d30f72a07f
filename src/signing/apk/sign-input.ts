/** The APK that is to be signed: what it says of itself, what of it is copied, and whether it may be. */

import { FormatError, UsageError } from '../../core/errors.ts';
import {
  findApkSections,
  findBlockName,
  readSigningBlock,
  VERITY_PADDING_BLOCK_ID,
  type ApkSections,
  type PlacedPair,
} from '../../formats/apk/signing-block.ts';
import { STAMP_CERTIFICATE_ENTRY } from '../../formats/apk/source-stamp.ts';
import { decodeAxml } from '../../formats/axml/decode.ts';
import { openEntry } from '../../formats/zip/entry.ts';
import {
  EndOfCentralDirectory,
  END_OF_CENTRAL_DIRECTORY_SIGNATURE,
} from '../../formats/zip/layout.ts';
import { nameProblem, nameSet } from '../../formats/zip/names.ts';
import { readZip, type ZipDirectory, type ZipEntry } from '../../formats/zip/read.ts';
import { checkStrictZip } from '../../formats/zip/strict.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { isSignatureEntry, planCopy, type CopyPlan, type EntryAlignment } from './copy-plan.ts';
import { plannedSource } from './planned-source.ts';
import { encodeDirectory, encodeEnd } from './sign-entries.ts';
import { readManifestFacts } from './verifier/manifest-facts.ts';

export interface InputOptions {
  readonly minSdk?: number | undefined;
  readonly alignment?: EntryAlignment | undefined;
  readonly entryComments?: boolean | undefined;
  readonly dropGaps?: boolean | undefined;
  readonly debuggablePermitted?: boolean | undefined;
}

export interface SigningInput {
  readonly zip: ZipDirectory;
  /** The oldest release that the APK is for. */
  readonly minSdk: number;
  /** How many entries lose their comments. */
  readonly droppedComments: number;
  /** @throws {FormatError} when the manifest does not tell. */
  isDebuggable(): Promise<boolean>;
  /** Undefined when the manifest does not tell. */
  targetSdk(): Promise<number | undefined>;
  /**
   * @param keepsSignatures Whether the files of JAR signatures, and folders, are copied too.
   * @param ownNames Files that are made anew.
   */
  planCopy(keepsSignatures: boolean, ownNames: readonly string[]): Promise<CopyPlan>;
  /** Of the signing block, empty without one. */
  pairs(): Promise<readonly PlacedPair[]>;
  /** The data of a small entry, undefined when there is none of this name. */
  entry(name: string): Promise<Uint8Array | undefined>;
  /**
   * @param contents Whether to read the data of entries too, to compare its size and CRC-32; undefined
   *   where that is soon done.
   * @throws {FormatError} when readers could take the output's entries differently.
   */
  check(entries: CopyPlan, contents: boolean | undefined): Promise<void>;
}

/** Whether a signer leaves an entry out, whatever it has: it belongs to another signature, or holds for other bytes. */
export const isLeftOut = (name: string): boolean =>
  name === STAMP_CERTIFICATE_ENTRY || name === PIN_LIST_ENTRY || isSignatureEntry(name);

const ANDROID_MANIFEST = 'AndroidManifest.xml';
/** Where in an APK there is what systems keep in memory: void when anything moves. */
const PIN_LIST_ENTRY = 'pinlist.meta';
/** Data that is inflated in a few hundredths of a second. */
const SOON_READ = 8 << 20;
/** Of manifests, which are read as a whole. */
const MAX_SMALL_ENTRY = 64 << 20;

async function readSmall(input: ByteSource, entry: ZipEntry): Promise<Uint8Array> {
  if (entry.size > MAX_SMALL_ENTRY) {
    throw new FormatError(
      'apk',
      'too-large',
      `Cannot sign APK: ${entry.name} is ${entry.size} bytes, ${MAX_SMALL_ENTRY} are allowed`,
      { offset: entry.recordOffset, field: entry.name },
    );
  }
  const parts: Uint8Array[] = [];
  for await (const chunk of (await openEntry(input, entry)).stream()) {
    parts.push(Uint8Array.from(chunk));
  }
  return new Uint8Array(Buffer.concat(parts));
}

/**
 * The end record must be one that every reader finds and believes. Its comment is not kept; one that
 * looks like an end record would be taken for the archive's by some.
 */
function checkEnd({ end, entries, endOffset }: ZipDirectory, endBytes: Uint8Array): void {
  const refuse = (message: string): FormatError =>
    new FormatError('zip', 'bad-value', `Cannot sign APK: ${message}`, { offset: endOffset });
  if (end.diskNumber !== 0 || end.centralDirectoryDisk !== 0) {
    throw refuse('it is one disk of several');
  }
  if (end.entryCount !== entries.length || end.entriesOnDisk !== entries.length) {
    throw refuse(
      `its end record counts ${end.entryCount} entries (${end.entriesOnDisk} on this disk), its directory lists ${entries.length}`,
    );
  }
  const comment = Buffer.from(endBytes.subarray(EndOfCentralDirectory.size));
  const signature = Buffer.alloc(4);
  signature.writeUInt32LE(END_OF_CENTRAL_DIRECTORY_SIGNATURE);
  if (comment.includes(signature)) throw refuse('its archive comment holds another end record');
}

/**
 * No name may be taken for another, not even of an entry that is left out: who made such an archive means
 * to deceive somebody.
 */
function checkNames(entries: readonly ZipEntry[]): void {
  const names = nameSet();
  for (const { name, recordOffset } of entries) {
    const problem = nameProblem(name) ?? names.add(name);
    if (problem === undefined) continue;
    throw new FormatError(
      'zip',
      'bad-value',
      `Cannot sign APK: the entry name ${JSON.stringify(name)} ${problem}`,
      {
        offset: recordOffset,
        field: name,
      },
    );
  }
}

/** Two pairs of one id in a signing block have different readers, who see different signers. */
async function checkPairs(source: ByteSource, sections: ApkSections): Promise<void> {
  if (!sections.hasSigningBlock) return;
  const seen = new Set<number>();
  for (const { id, offset } of await readSigningBlock(source, sections)) {
    if (seen.has(id) && id !== VERITY_PADDING_BLOCK_ID && findBlockName(id) !== undefined) {
      throw new FormatError(
        'apk',
        'duplicate',
        `Cannot sign APK: its signing block has two pairs of ${findBlockName(id)}`,
        { offset },
      );
    }
    seen.add(id);
  }
}

function minSdkOf(manifest: Uint8Array | undefined): number {
  const hint = 'Name the oldest release that the APK is for with --min-sdk-version';
  if (manifest === undefined) {
    throw new UsageError('input', `Cannot sign APK: it has no ${ANDROID_MANIFEST}`, { hint });
  }
  try {
    return readManifestFacts(manifest).minSdk();
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new UsageError(
      'input',
      `Cannot sign APK: ${ANDROID_MANIFEST} does not tell the oldest release that it is for`,
      { cause, hint },
    );
  }
}

function targetSdkOf(manifest: Uint8Array): number | undefined {
  try {
    return readManifestFacts(manifest).targetSdk;
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/** `android:debuggable`, from frameworks/base core/res/res/values/public-final.xml. */
const DEBUGGABLE = 0x0101000f;

/** As installers read it: of the first application element, in whatever type says yes. */
function debuggableOf(manifest: Uint8Array): boolean {
  const application = decodeAxml(manifest).children.find(({ name }) => name === 'application');
  const value = application?.attributes.find(({ resourceId }) => resourceId === DEBUGGABLE)?.value;
  switch (value?.kind) {
    case undefined:
      return false;
    case 'boolean':
      return value.value;
    case 'integer':
      return value.value === 1;
    case 'string':
      return ['true', 'TRUE', '1'].includes(value.value);
    case 'other':
      // What a reference stands for depends on the device.
      throw new FormatError(
        'apk',
        'unsupported',
        `Cannot tell whether the APK is debuggable: ${ANDROID_MANIFEST} refers to a resource for it`,
        { field: 'debuggable' },
      );
  }
}

/**
 * Opens an APK for signing.
 *
 * @throws {FormatError} when it is no APK, or its end record contradicts what it ends.
 * @throws {UsageError} `input` when its manifest does not tell what is needed, or it is debuggable and
 *   must not be.
 */
export async function openInput(source: ByteSource, options: InputOptions): Promise<SigningInput> {
  const sections = await findApkSections(source);
  const zip = await readZip(source);
  checkEnd(zip, sections.endBytes);
  checkNames(zip.entries);
  await checkPairs(source, sections);
  const entry = async (name: string): Promise<Uint8Array | undefined> => {
    const found = zip.entries.find((each) => each.name === name);
    return found && (await readSmall(source, found));
  };
  let reading: Promise<Uint8Array | undefined> | undefined;
  const readManifest = (): Promise<Uint8Array | undefined> => (reading ??= entry(ANDROID_MANIFEST));
  const isDebuggable = async (): Promise<boolean> => {
    const manifest = await readManifest();
    return manifest !== undefined && debuggableOf(manifest);
  };
  if (options.debuggablePermitted === false && (await isDebuggable())) {
    throw new UsageError('input', 'Cannot sign APK: it is debuggable', {
      hint: 'Build it for release, or permit it with --debuggable-apk-permitted',
    });
  }
  const commented = zip.entries.filter(({ comment }) => comment.length > 0).length;
  return {
    zip,
    minSdk: options.minSdk ?? minSdkOf(await readManifest()),
    droppedComments: options.entryComments === true ? 0 : commented,
    isDebuggable,
    async targetSdk() {
      const manifest = await readManifest();
      return manifest && targetSdkOf(manifest);
    },
    pairs: async () => (sections.hasSigningBlock ? await readSigningBlock(source, sections) : []),
    planCopy: (keepsSignatures, ownNames) =>
      planCopy(source, zip, {
        entriesEnd: sections.entriesEnd,
        alignment: options.alignment ?? { libraryPage: 4096 },
        entryComments: options.entryComments ?? false,
        dropGaps: options.dropGaps ?? false,
        isLeftOut: (name) =>
          ownNames.includes(name) ||
          name === STAMP_CERTIFICATE_ENTRY ||
          name === PIN_LIST_ENTRY ||
          (!keepsSignatures && isSignatureEntry(name)),
      }),
    entry,
    async check(entries, contents) {
      const dataSize = entries.records.reduce((sum, record) => sum + record.size, 0);
      const directory = encodeDirectory(entries);
      const end = encodeEnd(entries, { offset: entries.size, size: directory.length });
      const output = plannedSource(source, [
        ...entries.pieces,
        { kind: 'bytes', bytes: directory },
        { kind: 'bytes', bytes: end },
      ]);
      await checkStrictZip(output, await readZip(output), {
        contents: contents ?? dataSize <= SOON_READ,
        entryComments: options.entryComments ?? false,
      });
    },
  };
}
