import { toHex } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import { writeFileAtomic } from '../../io/atomic-output.ts';
import { openFileSource, sliceSource, type ByteSource } from '../../io/byte-source.ts';
import { offsetSink } from '../../io/image-sink.ts';
import { undoLeftovers } from '../../signing/avb/undoable-file.ts';
import { planHashArea, writeHashArea, writeSuperblock } from '../../verity/dm-verity.ts';
import type { HashAreaPlan } from '../../verity/dm-verity.ts';
import { fecLayout } from '../../verity/fec/layout.ts';
import { fecMatrix } from '../../verity/fec/matrix.ts';
import { writeParity } from '../../verity/fec/parity.ts';
import { deriveUuid, parseUuid, uuidText } from '../../verity/uuid.ts';
import type { CommandArguments, CommandContext, CommandDefinition } from '../command.ts';
import { engineOption, openEngine, type Engine } from '../engine.ts';
import { hashPart, imagePaths } from './verity-image.ts';
import { expectOutputs, isSameFile } from './output-files.ts';
import { expectFile, openWorkFiles, sizeOf, type WorkFile } from './verity-files.ts';
import {
  SHOWN_PARITY,
  fecOptions,
  lastText,
  optionalAlgorithm,
  optionalBlocks,
  optionalBlockSize,
  optionalHashType,
  optionalSalt,
  optionalSize,
  step,
  textOption,
  treeOptions,
} from './verity-options.ts';

export const formatCommand: CommandDefinition = {
  name: 'format',
  summary: 'Write a hash tree, and parity if wanted; the root digest is the result',
  positionals: {
    data: { type: 'string', describe: 'Image to protect' },
    tree: {
      type: 'string',
      required: false,
      describe: 'File of the hash area, replaced when --hash-offset is 0; default: behind DATA',
    },
  },
  options: {
    ...treeOptions,
    salt: textOption(
      'In hexadecimal, at most 256 bytes; - for none; default: derived from parameters and data',
    ),
    uuid: textOption('Of the superblock; default: derived from the root digest'),
    ...fecOptions,
    'root-hash-file': textOption('Write the root digest to this file, in hexadecimal'),
    engine: engineOption,
  },
  examples: [
    ['verity format system.img system.hash', 'hash area in its own file'],
    ['verity format system.img --fec-roots 2', 'tree and parity behind the data, in one file'],
    [
      'verity format data hash --no-superblock --salt - --root-hash-file root',
      'as a build takes it',
    ],
  ],
  run: format,
};

/** Where things are, by the command line. */
interface Places {
  readonly data: string;
  readonly hash: string;
  readonly isHashInData: boolean;
  readonly fec: string | undefined;
  /** Whether the parity is in the file of the hash area. */
  readonly isFecInHash: boolean;
  readonly isFecInData: boolean;
}

async function placesOf(args: CommandArguments): Promise<Places> {
  const { data, hash, fec } = imagePaths(args);
  for (const path of [data, hash, fec]) if (path !== undefined) await undoLeftovers(path);
  await expectFile(data);
  return {
    data,
    hash,
    isHashInData: await isSameFile(hash, data),
    fec,
    isFecInHash: fec !== undefined && (await isSameFile(fec, hash)),
    isFecInData: fec !== undefined && (await isSameFile(fec, data)),
  };
}

async function format(
  args: CommandArguments,
  context: CommandContext,
): ReturnType<CommandDefinition['run']> {
  const places = await placesOf(args);
  const uuidGiven = lastText(args, 'uuid');
  const uuid = uuidGiven === undefined ? undefined : parseUuid(uuidGiven);
  if (uuidGiven !== undefined && uuid === undefined) {
    throw new UsageError('usage', `Cannot use --uuid ${uuidGiven}: it is no UUID`);
  }
  const rootFile = lastText(args, 'root-hash-file');
  await expectOutputs([['--root-hash-file', rootFile]], [places.data, places.hash, places.fec]);
  const source = await openFileSource(places.data);
  if (source.size === 0) {
    await source.close();
    throw new UsageError('input', `Cannot protect ${places.data}: it is empty`);
  }
  const engine = await openEngine(lastText(args, 'engine'));
  const files = openWorkFiles();
  try {
    const dataBlockSize = optionalBlockSize(args, 'data-block-size') ?? 4096;
    const hashBlockSize = optionalBlockSize(args, 'hash-block-size') ?? 4096;
    const data = protectedPart(source, optionalBlocks(args), dataBlockSize);
    const givenOffset = optionalSize(args, 'hash-offset');
    const behind = places.isHashInData ? alignUp(data.size, hashBlockSize) : 0;
    const hashOffset = givenOffset ?? behind;
    if (places.isHashInData && givenOffset === undefined) {
      refuseOverwriting(source.size, behind, 'data', 'hash-offset');
    }
    if (places.isHashInData && hashOffset < data.size) {
      throw new UsageError(
        'usage',
        `Cannot place the hash area at ${hashOffset}: it would overwrite the data, which ends at ${data.size}`,
        {
          hint: 'Give --hash-offset behind the data, or --data-blocks when the file has a tree already',
        },
      );
    }
    const plan = await planHashArea(data, {
      algorithm: optionalAlgorithm(args) ?? 'sha256',
      hashType: optionalHashType(args) ?? 1,
      dataBlockSize,
      hashBlockSize,
      salt: optionalSalt(args),
      hashOffset,
      hasSuperblock: args.flag('superblock'),
    });
    const fec = await planFec(args, places, plan, data.size);
    const hashFile = await openTarget(files, places.hash, hashOffset > 0);
    const fecFile =
      fec === undefined
        ? undefined
        : places.isFecInHash
          ? hashFile
          : await openTarget(files, fec.path, fec.offset > 0);
    if (
      fec !== undefined &&
      places.isFecInHash &&
      ((await sizeOf(hashFile.path)) ?? 0) < fec.offset
    ) {
      // Metadata that is not there yet is zeros.
      await hashFile.truncate(fec.offset);
    }
    const written =
      engine.name === 'system'
        ? await formatBySystem(
            places,
            plan,
            uuid,
            hashFile,
            fec && fecFile && { ...fec, file: fecFile },
          )
        : await formatHere(context, { data, plan, uuid, hashFile, engine });
    if (fec !== undefined && fecFile !== undefined && engine.name !== 'system') {
      await writeFec(context, { data, plan, hashFile, engine, fec, fecFile });
    }
    context.signal.throwIfAborted();
    await files.commit();
    const root = toHex(written.rootDigest);
    if (rootFile !== undefined) await writeFileAtomic(rootFile, root);
    return describe(places, plan, written, fec, engine.name);
  } finally {
    await files.discard();
    await engine.close();
    await source.close();
  }
}

function protectedPart(
  source: ByteSource,
  blocks: number | undefined,
  blockSize: number,
): ByteSource {
  if (blocks === undefined) return source;
  if (blocks * blockSize > source.size) {
    throw new UsageError(
      'usage',
      `Cannot protect ${blocks} blocks of ${blockSize}: ${source.name} has ${source.size} bytes`,
    );
  }
  return sliceSource(source, 0, blocks * blockSize);
}

/** A file that is added to stays where it is; another is replaced. */
async function openTarget(
  files: ReturnType<typeof openWorkFiles>,
  path: string,
  isAddedTo: boolean,
): Promise<WorkFile> {
  const exists = (await sizeOf(path)) !== undefined;
  return exists && isAddedTo ? files.change(path) : files.create(path);
}

/** What stands behind the data or the tree is nobody's guess: to write over it must be asked for. */
function refuseOverwriting(size: number, end: number, what: string, option: string): void {
  if (size <= end) return;
  throw new UsageError(
    'usage',
    `The file goes on behind the ${what}, from ${end} to ${size}: what is there would be lost`,
    { hint: `Say where to write: --${option} ${end} to overwrite it, or a place behind it` },
  );
}

interface FecPlan {
  readonly path: string;
  readonly offset: number;
  readonly roots: number;
  /** Where in the hash file the covered bytes end. */
  readonly hashEnd: number;
}

async function planFec(
  args: CommandArguments,
  places: Places,
  plan: HashAreaPlan,
  dataSize: number,
): Promise<FecPlan | undefined> {
  const { fec: path, isFecInHash } = places;
  if (path === undefined) return undefined;
  const { hashBlockSize: blockSize, dataBlockSize, end } = plan;
  if (blockSize !== dataBlockSize) {
    throw new UsageError('usage', 'Cannot make parity: data and hash blocks must have one size');
  }
  const roots = optionalSize(args, 'fec-roots') ?? 2;
  const kept = plan.hashOffset > 0 ? ((await sizeOf(places.hash)) ?? 0) : 0;
  const given = optionalSize(args, 'fec-offset');
  if (isFecInHash && given === undefined) refuseOverwriting(kept, end, 'tree', 'fec-offset');
  const offset = given ?? (isFecInHash ? end : 0);
  const taken = Math.max(isFecInHash ? end : 0, places.isFecInData ? dataSize : 0);
  if (offset < taken || offset % blockSize !== 0) {
    throw new UsageError(
      'usage',
      `Cannot place the parity at ${offset}: it goes behind ${taken}, at a multiple of ${blockSize}`,
    );
  }
  // Metadata behind the tree is covered too: to the parity, or to the end of the file that has it.
  const hashEnd = isFecInHash ? offset : Math.max(end, kept - (kept % blockSize));
  // Refuses the roots before anything is written.
  fecLayout(dataSize + hashEnd - plan.treeOffset, blockSize, roots);
  return { path, offset, roots, hashEnd };
}

interface Work {
  readonly data: ByteSource;
  readonly plan: HashAreaPlan;
  readonly hashFile: WorkFile;
  readonly engine: Engine;
}

type Written = Awaited<ReturnType<typeof writeHashArea>>;

function formatHere(
  context: CommandContext,
  { data, plan, uuid, hashFile, engine }: Work & { readonly uuid: Uint8Array | undefined },
): Promise<Written> {
  const { signal } = context;
  const { hasher } = engine;
  return step(context, `Hash ${data.name}`, data.size, (onProgress) =>
    writeHashArea(data, hashFile, plan, { uuid, hasher, signal, onProgress }),
  );
}

async function writeFec(
  context: CommandContext,
  work: Work & { readonly fec: FecPlan; readonly fecFile: WorkFile },
): Promise<void> {
  const { data, plan, hashFile, engine, fec, fecFile } = work;
  const covered = data.size + fec.hashEnd - plan.treeOffset;
  const hashArea = await openFileSource(hashFile.path);
  try {
    const part = hashPart(hashArea, plan.treeOffset, fec.hashEnd);
    const layout = fecLayout(covered, plan.dataBlockSize, fec.roots);
    const { signal } = context;
    await step(
      context,
      `Compute parity of ${data.name}`,
      covered,
      (onProgress) =>
        writeParity(fecMatrix([data, part], layout), offsetSink(fecFile, fec.offset), {
          encoder: engine.fecEncoder,
          signal,
          onProgress,
        }),
      SHOWN_PARITY,
    );
  } finally {
    await hashArea.close();
  }
}

/** The same by libcryptsetup. It asks for a UUID before the root digest is known: ours is written afterwards. */
async function formatBySystem(
  places: Places,
  plan: HashAreaPlan,
  uuid: Uint8Array | undefined,
  hashFile: WorkFile,
  fec: (FecPlan & { readonly file: WorkFile }) | undefined,
): Promise<Written> {
  const placeholder = uuid ?? deriveUuid('microbuild dm-verity', new Uint8Array(0));
  const { formatWithLibcryptsetup } = await import('../../native/libcryptsetup.ts');
  const { rootDigest } = await formatWithLibcryptsetup({
    ...plan,
    dataPath: places.data,
    hashPath: hashFile.path,
    uuid: plan.hasSuperblock ? uuidText(placeholder) : undefined,
    fec: fec && { path: fec.file.path, roots: fec.roots, offset: fec.offset },
  });
  return { rootDigest, uuid: await writeSuperblock(hashFile, plan, rootDigest, uuid) };
}

function describe(
  places: Places,
  plan: HashAreaPlan,
  { rootDigest, uuid }: Written,
  fec: FecPlan | undefined,
  engine: string,
): { text: string; json: unknown } {
  const json = {
    rootDigest: toHex(rootDigest),
    algorithm: plan.algorithm,
    hashType: plan.hashType,
    salt: toHex(plan.salt),
    uuid: uuid && uuidText(uuid),
    dataBlocks: plan.dataBlocks,
    dataBlockSize: plan.dataBlockSize,
    hashBlockSize: plan.hashBlockSize,
    hash: places.hash,
    hashOffset: plan.hashOffset,
    treeOffset: plan.treeOffset,
    treeSize: plan.layout.treeSize,
    fec: fec && { file: fec.path, offset: fec.offset, roots: fec.roots },
    engine,
  };
  const rows: [string, string | number][] = [
    ['Root digest', json.rootDigest],
    ['Algorithm', `${plan.algorithm}, hash type ${plan.hashType}`],
    ['Salt', json.salt === '' ? '-' : json.salt],
    ...(json.uuid === undefined ? [] : [['UUID', json.uuid] as [string, string]]),
    ['Data', `${plan.dataBlocks} blocks of ${plan.dataBlockSize}`],
    ['Tree', `${places.hash}: ${plan.layout.treeSize} bytes at ${plan.treeOffset}`],
    ...(fec === undefined
      ? []
      : [['Parity', `${fec.path}: ${fec.roots} roots, at ${fec.offset}`] as [string, string]]),
  ];
  return { text: rows.map(([name, value]) => `${`${name}:`.padEnd(13)}${value}`).join('\n'), json };
}
