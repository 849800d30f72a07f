/** What is measured: each work, who does it with which command, and what was promised of it. */

import { join, resolve } from 'node:path';
import { largeTree, randomFile, smallTree, sparseFile, zeroFile } from './inputs.ts';
import { ask, type Step } from './measure.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

export interface Contender {
  readonly name: string;
  readonly steps: readonly Step[];
  /** What is done before each run, and not measured. */
  readonly prepare?: () => void;
  /** Files it writes, removed before each run. */
  readonly outputs: readonly string[];
  /** What must be equal to what all others made: the bytes of a file, or what is printed. */
  readonly result?: { readonly file: string } | { readonly printed: RegExp };
  /** Where what it prints says how many seconds it took; those of the whole process if left out. */
  readonly time?: RegExp;
  /** The output whose size is compared. */
  readonly image?: string;
}

/** How many times as fast as a peer we are to be. */
export interface Bar {
  readonly peer: string;
  readonly atLeast: number;
}

export interface Work {
  readonly name: string;
  readonly what: string;
  /** Makes the input where it is not there yet. @returns its path. */
  readonly input: () => string;
  readonly ours: (input: string) => Contender;
  /** Those that are installed. */
  readonly peers: (input: string) => readonly Contender[];
  readonly bars: readonly Bar[];
  /** What bounds it: hashing the input with bare lanes on all cores, or copying the image once. */
  readonly limit?: 'lanes' | 'copy';
  /** The part of the limit that we are to reach. */
  readonly limitBar?: number;
  /** By how much our image may differ in size from the first peer's, as a part of it. */
  readonly sizeBar?: number;
  /** What we may use at most, in bytes. */
  readonly memoryBar?: number;
  /** At least so many runs. */
  readonly runs?: number;
}

/** Sizes of the inputs, in bytes and files. */
interface Scale {
  readonly one: number;
  readonly four: number;
  readonly fec: number;
  readonly small: readonly [files: number, size: number];
  readonly large: readonly [files: number, size: number];
  readonly apks: readonly [Apk, Apk, Apk];
}
type Apk = readonly [size: number, smallFiles: number];

export const FULL: Scale = {
  one: GIB,
  four: 4 * GIB,
  fec: GIB,
  small: [20_000, 190 * MIB],
  large: [40, 700 * MIB],
  apks: [
    [5 * MIB, 300],
    [100 * MIB, 2000],
    [GIB, 5000],
  ],
};
export const QUICK: Scale = {
  one: 256 * MIB,
  four: 256 * MIB,
  fec: 16 * MIB,
  small: [2000, 19 * MIB],
  large: [8, 70 * MIB],
  apks: [
    [5 * MIB, 300],
    [20 * MIB, 500],
    [64 * MIB, 1000],
  ],
};

/** An `mkfs.erofs`: Debian's, or another one that the caller names. */
export interface Mkfs {
  readonly program: string;
  readonly version: string;
}

/** Those that are there, by path or name. */
export function findMkfs(programs: readonly string[]): Mkfs[] {
  return programs.flatMap((program) => {
    const said = ask(program, '--version') ?? '';
    const version = /mkfs\.erofs.*?(\d+\.\d[\d.]*)/s.exec(said)?.[1];
    return version === undefined ? [] : [{ program, version }];
  });
}

export interface WorkOptions {
  /** Of this repository. */
  readonly root: string;
  readonly inputs: string;
  readonly outputs: string;
  readonly scale: Scale;
  readonly mkfs: readonly Mkfs[];
  readonly hasProgram: (program: string) => boolean;
}

const SALT = '5aa5'.repeat(16);
const UUID = '6d696372-6f62-7569-6c64-62656e636821';
const TREE = [`--salt=${SALT}`, `--uuid=${UUID}`];
/** What both compress with, and how much is compressed together: the default of mkfs.erofs. */
const LZ4HC = { name: 'lz4hc', level: 9, cluster: 4096 } as const;

/** All works, in the order in which they are run. */
export function allWorks(options: WorkOptions): Work[] {
  const { root, inputs, outputs, scale, mkfs, hasProgram } = options;
  const out = (name: string): string => join(outputs, name);
  const microbuild = (args: readonly string[], env: Record<string, string> = {}): Step => ({
    program: process.execPath,
    args: [resolve(root, 'bin/microbuild.js'), ...args],
    env,
  });
  const installed = (...peers: Contender[]): Contender[] =>
    peers.filter(({ steps }) => steps.every(({ program }) => hasProgram(program)));

  /** Superblock and tree in a file of their own; with roots also parity. */
  const format = (name: string, input: string, step: (args: string[]) => Step, roots = 0) => {
    const [hash, fec] = [out(`${name}.hash`), out(`${name}.fec`)];
    const parity = roots === 0 ? [] : [`--fec-device=${fec}`, `--fec-roots=${roots}`];
    const outputFiles = roots === 0 ? [hash] : [hash, fec];
    const args = ['format', ...TREE, ...parity, input, hash];
    return {
      name,
      steps: [step(args)],
      outputs: outputFiles,
      result: { file: roots === 0 ? hash : fec },
    };
  };
  const verityWork = (
    name: string,
    what: string,
    input: () => string,
    atLeast: number,
    rest: Partial<Work> & { readonly roots?: number; readonly env?: Record<string, string> } = {},
  ): Work => {
    const { roots, env, ...others } = rest;
    const veritysetup = (args: string[]): Step => ({ program: 'veritysetup', args });
    const ours = env === undefined ? 'microbuild verity' : 'microbuild verity (TypeScript)';
    return {
      name,
      what,
      input,
      ours: (path) => format(ours, path, (args) => microbuild(['verity', ...args], env), roots),
      peers: (path) => installed(format('veritysetup', path, veritysetup, roots)),
      bars: [{ peer: 'veritysetup', atLeast }],
      ...others,
    };
  };
  const random = (size: number) => (): string => randomFile(inputs, size);
  const { one, four, fec } = scale;

  /** An EROFS image, and the hash tree of it in a file of its own. */
  const erofsWork = (
    name: string,
    what: string,
    input: () => string,
    compression: typeof LZ4HC | undefined,
    rest: Pick<Work, 'bars'> & Partial<Work>,
  ): Work => {
    const withTree = compression === undefined;
    const [ourImage, ourHash] = [out('ours.erofs'), out('ours.erofs.hash')];
    return {
      name,
      what,
      input,
      ours: (tree) => ({
        name: 'microbuild erofs',
        steps: [
          microbuild([
            'erofs',
            'create',
            tree,
            ourImage,
            ...(withTree ? [`--hash-file=${ourHash}`] : []),
            ...(compression === undefined
              ? []
              : [
                  `--compress=${compression.name},${compression.level}`,
                  `--cluster-size=${compression.cluster}`,
                  // As mkfs.erofs without -Eztailpacking.
                  '--tails=blocks',
                ]),
          ]),
        ],
        outputs: [ourImage, ourHash],
        image: ourImage,
      }),
      peers: (tree) =>
        mkfs.flatMap(({ program, version }, index) => {
          const [image, hash] = [out(`mkfs-${index}.erofs`), out(`mkfs-${index}.erofs.hash`)];
          // One time and no extended attributes, as ours; -U, as else its image would be another one each time.
          const flags = [
            '--quiet',
            '-x-1',
            '-T0',
            `-U${UUID}`,
            ...(compression
              ? [`-z${compression.name},${compression.level}`, `-C${compression.cluster}`]
              : []),
          ];
          const steps = [
            { program, args: [...flags, image, tree] },
            { program: 'veritysetup', args: ['format', ...TREE, image, hash] },
          ];
          return installed({
            name: `mkfs.erofs ${version}${withTree ? ' + veritysetup' : ''}`,
            steps: withTree ? steps : steps.slice(0, 1),
            outputs: [image, hash],
            image,
          });
        }),
      limit: 'copy',
      ...rest,
    };
  };
  const small = (): string => smallTree(inputs, ...scale.small);
  const large = (): string => largeTree(inputs, ...scale.large);
  /** Of the versions that are there, each with the bar that was set for its like. */
  const perMkfs = (suffix: string, older: number, newer: number): Bar[] =>
    mkfs.map(({ version }) => ({
      peer: `mkfs.erofs ${version}${suffix}`,
      atLeast: isAtLeast(version, [1, 9]) ? newer : older,
    }));
  const smallText = `${scale.small[0]} small files, ${sizeText(scale.small[1])}`;
  const largeText = `${scale.large[0]} large files, ${sizeText(scale.large[1])}`;
  const plainSuffix = ' + veritysetup';
  const hc = (): Pick<Work, 'bars' | 'sizeBar'> => ({ bars: perMkfs('', 1.6, 1), sizeBar: 0.01 });

  return [
    verityWork('tree-1g', `dm-verity tree, ${sizeText(one)} random`, random(one), 3, {
      limit: 'lanes',
    }),
    verityWork('tree-4g', `dm-verity tree, ${sizeText(four)} random`, random(four), 5, {
      limit: 'lanes',
      limitBar: 0.65,
    }),
    verityWork(
      'tree-sparse',
      `dm-verity tree, ${sizeText(four)}, a tenth data, the rest holes`,
      () => sparseFile(inputs, four),
      12,
    ),
    verityWork(
      'tree-zero',
      `dm-verity tree, ${sizeText(four)} of written zeros`,
      () => zeroFile(inputs, four),
      12,
    ),
    verityWork(
      'tree-twin',
      `dm-verity tree in TypeScript, ${sizeText(one)} random`,
      random(one),
      1,
      { limit: 'lanes', env: { MICROBUILD_NATIVE: '' } },
    ),
    {
      name: 'fsverity-4g',
      what: `fs-verity digest, ${sizeText(four)} random`,
      input: random(four),
      ours: (path) => ({
        name: 'microbuild fsverity',
        steps: [microbuild(['fsverity', 'digest', path])],
        outputs: [],
        result: { printed: /sha256:[0-9a-f]{64}/ },
      }),
      peers: (path) =>
        installed({
          name: 'fsverity digest',
          steps: [{ program: 'fsverity', args: ['digest', path] }],
          outputs: [],
          result: { printed: /sha256:[0-9a-f]{64}/ },
        }),
      bars: [{ peer: 'fsverity digest', atLeast: 4 }],
      limit: 'lanes',
    },
    ...[2, 24].map((roots) =>
      verityWork(
        `fec-${roots}`,
        `tree and FEC, ${roots} roots, ${sizeText(fec)}`,
        random(fec),
        50,
        {
          roots,
        },
      ),
    ),
    erofsWork('erofs-small', `EROFS and its tree, ${smallText}`, small, undefined, {
      bars: perMkfs(plainSuffix, 2.2, 1.5),
    }),
    erofsWork('erofs-large', `EROFS and its tree, ${largeText}`, large, undefined, {
      bars: perMkfs(plainSuffix, 2.5, 1.4),
      memoryBar: 100 * MIB,
    }),
    erofsWork('lz4hc-small', `EROFS lz4hc level 9, ${smallText}`, small, LZ4HC, hc()),
    erofsWork('lz4hc-large', `EROFS lz4hc level 9, ${largeText}`, large, LZ4HC, hc()),
  ];
}

function isAtLeast(version: string, wanted: readonly number[]): boolean {
  const parts = version.split('.').map(Number);
  for (const [index, want] of wanted.entries()) {
    const have = parts[index] ?? 0;
    if (have !== want) return have > want;
  }
  return true;
}

/** `256 MiB`. */
export function sizeText(bytes: number): string {
  return bytes >= GIB ? `${bytes / GIB} GiB` : `${Math.round(bytes / MIB)} MiB`;
}
