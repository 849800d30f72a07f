/**
 * Signs APKs: JAR signatures (v1), APK Signature Schemes v2, v3 and v3.1, source stamps, and the v4 idsig,
 * with the bytes that apksig writes. Every byte of the entries is read once, and hashed while it is copied.
 *
 * @see https://source.android.com/docs/security/features/apksigning
 */

import { UsageError } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import type { ContentDigestAlgorithm } from '../../formats/apk/algorithms.ts';
import {
  encodeSigningBlock,
  SIGNING_BLOCK_ALIGNMENT,
  type BlockPair,
} from '../../formats/apk/signing-block.ts';
import { SOURCE_STAMP_V2_BLOCK_ID } from '../../formats/apk/source-stamp.ts';
import { MANIFEST_NAME } from '../../formats/jar/manifest.ts';
import { EndOfCentralDirectory } from '../../formats/zip/layout.ts';
import { bytesSource, type ByteSource } from '../../io/byte-source.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import type { DirectoryRecord } from '../../formats/zip/records.ts';
import type { CopyPlan, EntryAlignment } from './copy-plan.ts';
import { runEntriesPass, type ContentDigests, type EntriesPassOptions } from './entries-pass.ts';
import type { Lineage } from './lineage-change.ts';
import {
  checkKept,
  checkKeptManifest,
  keepSignatures,
  keptDigests,
  NOTHING_KEPT,
  type KeptSignatures,
} from './sign-append.ts';
import { signBlocks } from './sign-block.ts';
import { addEntries, encodeDirectory, encodeEnd, newestTime } from './sign-entries.ts';
import { planIdsig, writeIdsig, type WrittenIdsig } from './sign-idsig.ts';
import { isLeftOut, openInput, type SigningInput } from './sign-input.ts';
import { signingKey, type ApkSigner } from './sign-key.ts';
import {
  DEFAULT_ROTATION_MIN_SDK,
  planSignatures,
  type SchemeChoice,
  type SignaturePlan,
} from './sign-plan.ts';
import { newStampEntry, stampPair, type ApkStamp } from './sign-stamp.ts';

export type { ApkSigner } from './sign-key.ts';

export interface SignApkOptions {
  /** The APK, unsigned or with signatures that are to be replaced. */
  readonly input: ByteSource;
  /** The input's own file only when every entry stands there where it would be put, as in one just built. */
  readonly output: ImageSink;
  /** At least one; several sign v1 and v2 together, or v3 for releases of their own. */
  readonly signers: readonly ApkSigner[];
  /** Default: v1 and v2, and v3 where there is one signer per release. */
  readonly schemes?: SchemeChoice;
  /** Where the v4 signature goes; left out, there is none. */
  readonly idsig?: ImageSink | undefined;
  /** The oldest release that the APK is for. Default: what its manifest says. */
  readonly minSdk?: number | undefined;
  /** How the newest signer came to sign, oldest certificate first. */
  readonly lineage?: Lineage | undefined;
  /** The first release that takes the rotated key. Default 33, the first that reads v3.1. */
  readonly rotationMinSdk?: number | undefined;
  /** Whether that is a release in development, whose number is that of the one before. */
  readonly rotationTargetsDevRelease?: boolean | undefined;
  /** Whether v2 and v3 sign Merkle trees too, as fs-verity checks them. */
  readonly verity?: boolean | undefined;
  /** Whether zeros are added until the APK fills blocks of 4096 bytes; not with v1 alone. */
  readonly alignFileSize?: boolean | undefined;
  /** Default: libraries to 4096, other stored data to 4. */
  readonly alignment?: EntryAlignment | undefined;
  /** Whether entries keep their comments, which our guest refuses and Android accepts. */
  readonly entryComments?: boolean | undefined;
  /** Leaves out bytes of the input that belong to no entry, instead of refusing it for them. */
  readonly dropGaps?: boolean | undefined;
  /**
   * Whether the data of all entries is read and compared with its size and CRC-32, which takes as long as
   * to sign. Default: for v1, which needs it, and for small APKs.
   */
  readonly checkContents?: boolean | undefined;
  /** Default true; false refuses APKs that are debuggable. */
  readonly debuggablePermitted?: boolean | undefined;
  /** Who has made the JAR signature, as it says. Default `1.0 (Android)`. */
  readonly createdBy?: string | undefined;
  readonly stamp?: ApkStamp | undefined;
  /** Whether signatures of others are kept, which must be valid afterwards too. Default: replaced. */
  readonly appendSignature?: boolean | undefined;
  /** Hashes for content digests and Merkle trees. Default: node:crypto on this thread. */
  readonly hasher?: EntriesPassOptions['hasher'];
  /** Aborts between the steps, and while entries are read for v1. */
  readonly signal?: AbortSignal | undefined;
}

export interface SignedApk {
  /** In bytes. */
  readonly size: number;
  /** What v2 and v3 have signed. */
  readonly digests: ContentDigests;
  /** Undefined without an idsig. */
  readonly idsig: WrittenIdsig | undefined;
}

const FILE_ALIGNMENT = 4096;

/** The digests that the signers of a plan sign. */
function wantedDigests({ v2, v3, v31 }: SignaturePlan): readonly ContentDigestAlgorithm[] {
  const algorithms = [...v2, ...v3, ...v31].flatMap((signer) => signer.algorithms);
  return [...new Set(algorithms.map(({ contentDigest }) => contentDigest))];
}

function planFor(options: Omit<SignApkOptions, 'output'>, minSdk: number): SignaturePlan {
  if (options.signers.length === 0) {
    throw new UsageError('usage', 'Cannot sign APK: no signer is given');
  }
  return planSignatures({
    signers: options.signers.map(signingKey),
    schemes: options.schemes ?? {},
    minSdk,
    lineage: options.lineage,
    rotationMinSdk: options.rotationMinSdk ?? DEFAULT_ROTATION_MIN_SDK,
    rotationTargetsDevRelease: options.rotationTargetsDevRelease ?? false,
    verity: options.verity ?? false,
  });
}

/** The entries of the output: those of the input, and what signatures add to them. */
async function outputEntries(
  options: SignApkOptions,
  opened: SigningInput,
  plan: SignaturePlan,
): Promise<{ readonly entries: CopyPlan; readonly jarManifest: Uint8Array | undefined }> {
  const { input, stamp, createdBy, appendSignature = false } = options;
  // Payloads are signed without v1, and need not wait until its code is loaded.
  const v1 = plan.v1.length > 0 ? await import('./sign-v1.ts') : undefined;
  const ownNames = v1 && appendSignature ? v1.jarSignatureNames(plan.v1) : [];
  const copied = await opened.planCopy(appendSignature, ownNames);
  // All that is added looks as old as the newest of what is copied.
  const time = newestTime(copied);
  const stampEntry = stamp && (await newStampEntry(opened, stamp));
  const stamped = stampEntry ? await addEntries(copied, [stampEntry], time) : copied;
  if (v1 === undefined) return { entries: stamped, jarManifest: undefined };
  const { files, manifest } = await v1.signEntries({
    input,
    opened,
    copied,
    stampEntry,
    signers: plan.v1,
    schemes: [...(plan.v2.length > 0 ? [2] : []), ...(plan.v3.length > 0 ? [3] : [])],
    createdBy,
    signal: options.signal,
  });
  if (appendSignature) {
    const names = copied.records.map(({ name }) => name);
    checkKeptManifest(names, await opened.entry(MANIFEST_NAME), manifest);
  }
  return { entries: await addEntries(stamped, files, time), jarManifest: manifest };
}

/** Up to this, in bytes, an APK is read once into memory: its headers and data are read more than once. */
const HELD_SIZE = 8 << 20;

async function heldIfSmall(input: ByteSource): Promise<ByteSource> {
  return input.size > HELD_SIZE ? input : bytesSource(await input.read(0, input.size), input.name);
}

/** An APK that is ready to be signed: who will sign it is known, nothing is signed yet. */
export interface PlannedApk {
  readonly plan: SignaturePlan;
  /** The oldest release that the APK is for. */
  readonly minSdk: number;
  /** How many entries lose their comments. */
  readonly droppedComments: number;
  /**
   * `android:debuggable` of the manifest.
   *
   * @throws {FormatError} when it cannot be told.
   */
  isDebuggable(): Promise<boolean>;
  /** `android:targetSdkVersion`, undefined when the manifest does not tell. */
  targetSdk(): Promise<number | undefined>;
  /** X.509 DER of the source stamp's key, undefined without one. */
  readonly stampCertificate: Uint8Array | undefined;
  /**
   * Signs. Once only.
   *
   * @throws as `signApk` does.
   */
  sign(outputs: Pick<SignApkOptions, 'output' | 'idsig'>): Promise<SignedApk>;
}

/**
 * Reads what is to be signed and plans who signs it.
 *
 * @throws as `signApk` does, for all but signatures.
 */
export async function planApk(
  options: Omit<SignApkOptions, 'output' | 'idsig'>,
): Promise<PlannedApk> {
  const input = await heldIfSmall(options.input);
  const opened = await openInput(input, options);
  const plan = planFor(options, opened.minSdk);
  return {
    plan,
    minSdk: opened.minSdk,
    droppedComments: opened.droppedComments,
    isDebuggable: () => opened.isDebuggable(),
    targetSdk: () => opened.targetSdk(),
    stampCertificate: options.stamp?.signer.certificates[0],
    sign: (outputs) => signPlanned({ ...options, ...outputs, input }, opened, plan),
  };
}

/**
 * Signs an APK.
 *
 * @throws {FormatError} when the input is no APK, or one that readers could take differently: such
 *   input is not worth a signature.
 * @throws {UsageError} `key` when a key is of no use here, does not belong to its certificate, or signs
 *   wrongly; `usage` when schemes and signers do not fit; `input` for an APK that must not be signed.
 */
export const signApk = async (options: SignApkOptions): Promise<SignedApk> =>
  (await planApk(options)).sign(options);

/** Where an APK is that this program has just written, and what is known of it. */
export interface SignBuiltOptions extends Pick<
  SignApkOptions,
  'input' | 'output' | 'idsig' | 'signers' | 'hasher' | 'signal'
> {
  readonly minSdk: number;
  /** Without v1, whose files would be entries, too. */
  readonly schemes: SchemeChoice & { readonly v1: false };
  /** As `writeZip` tells them. */
  readonly entries: readonly DirectoryRecord[];
  /** Where they end, in bytes. */
  readonly entriesEnd: number;
}

/**
 * Signs an APK that was just written where it is. It is what its writer says: it is neither read back nor checked before.
 *
 * @throws {RangeError} for an entry that a signer leaves out.
 * @throws {UsageError} as `signApk` does.
 */
export async function signBuiltApk(options: SignBuiltOptions): Promise<SignedApk> {
  const { entries: records, entriesEnd: size } = options;
  const odd = records.find(({ name }) => isLeftOut(name));
  if (odd !== undefined) throw new RangeError(`Cannot sign APK: ${odd.name} would be left out`);
  const plan = planFor(options, options.minSdk);
  const entries: CopyPlan = { pieces: [{ kind: 'input', offset: 0, size }], size, records };
  return signEntries(options, plan, {
    entries,
    jarManifest: undefined,
    kept: NOTHING_KEPT,
    check: () => Promise.resolve(),
  });
}

async function signPlanned(
  options: SignApkOptions,
  opened: SigningInput,
  plan: SignaturePlan,
): Promise<SignedApk> {
  const kept = options.appendSignature ? keepSignatures(await opened.pairs(), plan) : NOTHING_KEPT;
  const output = await outputEntries(options, opened, plan);
  return signEntries(options, plan, {
    ...output,
    kept,
    // For v1, the data was read already.
    check: () => opened.check(output.entries, plan.v1.length > 0 ? false : options.checkContents),
  });
}

/** What is signed. */
interface SigningContent {
  readonly entries: CopyPlan;
  /** Of v1. */
  readonly jarManifest: Uint8Array | undefined;
  readonly kept: KeptSignatures;
  /** Refuses what must not be signed, while other threads copy and hash. */
  readonly check: () => Promise<void>;
}

async function signEntries(
  options: SignApkOptions,
  plan: SignaturePlan,
  { entries, jarManifest, kept, check }: SigningContent,
): Promise<SignedApk> {
  const { input, output, stamp } = options;
  const idsigSigners = options.idsig && planIdsig(plan);
  const hasBlock =
    plan.v2.length > 0 || plan.v3.length > 0 || stamp !== undefined || kept.pairs.length > 0;
  const entriesSize = hasBlock ? alignUp(entries.size, SIGNING_BLOCK_ALIGNMENT) : entries.size;
  const directory = encodeDirectory(entries);
  // The signing block takes whole blocks, however large it is.
  const partial = entriesSize + directory.length + EndOfCentralDirectory.size;
  const padding =
    options.alignFileSize === true && hasBlock ? alignUp(partial, FILE_ALIGNMENT) - partial : 0;
  const endAt = (offset: number): Uint8Array =>
    encodeEnd(entries, { offset, size: directory.length }, padding);

  options.signal?.throwIfAborted();
  // Other threads copy and hash while this one checks. What is refused was copied in vain, to a file that
  // its owner drops.
  const [passed, checked] = await Promise.allSettled([
    runEntriesPass({
      input,
      output,
      pieces: entries.pieces,
      entriesSize,
      digests: [...wantedDigests(plan), ...keptDigests(kept)],
      tree: options.idsig !== undefined,
      hasher: options.hasher,
    }),
    check(),
  ]);
  if (checked.status === 'rejected') throw checked.reason;
  if (passed.status === 'rejected') throw passed.reason;
  options.signal?.throwIfAborted();
  const pass = passed.value;
  const digests = await pass.contentDigests(directory, endAt(entriesSize));
  options.signal?.throwIfAborted();
  checkKept(kept, digests);
  const block = hasBlock
    ? encodeSigningBlock([
        ...kept.pairs,
        ...(await blockPairs(plan, digests, kept.v2, { stamp, jarManifest })),
      ])
    : new Uint8Array(0);
  const end = endAt(entriesSize + block.length);
  const { size, tree } = await pass.finish([block, directory, end]);
  if (options.idsig === undefined || idsigSigners === undefined || tree === undefined) {
    return { size, digests, idsig: undefined };
  }
  const idsig = await writeIdsig(options.idsig, idsigSigners, { size, digests, tree });
  return { size, digests, idsig };
}

async function blockPairs(
  plan: SignaturePlan,
  digests: ContentDigests,
  keptV2: KeptSignatures['v2'],
  { stamp, jarManifest }: { stamp: ApkStamp | undefined; jarManifest: Uint8Array | undefined },
): Promise<readonly BlockPair[]> {
  const [pairs, value] = await Promise.all([
    signBlocks(plan, digests, keptV2),
    stamp && stampPair(stamp, plan, digests, jarManifest),
  ]);
  return value === undefined ? pairs : [...pairs, { id: SOURCE_STAMP_V2_BLOCK_ID, value }];
}
