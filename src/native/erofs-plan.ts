/**
 * Planning and writing EROFS images with the native library, from a scan that it made itself: nothing of
 * the files comes here. The twin is `src/formats/erofs/plan.ts`; both make the same bytes.
 */

import { EROFS_SLOTSIZE } from '../formats/erofs/layout.ts';
import { sealSuperblock } from '../formats/erofs/seal-superblock.ts';
import type { AssembleOptions, BlockDigests, ImageTarget } from '../io/image-pieces.ts';
import { assemblyThreads, runAssembly } from './assembly-run.ts';
import { callAsync, type NativeLibrary } from './library.ts';
import type { NativeScan } from './scan-tree.ts';

export interface NativeErofsOptions {
  /** That was scanned. */
  readonly folder: string;
  /** 4096, 16384 or 65536. */
  readonly blockSize: number;
  /** Seconds since 1970, a whole number: of the superblock and, unless times are kept, of every file. */
  readonly buildTime: number;
  readonly keepTimes: boolean;
  readonly allRoot: boolean;
  /** At most 15 bytes of UTF-8. */
  readonly volumeName: string;
}

export interface NativeErofsPlan {
  /** How many there are. */
  readonly inodes: number;
  /** Of the image, in bytes, as the next two. */
  readonly size: number;
  readonly blockSize: number;
  /** Of what is reported as progress. */
  readonly pieceSize: number;
  /** What identifiers are derived from: it stands for names, sizes, owners, modes and times. */
  readonly seed: Uint8Array;
  /**
   * Writes the image.
   *
   * @param uuid 16 bytes.
   * @throws as `ImageAssembler.assemble` does.
   */
  assemble(
    uuid: Uint8Array,
    target: ImageTarget,
    options: AssembleOptions & { readonly hashing?: BlockDigests | undefined },
  ): Promise<void>;
  /** Lets the library forget it. */
  close(): void;
}

const KEEP_TIMES = 1;
const ALL_ROOT = 2;
const COMPRESSED = 4;
const SEED_SIZE = 32;
const MAX_PATH = 1 << 16;

/** What the library knows of a plan. */
interface OpenedPlan {
  readonly handle: number;
  readonly seed: Uint8Array;
  readonly inodes: number;
  /** Of the image, in bytes; 0 where files are compressed. */
  readonly size: number;
  readonly rootOffset: number;
  /** Of all pieces, in bytes; where files are compressed, of all files. */
  readonly pieceSize: number;
}

/**
 * Plans the image of a scanned folder, and takes the scan then.
 *
 * @param threads How many of the library's write the image; default one for each processor.
 * @returns undefined for what only the twin can store, or nobody: the scan can still be used.
 */
export async function planErofsNatively(
  library: NativeLibrary,
  scan: NativeScan,
  options: NativeErofsOptions,
  threads: number = assemblyThreads(),
): Promise<NativeErofsPlan | undefined> {
  const { folder, blockSize, buildTime, volumeName: label } = options;
  const opened = await openPlan(library, scan, options, false);
  if (opened === undefined) return undefined;
  const { handle, seed, inodes, size, rootOffset, pieceSize } = opened;
  const volumeName = Buffer.from(label);
  return {
    inodes,
    size,
    blockSize,
    pieceSize,
    seed,
    async assemble(uuid, target, assembleOptions) {
      const seal = (firstBlock: Uint8Array): void =>
        sealSuperblock(
          {
            buildTime,
            uuid,
            volumeName,
            blockSize,
            blocks: size / blockSize,
            featureIncompat: 0,
            inodeCount: inodes,
            rootNid: rootOffset / EROFS_SLOTSIZE,
          },
          firstBlock,
        );
      const { fd, offset } = target;
      await runAssembly(library, { size, blockSize, pieceSize, seal }, target, assembleOptions, {
        start: (hashBlockSize, salt) =>
          library.func(
            'int64_t mb_erofs_start(uint64_t plan, int fd, uint64_t base, uint32_t hash_block_size, const uint8_t *salt, size_t salt_len, uint32_t threads)',
          )(handle, fd, offset, hashBlockSize, salt, salt.length, threads),
        async feed(assembly) {
          const add = library.func('int mb_erofs_add(uint64_t plan, uint64_t assembly)');
          const added = await callAsync(add, handle, assembly);
          if (added !== 0)
            throw new RangeError(`The native library refused its plan: ${String(added)}`);
        },
        file(number) {
          const file = fileOf(library, handle, number);
          return { ...file, diskPath: folder + file.path };
        },
      });
    },
    close: () => closePlan(library, handle),
  };
}

/** Plans for an image whose files are stored as they are, or compressed. */
export async function openPlan(
  library: NativeLibrary,
  scan: NativeScan,
  options: NativeErofsOptions,
  isCompressed: boolean,
): Promise<OpenedPlan | undefined> {
  const { folder, blockSize, buildTime, keepTimes, allRoot } = options;
  if (!Number.isSafeInteger(buildTime)) return undefined;
  const path = Buffer.from(folder);
  const volumeName = Buffer.from(options.volumeName);
  const facts = new BigUint64Array(5);
  const seed = new Uint8Array(SEED_SIZE);
  const plan = library.func(
    'int64_t mb_erofs_plan(uint64_t scan, const uint8_t *folder, size_t folder_len, const uint8_t *label, size_t label_len, uint32_t block_size, int64_t build_time, uint32_t flags, _Out_ uint64_t *facts, _Out_ uint8_t *seed)',
  );
  const result = await callAsync(
    plan,
    scan.handle,
    path,
    path.length,
    volumeName,
    volumeName.length,
    blockSize,
    buildTime,
    (keepTimes ? KEEP_TIMES : 0) | (allRoot ? ALL_ROOT : 0) | (isCompressed ? COMPRESSED : 0),
    facts,
    seed,
  );
  const handle = Number(result);
  if (!(handle > 0)) return undefined;
  const [inodes = 0, size = 0, , rootOffset = 0, pieceSize = 0] = [...facts].map(Number);
  return { handle, seed, inodes, size, rootOffset, pieceSize };
}

export function closePlan(library: NativeLibrary, handle: number): void {
  library.func('void mb_erofs_close(uint64_t plan)')(handle);
}

/** A file by its number, with its path from the folder on. */
export function fileOf(
  library: NativeLibrary,
  plan: number,
  number: number,
): { readonly path: string; readonly size: number } {
  const size = new BigUint64Array(1);
  const path = Buffer.alloc(MAX_PATH);
  const file = library.func(
    'int64_t mb_erofs_file(uint64_t plan, uint64_t number, _Out_ uint64_t *size, _Out_ uint8_t *path, size_t path_len)',
  );
  const length = Number(file(plan, number, size, path, path.length));
  return { path: path.toString('utf8', 0, Math.max(length, 0)), size: Number(size[0]) };
}
