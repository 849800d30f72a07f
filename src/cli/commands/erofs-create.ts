import { parseSourceDate } from '../../core/source-date.ts';
import { UsageError } from '../../core/errors.ts';
import type { ErofsCompression } from '../../builder/plan-erofs-image.ts';
import type { CommandArguments, CommandDefinition } from '../command.ts';
import { formatSize } from '../terminal.ts';

export const erofsCreateCommand: CommandDefinition = {
  name: 'create',
  summary: 'Make an EROFS image of a folder, with its dm-verity tree in the same pass',
  positionals: {
    folder: { type: 'string', describe: 'Folder to store' },
    image: { type: 'string', describe: 'Image to write; it appears when it is whole' },
  },
  options: {
    verity: {
      type: 'boolean',
      default: false,
      describe: 'Write a dm-verity superblock and SHA-256 hash tree behind the data',
    },
    'hash-file': {
      type: 'string',
      requiresArg: true,
      describe: 'Write superblock and tree into this file instead',
    },
    salt: {
      type: 'string',
      describe:
        'Salt of the hash tree in hexadecimal; default: derived from names, sizes and attributes',
    },
    'block-size': {
      type: 'number',
      choices: [4096, 16384, 65536],
      default: 4096,
      describe: 'Bytes a block; a kernel mounts blocks up to the size of its pages',
    },
    uuid: {
      type: 'string',
      requiresArg: true,
      describe: 'UUID of the file system; default: derived as the salt is',
    },
    label: {
      type: 'string',
      requiresArg: true,
      describe: 'Volume name, at most 15 bytes',
    },
    mtime: {
      type: 'number',
      describe: 'The one modification time, in seconds; default: SOURCE_DATE_EPOCH, else fixed',
    },
    'keep-times': {
      type: 'boolean',
      default: false,
      describe: 'Keep the times of files instead',
    },
    'all-root': { type: 'boolean', default: false, describe: 'Give all to user and group 0' },
    xattrs: {
      type: 'boolean',
      default: false,
      describe: 'Store extended attributes, ACLs included; needs the native library',
    },
    exclude: {
      type: 'string',
      array: true,
      nargs: 1,
      default: [],
      describe:
        'Leave out what matches, and all below; may be repeated. With a slash it is a path from the folder on, ** crosses slashes',
    },
    compress: {
      type: 'string',
      requiresArg: true,
      describe:
        'Compress files: lz4, lz4hc[,1 to 12], deflate[,1 to 9] (Linux 6.6 mounts it) or zstd[,1 to 15] (6.10)',
    },
    'cluster-size': {
      type: 'number',
      requiresArg: true,
      describe: 'The most that data compressed together takes, in bytes; default: a block',
    },
    tails: {
      type: 'string',
      choices: ['inline', 'fragments', 'blocks'],
      requiresArg: true,
      describe:
        'Where compressed data goes that fills no cluster: behind the inode (default), all of it together, or in blocks of its own',
    },
    dedupe: {
      type: 'boolean',
      default: false,
      describe: 'Store equal blocks of files once, blocks of zeros not at all; not with --compress',
    },
    digest: {
      type: 'boolean',
      default: false,
      describe: 'Also tell the SHA-256 of the whole image, which has to be read again for it',
    },
  },
  examples: [
    ['erofs create rootfs rootfs.erofs', 'an image of the folder'],
    ['erofs create rootfs rootfs.erofs --verity --all-root', 'owned by root, with a hash tree'],
    [
      'erofs create rootfs rootfs.erofs --compress lz4hc,9 --cluster-size 65536',
      'compressed, for any kernel from 5.17 on',
    ],
    [
      `erofs create rootfs os.erofs --hash-file os.verity --exclude '*.pyc' --json`,
      'tree in a file of its own, result as JSON',
    ],
  ],
  async run(args, { env, reporter, signal }) {
    const started = performance.now();
    // Only now: reading the help needs none of it.
    const { createErofsImage } = await import('../../builder/create-erofs-image.ts');
    const hashFile = args.optionalText('hash-file');
    const created = await createErofsImage({
      folder: args.text('folder'),
      image: args.text('image'),
      verity: args.flag('verity') || hashFile !== undefined,
      hashFile,
      salt: parseHex(args.optionalText('salt')),
      blockSize: args.number('block-size'),
      uuid: args.optionalText('uuid'),
      label: args.optionalText('label'),
      buildTime: buildTime(args, env),
      keepTimes: args.flag('keep-times'),
      allRoot: args.flag('all-root'),
      xattrs: args.flag('xattrs'),
      exclude: args.list('exclude'),
      compression: parseCompression(args),
      deduplicate: args.flag('dedupe'),
      digest: args.flag('digest'),
      reporter,
      signal,
    });
    const { image, verity } = created;
    const seconds = ((performance.now() - started) / 1000).toFixed(2);
    const lines = [
      `${image.path}: ${image.inodes} inodes, ${formatSize(image.size)}, in ${seconds} s`,
      `  UUID         ${image.uuid}`,
    ];
    if (image.sha256 !== undefined) lines.push(`  SHA-256      ${image.sha256}`);
    if (verity !== undefined) {
      lines.push(
        `  root digest  ${verity.rootDigest}`,
        `  salt         ${verity.salt}`,
        `  tree         ${formatSize(verity.treeSize)} in ${verity.path}, superblock at ${verity.hashOffset}`,
      );
    }
    return { text: lines.join('\n'), json: created };
  },
};

const COMPRESSIONS = {
  lz4: { most: 0, usual: 0 },
  lz4hc: { most: 12, usual: 9 },
  deflate: { most: 9, usual: 6 },
  zstd: { most: 15, usual: 9 },
} as const;

/** @throws {UsageError} when it is none, or options do not go together. */
function parseCompression(args: CommandArguments): ErofsCompression | undefined {
  const text = args.optionalText('compress');
  const clusterSize = args.optionalNumber('cluster-size');
  const tails = args.optionalText('tails') as ErofsCompression['tails'] | undefined;
  if (text === undefined) {
    if (clusterSize !== undefined || tails !== undefined) {
      throw new UsageError('usage', 'Cannot use --cluster-size or --tails without --compress');
    }
    return undefined;
  }
  if (args.flag('dedupe')) throw new UsageError('usage', 'Cannot use --dedupe with --compress');
  const [name = '', level, ...rest] = text.split(',');
  if (!Object.hasOwn(COMPRESSIONS, name) || rest.length > 0) {
    throw new UsageError('usage', `Cannot use --compress ${text}: it is none`, {
      hint: 'Write lz4, lz4hc, deflate or zstd, and a level behind a comma',
    });
  }
  const algorithm = name as keyof typeof COMPRESSIONS;
  const { most, usual } = COMPRESSIONS[algorithm];
  const number = level === undefined ? usual : Number(level);
  if (level !== undefined && !(/^\d{1,2}$/.test(level) && number >= 1 && number <= most)) {
    const levels = most === 0 ? 'it has no levels' : `levels are 1 to ${most}`;
    throw new UsageError('usage', `Cannot use --compress ${text}: ${levels}`);
  }
  const blockSize = args.number('block-size');
  const size = clusterSize ?? blockSize;
  if (!Number.isInteger(size / blockSize) || size <= 0 || size > 1 << 20) {
    throw new UsageError(
      'usage',
      `Cannot use --cluster-size ${size}: not whole blocks of ${blockSize} up to 1 MiB`,
    );
  }
  return { algorithm, level: number, clusterSize: size, tails: tails ?? 'inline' };
}

function buildTime(args: CommandArguments, env: NodeJS.ProcessEnv): number {
  const seconds = args.optionalNumber('mtime');
  if (seconds !== undefined) {
    if (Number.isSafeInteger(seconds)) return seconds;
    throw new UsageError('usage', `Cannot use --mtime ${seconds}: not a whole number of seconds`);
  }
  try {
    return parseSourceDate(env['SOURCE_DATE_EPOCH']);
  } catch (cause) {
    throw new UsageError('usage', cause instanceof Error ? cause.message : String(cause), {
      cause,
    });
  }
}

function parseHex(text: string | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined;
  if (/^([0-9a-f]{2}){0,256}$/i.test(text)) return new Uint8Array(Buffer.from(text, 'hex'));
  throw new UsageError('usage', `Cannot use --salt ${text}: not 0 to 256 bytes in hexadecimal`);
}
