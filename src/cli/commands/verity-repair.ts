import { constants } from 'node:fs';
import { copyFile, open, rename } from 'node:fs/promises';
import { UsageError } from '../../core/errors.ts';
import { offsetSink, type ImageSink } from '../../io/image-sink.ts';
import { inTheMaking, type InTheMaking } from '../../io/in-the-making.ts';
import { repairRest, type RepairRestResult } from '../../verity/fec/repair-rest.ts';
import { repairImage, type RepairResult } from '../../verity/fec/repair.ts';
import type { CommandArguments, CommandContext, CommandDefinition } from '../command.ts';
import { engineOption, openEngine, type Engine } from '../engine.ts';
import { EXIT } from '../exit-code.ts';
import { expectOutputs, isSameFile } from './output-files.ts';
import { expectFile, sizeOf } from './verity-files.ts';
import {
  imagePaths,
  imagePositionals,
  openVerityImage,
  type FecPlace,
  type ImagePaths,
  type VerityImage,
} from './verity-image.ts';
import { fecOptions, lastText, step, textOption, treeOptions } from './verity-options.ts';
import { ownersOf, reportJson, reportText } from './verity-report.ts';

export const repairCommand: CommandDefinition = {
  name: 'repair',
  summary: 'Correct an image by its parity; success is only what the root digest proves',
  positionals: imagePositionals,
  options: {
    ...treeOptions,
    ...fecOptions,
    output: { ...textOption('Write the corrected image to this file'), alias: 'o' },
    'output-hash': textOption('Write the corrected hash area to this file, when it has its own'),
    'in-place': {
      type: 'boolean',
      default: false,
      describe: 'Correct the files themselves; only blocks that a digest proves are written',
    },
    engine: { ...engineOption, choices: ['native', 'js'] },
  },
  examples: [
    [
      'verity repair data hash --root-hash-file root --fec-device fec -o repaired',
      'leaves the files as they are',
    ],
    [
      'verity repair system.img --hash-offset 1048576 --fec-roots 2 --root-hash-file root --in-place',
      'all in one file',
    ],
  ],
  verifying: true,
  run: repair,
};

async function repair(
  args: CommandArguments,
  context: CommandContext,
): ReturnType<CommandDefinition['run']> {
  const paths = imagePaths(args);
  const output = lastText(args, 'output');
  if (paths.fec === undefined) {
    throw new UsageError('usage', 'Nothing can be corrected without parity', {
      hint: 'Give --fec-device, or --fec-offset and --fec-roots when it is in the file of the hash area',
    });
  }
  if ((output === undefined) !== args.flag('in-place')) {
    throw new UsageError('usage', 'Give either --output or --in-place');
  }
  const outputHash = lastText(args, 'output-hash');
  await expectOutputs(
    [
      ['--output', output],
      ['--output-hash', outputHash],
    ],
    [paths.data, paths.hash, paths.fec],
  );
  for (const path of [output, outputHash]) {
    if (path !== undefined && (await sizeOf(path)) !== undefined) await expectFile(path);
  }
  const copies = output === undefined ? undefined : await copyAside(paths, output, outputHash);
  const engine = await openEngine(lastText(args, 'engine'));
  try {
    const image = await openVerityImage(args, copies?.paths ?? paths);
    try {
      const isParityOurs = copies === undefined || copies.paths.fec !== paths.fec;
      const done = await repairOpened(context, image, engine, isParityOurs);
      if (done.result.report.intact) await copies?.commit();
      // By the names that the user knows.
      const named = { ...image, dataPath: paths.data, hashPath: paths.hash };
      return await describe(context, named, done, isParityOurs);
    } finally {
      await image.close();
    }
  } finally {
    await copies?.discard();
    await engine.close();
  }
}

interface Copies {
  readonly paths: ImagePaths;
  commit(): Promise<void>;
  discard(): Promise<void>;
}

/** Copies data and hash area beside the outputs; parity of its own is only read. */
async function copyAside(
  paths: ImagePaths,
  output: string,
  outputHash: string | undefined,
): Promise<Copies> {
  const made: { readonly temporary: InTheMaking; readonly path: string | undefined }[] = [];
  const copy = async (from: string, beside: string, path: string | undefined): Promise<string> => {
    const temporary = await inTheMaking(beside);
    made.push({ temporary, path });
    await copyFile(from, temporary.path, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    return temporary.path;
  };
  const discard = async (): Promise<void> => {
    for (const { temporary } of made) await temporary.discard();
  };
  try {
    const data = await copy(paths.data, output, output);
    const isOne = await isSameFile(paths.data, paths.hash);
    const hash = isOne ? data : await copy(paths.hash, outputHash ?? output, outputHash);
    let { fec } = paths;
    if (fec !== undefined && (await isSameFile(fec, paths.data))) fec = data;
    else if (fec !== undefined && (await isSameFile(fec, paths.hash))) fec = hash;
    return {
      paths: { data, hash, fec },
      async commit() {
        for (const { temporary, path } of made) {
          if (path !== undefined) await rename(temporary.path, path);
        }
      },
      discard,
    };
  } catch (error) {
    await discard();
    throw error;
  }
}

interface Done {
  readonly result: RepairResult;
  /** Undefined when the tree does not verify. */
  readonly rest: RepairRestResult | undefined;
}

async function repairOpened(
  context: CommandContext,
  image: VerityImage,
  { hasher, fecEncoder }: Engine,
  isParityOurs: boolean,
): Promise<Done> {
  const { data, fec, parameters, rootDigest, treeOffset, layout } = image;
  if (fec === undefined) throw new TypeError('There is no parity');
  const { signal } = context;
  const files = openPatches();
  try {
    const hashAreaSink = offsetSink(files.sink(image.hashPath), treeOffset);
    const parts = { data, hashArea: fec.hashArea, parity: fec.parity, hashAreaSink };
    const { roots, blockSize } = fec.layout;
    const result = await step(context, `Repair ${image.dataPath}`, data.size, (onProgress) =>
      repairImage(
        { ...parts, dataSink: files.sink(image.dataPath) },
        { ...parameters, rootDigest, hasher, signal, roots, onProgress },
      ),
    );
    const rest = result.report.intact
      ? await repairRest(
          { ...parts, paritySink: paritySinkOf(fec, isParityOurs, files) },
          { roots, blockSize, treeSize: layout.treeSize, encoder: fecEncoder, signal },
        )
      : undefined;
    return { result, rest };
  } finally {
    await files.close();
  }
}

function paritySinkOf(
  fec: FecPlace,
  isOurs: boolean,
  files: ReturnType<typeof openPatches>,
): Pick<ImageSink, 'write'> {
  return isOurs ? offsetSink(files.sink(fec.path), fec.offset) : { write: () => Promise.resolve() };
}

/** Files that are written here and there; opened at the first write, as there may be none. */
function openPatches(): { sink(path: string): ImageSink; close(): Promise<void> } {
  const handles = new Map<string, ReturnType<typeof open>>();
  return {
    sink: (path) => ({
      async write(offset, chunk) {
        const opening = handles.get(path) ?? open(path, 'r+');
        handles.set(path, opening);
        const handle = await opening;
        for (let done = 0; done < chunk.length;) {
          const left = chunk.length - done;
          done += (await handle.write(chunk, done, left, offset + done)).bytesWritten;
        }
      },
      truncate: () => Promise.resolve(),
    }),
    async close() {
      for (const opening of handles.values()) {
        const handle = await opening;
        try {
          await handle.sync();
        } finally {
          await handle.close();
        }
      }
    },
  };
}

async function describe(
  { terminal, signal }: CommandContext,
  image: VerityImage,
  { result, rest }: Done,
  isParityOurs: boolean,
): Promise<{ text: string; json: unknown; exitCode: number }> {
  const { report, repaired } = result;
  const dataBlocks = repaired.filter(({ level }) => level === 'data').length;
  const hashBlocks = repaired.length - dataBlocks;
  const owners = await ownersOf(image, report, signal);
  const lines = [
    `Corrected ${dataBlocks} data blocks and ${hashBlocks} hash blocks`,
    ...restLines(rest, isParityOurs),
    reportText(image, report, owners, terminal),
  ];
  if (!report.intact) lines.push('More is wrong than the parity can correct');
  return {
    text: lines.join('\n'),
    json: {
      repaired,
      ...reportJson(image, report, owners),
      ...(rest === undefined ? {} : { parity: rest }),
    },
    exitCode: report.intact ? EXIT.ok : EXIT.verification,
  };
}

function restLines(rest: RepairRestResult | undefined, isParityOurs: boolean): string[] {
  if (rest === undefined) return [];
  const { parityRounds, metadataBlocks, undecidedRounds } = rest;
  const lines: string[] = [];
  if (parityRounds > 0) {
    lines.push(
      isParityOurs
        ? `Wrote the parity of ${parityRounds} rounds anew`
        : `The parity of ${parityRounds} rounds is wrong: --in-place writes it anew, as does format`,
    );
  }
  if (metadataBlocks > 0) {
    lines.push(
      `Corrected ${metadataBlocks} blocks of metadata behind the tree, which no digest proves`,
    );
  }
  if (undecidedRounds > 0) {
    lines.push(`Parity and metadata disagree in ${undecidedRounds} rounds: left as they are`);
  }
  return lines;
}
