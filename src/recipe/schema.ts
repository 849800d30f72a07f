/**
 * The recipe's schema. Everything that describes a recipe comes from here: the TypeScript types, the
 * JSON Schema for editors (`schema/recipe.schema.json`), the checks and their messages.
 *
 * What is written here works: a key that the builder does not act on is not in the schema.
 */

import { ARCHITECTURES, RUNTIMES } from '../core/arch.ts';
import { z } from 'zod';
import { payloadSchema } from './payload-schema.ts';
import { relativePath } from './schema-values.ts';

const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'Write 1 to 63 of a-z 0-9 . _ -, starting with a-z or 0-9')
  .describe('Name of the bundle and of the VM');

const imagePath = z
  .string()
  .regex(
    /^\/(?:[^/\0]+(?:\/[^/\0]+)*)?$/,
    'Write an absolute path inside the image, such as /system/etc',
  )
  .refine(
    (path) => !path.split('/').some((part) => part === '.' || part === '..'),
    'Leave out . and ..',
  );

const mode = z
  .string()
  .regex(/^0?[0-7]{3,4}$/, 'Write the mode in octal and in quotes, such as "0644"')
  .describe('Permission bits in octal');

const id = z.int().min(0).max(0xffff_fffe);

const debName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9+.-]+$/, 'Write the name of a Debian package, such as musl');

const source = z.union(
  [
    z
      .strictObject({
        guest: z
          .literal('runtime')
          .describe("microbuild's own guest: manager, launcher, libvm_payload"),
      })
      .describe("microbuild's guest programs"),
    z
      .strictObject({
        deb: z
          .string()
          .regex(
            /^(?:[a-z0-9][a-z0-9+.-]+|\.{1,2}\/.+\.deb)$/,
            'Write the name of a Debian package such as musl, or ./FILE.deb',
          )
          .describe('Name of a Debian package, pinned by microbuild.lock, or ./FILE.deb'),
        exclude: z.array(z.string().min(1)).optional().describe('Path prefixes to leave out'),
      })
      .describe('The files of a Debian package, without its maintainer scripts'),
    z
      .strictObject({
        dir: relativePath.describe('Folder whose content is taken'),
        to: imagePath.default('/').describe('Where it goes'),
      })
      .describe('A folder; files become owned by root, modes are kept as 0755 or 0644'),
    z
      .strictObject({
        file: relativePath.describe('File to take'),
        to: imagePath.describe('Its path in the image'),
        mode: mode.default('0644'),
        uid: id.default(0),
        gid: id.default(0),
      })
      .describe('One file'),
  ],
  'Write one of { guest: runtime }, { deb: NAME }, { dir: PATH, to: PATH } or { file: PATH, to: PATH }',
);

const certificateDigest = z
  .string()
  .regex(
    /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/,
    'Write sha256: and 64, or sha512: and 128 lower-case hexadecimal digits of a DER certificate',
  );

const memory = z
  .string()
  .regex(/^\d{1,5}(?:MiB|GiB)$/, 'Write the size as a whole number of MiB or GiB, such as 256MiB')
  .transform((text) => Number.parseInt(text, 10) * (text.endsWith('GiB') ? 1024 : 1))
  .refine((mib) => mib >= 96 && mib <= 65536, 'Give the VM between 96MiB and 64GiB');

const keyReference = relativePath.describe(
  'Private key: a PEM or DER file, mode 0600, or file:, p12:, jks:, pkcs11: or helper:',
);

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
      context.addIssue({ code: 'custom', path: [path], message });
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
  .prefault({});

export const recipeSchema = z
  .strictObject({
    apiVersion: z.literal('microbuild/v1').describe('Version of this schema'),
    name,
    arch: z.enum(['x86_64', 'aarch64']).default('x86_64').describe('Architecture of the guest'),
    runtime: z
      .enum(RUNTIMES)
      .default('musl')
      .describe(
        'C library of the payload, whose files are among the contents of system: of the package musl, of libc6, or the linker64 and libraries of an Android',
      ),
    kernel: z
      .strictObject({
        source: z
          .union(
            [
              z
                .strictObject({
                  deb: debName.describe('A kernel package or a metapackage that depends on one'),
                })
                .describe('The kernel of a Debian package, pinned by microbuild.lock'),
              z
                .strictObject({
                  file: relativePath.describe(
                    'vmlinux, bzImage or an Android boot.img, plain or packed with gzip or lz4',
                  ),
                  modules: relativePath
                    .optional()
                    .describe('Folder with its .ko files and modules.builtin'),
                })
                .describe('A kernel of your own, such as a GKI'),
            ],
            'Write { deb: NAME } or { file: PATH, modules: FOLDER }',
          )
          .optional()
          .describe("Default: Debian's cloud kernel for the architecture"),
        modules: z
          .union(
            [
              z.literal('auto'),
              z.array(z.string().regex(/^[A-Za-z0-9_-]+$/, 'Write the name of a module')),
            ],
            'Write auto, or a list of module names',
          )
          .default('auto')
          .describe(
            'Modules that init loads: auto is what the guest needs, a list is taken in addition',
          ),
      })
      .prefault({}),
    partitions: z.strictObject({
      system: z.strictObject({
        filesystem,
        verity: z
          .strictObject({ hash: z.enum(['sha256', 'sha512']).default('sha256') })
          .prefault({}),
        contents: z
          .array(source)
          .min(1)
          .describe('Sources, merged in order; two may not name the same file'),
      }),
    }),
    payload: payloadSchema,
    signing: z
      .strictObject({
        image: z
          .strictObject({
            key: keyReference.optional(),
            algorithm: z.enum(['SHA256_RSA2048', 'SHA256_RSA4096', 'SHA512_RSA4096']).optional(),
            rollbackIndex: z.int().min(0).default(0),
          })
          .prefault({}),
        payload: z
          .strictObject({
            key: keyReference.optional(),
            certificate: relativePath.optional(),
            schemes: z
              .array(z.enum(['v2', 'v3', 'v4']))
              .default(['v3', 'v4'])
              .refine(
                (schemes) => schemes.includes('v3') && schemes.includes('v4'),
                'The guest needs v3 and v4',
              ),
          })
          .prefault({}),
      })
      .prefault({})
      .describe(
        'Keys; without them development keys are made on first use, and marked as such everywhere',
      ),
    trust: z
      .strictObject({
        payload: z
          .array(certificateDigest)
          .min(1)
          .optional()
          .describe(
            "Digests of the certificates that the guest accepts; default: this recipe's own",
          ),
      })
      .prefault({}),
    vm: z
      .strictObject({
        memory: memory.prefault('256MiB'),
        cpus: z.int().min(1).max(64).default(1),
        debug: z.enum(['none', 'full']).default('none'),
        rpcPort: z
          .int()
          .min(1)
          .max(0xffff_fffe)
          .optional()
          .describe('vsock port that the payload serves'),
      })
      .prefault({}),
  })
  .describe('A microbuild recipe');

/** A recipe with all defaults filled in. */
export type RecipeData = z.output<typeof recipeSchema>;
export type PartitionContent = RecipeData['partitions']['system']['contents'][number];

/** Where a recipe's kernel comes from. */
export const kernelSourceOf = ({
  arch,
  kernel,
}: RecipeData): NonNullable<RecipeData['kernel']['source']> =>
  kernel.source ?? { deb: `linux-image-cloud-${ARCHITECTURES[arch].debian}` };

/** The JSON Schema (2020-12) that editors complete and check recipes with. */
export function recipeJsonSchema(): Record<string, unknown> {
  return {
    $id: 'urn:microbuild:recipe:v1',
    title: 'microbuild recipe',
    ...z.toJSONSchema(recipeSchema, { io: 'input', unrepresentable: 'any' }),
  };
}
