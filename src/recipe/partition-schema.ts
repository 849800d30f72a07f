/** The schema of a recipe's `partitions`: file system, hash tree, mount point, contents. */

import { z } from 'zod';
import { imagePath } from './schema-values.ts';
import { tellConflict } from './schema-tools.ts';
import { rules, source } from './source-schema.ts';

/** Levels of each compression, and the one that is taken without saying. */
const LEVELS = {
  none: undefined,
  lz4: undefined,
  lz4hc: { most: 12, usual: 9 },
  deflate: { most: 9, usual: 6 },
  zstd: { most: 15, usual: 9 },
} as const;

const filesystem = z
  .strictObject({
    type: z.literal('erofs').default('erofs'),
    compression: z
      .enum(['none', 'lz4', 'lz4hc', 'deflate', 'zstd'])
      .default('none')
      .describe('How files are compressed; the kernel must know it'),
    level: z
      .int()
      .min(1)
      .max(15)
      .optional()
      .describe('lz4hc: 1 to 12, default 9; deflate: 1 to 9, default 6; zstd: 1 to 15, default 9'),
    clusterSize: z
      .literal([4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576])
      .optional()
      .describe(
        'The most that data compressed together takes, in bytes; default 16384. Larger saves space, smaller is faster to read in small pieces',
      ),
    tails: z
      .enum(['inline', 'fragments', 'blocks'])
      .optional()
      .describe(
        'Where compressed data goes that does not fill a cluster: behind the inode (default), all of it together, or in blocks of its own',
      ),
    deduplicate: z
      .boolean()
      .default(false)
      .describe('Stores equal parts of files once; only without compression'),
  })
  .superRefine(({ compression, level, clusterSize, tails, deduplicate }, context) => {
    const levels = LEVELS[compression];
    const problem = (path: string, message: string): void =>
      tellConflict(context, [path], [path, 'compression'], message);
    if (level !== undefined && levels === undefined) {
      problem('level', `Leave out level: ${compression} has none`);
    } else if (level !== undefined && level > (levels?.most ?? 0)) {
      problem('level', `Write a level of 1 to ${levels?.most} for ${compression}`);
    }
    for (const [key, value] of Object.entries({ clusterSize, tails })) {
      if (value !== undefined && compression === 'none') {
        problem(key, `Leave out ${key}: nothing is compressed`);
      }
    }
    if (deduplicate && compression !== 'none') {
      problem('deduplicate', `Leave out deduplicate: it does not go with ${compression}`);
    }
  })
  .transform(({ level, clusterSize, tails, ...rest }) => ({
    ...rest,
    tails: tails ?? 'inline',
    level: level ?? LEVELS[rest.compression]?.usual ?? 0,
    clusterSize: clusterSize ?? 16384,
  }))
  .prefault({})
  .describe('How the files are stored');

/** As many as correct one damaged block of any 253, which is what others take. */
const USUAL_FEC_ROOTS = 2;

/** Longer than any salt in use; what dm-verity's header can hold is 256. */
const MAX_SALT_SIZE = 64;

const fec = z
  .union(
    [
      z.boolean(),
      z.strictObject({
        roots: z.int().min(2).max(24).describe('Parity bytes for 255 bytes: more corrects more'),
      }),
    ],
    'Write true, false or { roots: 2 to 24 }',
  )
  .transform((value) =>
    value === false ? undefined : value === true ? { roots: USUAL_FEC_ROOTS } : value,
  )
  .prefault(false)
  .describe('Parity with which the guest corrects damaged blocks; true means { roots: 2 }');

const verity = z
  .strictObject({
    hash: z.enum(['sha256', 'sha512']).default('sha256').describe('With what blocks are hashed'),
    fec,
    salt: z
      .string()
      .regex(/^(?:[0-9a-f]{2})*$/, 'Write an even number of lower-case hexadecimal digits')
      .max(2 * MAX_SALT_SIZE, `Write at most ${MAX_SALT_SIZE} bytes`)
      .meta({
        description:
          'Salt of the hashes; default: one that the name of the partition gives, so that equal files make equal images',
        examples: ['00112233445566778899aabbccddeeff'],
      })
      .optional(),
  })
  .prefault({})
  .describe('The hash tree that the guest checks each block with');

const shape = {
  filesystem,
  verity,
  contents: z
    .array(source)
    .min(1)
    .max(10_000)
    .describe('Sources, merged in order; two may not name the same file'),
  rules: rules.describe(
    'Changes to files by their paths, after those of the sources; each must match something',
  ),
};

/** A partition with all defaults filled in. */
export type PartitionData = z.output<z.ZodObject<typeof shape>> & {
  /** Where the guest mounts it: `/` for system. */
  readonly mount: string;
};

/** By name, `system` first, the others in the order of the recipe. */
export type Partitions = { readonly system: PartitionData } & {
  readonly [name: string]: PartitionData;
};

/** Labels that the disk, or its signed metadata, gives to something else. */
const TAKEN_NAMES = new Set(['boot', 'vbmeta', 'initrd_normal', 'initrd_debug']);
const PARTITION_NAME = /^[a-z][a-z0-9_-]{0,30}$/;
/** As many as a guest mounts without being asked why. */
const MAX_PARTITIONS = 8;

export const partitions = z
  .object({
    system: z
      .strictObject(shape)
      .describe('The partition that the guest runs from; mounted as its root'),
  })
  .catchall(
    z
      .strictObject({
        mount: imagePath
          .refine((path) => path !== '/', 'The root folder is that of system')
          .optional()
          .describe('Where the guest mounts it, read-only; default: /NAME'),
        ...shape,
      })
      .describe('A further partition, of any name'),
  )
  .superRefine((value, context) => {
    const names = Object.keys(value);
    const problem = (name: string, message: string): void =>
      tellConflict(context, [name], [], message, { atKey: true });
    for (const name of names) {
      if (!PARTITION_NAME.test(name)) {
        problem(name, 'Write 1 to 31 of a-z 0-9 _ -, starting with a letter');
      } else if (TAKEN_NAMES.has(name) || /_[ab]$/.test(name)) {
        problem(name, 'Choose another name: the disk uses this one');
      }
    }
    for (const name of names.slice(MAX_PARTITIONS)) {
      problem(name, `Write at most ${MAX_PARTITIONS} partitions`);
    }
  })
  .transform(({ system, ...others }): Partitions => {
    const further = Object.entries(others).map(([name, each]): [string, PartitionData] => [
      name,
      { ...each, mount: each.mount ?? `/${name}` },
    ]);
    return { system: { ...system, mount: '/' }, ...Object.fromEntries(further) };
  })
  .describe('The partitions of the guest, each an image with a hash tree');
