/**
 * The recipe's schema. Everything that describes a recipe comes from here: the TypeScript types, the
 * JSON Schema for editors (`schema/recipe.schema.json`), the checks and their messages.
 *
 * What is written here works: a key that the builder does not act on is not in the schema.
 */

import { ARCHITECTURES, RUNTIMES } from '../core/arch.ts';
import { z } from 'zod';
import { partitions } from './partition-schema.ts';
import { furtherPayloadSchema, payloadSchema } from './payload-schema.ts';
import { debName, keyReference, relativePath, rpcPort } from './schema-values.ts';

const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'Write 1 to 63 of a-z 0-9 . _ -, starting with a-z or 0-9')
  .meta({ description: 'Name of the bundle and of the VM', examples: ['hello'] });

/** Each becomes the file payload-NAME.img of the bundle. */
const payloadName = z
  .string()
  .regex(/^[a-z][a-z0-9_-]{0,30}$/, 'Write 1 to 31 of a-z 0-9 _ -, starting with a letter')
  .meta({ examples: ['other'] });

const certificateDigest = z
  .string()
  .regex(
    /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/,
    'Write sha256: and 64, or sha512: and 128 lower-case hexadecimal digits of a DER certificate',
  )
  .meta({ examples: [`sha256:${'0123456789abcdef'.repeat(4)}`] });

const memory = z
  .string()
  .regex(/^\d{1,5}(?:MiB|GiB)$/, 'Write the size as a whole number of MiB or GiB, such as 256MiB')
  .meta({ examples: ['256MiB'] })
  .transform((text) => Number.parseInt(text, 10) * (text.endsWith('GiB') ? 1024 : 1))
  .refine((mib) => mib >= 96 && mib <= 65536, 'Give the VM between 96MiB and 64GiB');

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
    partitions,
    payload: payloadSchema,
    payloads: z
      .record(payloadName, furtherPayloadSchema)
      .default({})
      .describe('Further payloads by name, each an APK on a disk of its own'),
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
        rpcPort: rpcPort.optional().describe('vsock port that the payload serves'),
      })
      .prefault({}),
  })
  .describe('A microbuild recipe');

/** A recipe with all defaults filled in. */
export type RecipeData = z.output<typeof recipeSchema>;

/** Where a recipe's kernel comes from. */
export const kernelSourceOf = ({
  arch,
  kernel,
}: RecipeData): NonNullable<RecipeData['kernel']['source']> =>
  kernel.source ?? { deb: `linux-image-cloud-${ARCHITECTURES[arch].debian}` };
