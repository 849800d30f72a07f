/** The schema of a recipe's `payload`: what becomes of the APK, and what is run of it. */

import { z } from 'zod';
import { relativePath, rpcPort } from './schema-values.ts';
import { tellConflict } from './schema-tools.ts';

const javaPackage = z
  .string()
  .max(223)
  .regex(
    /^[a-zA-Z][a-zA-Z0-9_]*(?:\.[a-zA-Z][a-zA-Z0-9_]*)+$/,
    'Write a package name with at least two parts, such as dev.example.hello',
  )
  .meta({ examples: ['dev.example.hello'] });

const libraryName = z
  .string()
  .regex(/^[A-Za-z0-9_+.-]+\.so$/, 'Write the file name of a library, such as libhello.so')
  .meta({ examples: ['libhello.so'] });

/** Android's names of what a device may have, such as android.hardware.sensor.proximity. */
const featureName = z
  .string()
  .max(200)
  .regex(/^[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)+$/, 'Write a name such as android.software.example')
  .meta({ examples: ['android.software.example'] });

const apkEntryName = z
  .string()
  .max(500)
  .regex(
    /^(?:[A-Za-z0-9_+-][A-Za-z0-9_.+-]*\/)*[A-Za-z0-9_+-][A-Za-z0-9_.+-]*$/,
    'Write a path of letters, digits and _ . + -, such as res/raw/model.bin',
  )
  .refine(
    (entry) => !/^(?:META-INF\/|AndroidManifest\.xml$)/i.test(entry),
    'microbuild makes the manifest and the signatures itself',
  )
  .meta({ examples: ['res/raw/model.bin'] });

const libraries = z.array(relativePath).min(1);

const apexes = z
  .array(z.unknown())
  .max(0, 'Leave out apexes: microbuild has none')
  .optional()
  .describe('Must be empty');

/** Android's names: this is the content of a file that Android defines. */
const payloadConfig = z
  .strictObject({
    os: z
      .strictObject({ name: z.enum(['', 'microdroid']) })
      .optional()
      .describe('Without effect, as on Android'),
    task: z.strictObject({
      type: z
        .enum(['executable', 'microdroid_launcher'])
        .optional()
        .describe('A program (default), or a library with AVmPayload_main'),
      command: z
        .string()
        .min(1)
        .describe(
          'Path of the program in the guest, such as /mnt/apk/bin/tool, or file name of the library',
        ),
      command_args: z.array(z.string()).max(256).optional().describe('Arguments of a program'),
    }),
    apexes,
    extra_apks: z
      .array(z.strictObject({ path: z.string() }))
      .optional()
      .describe('As many as payload.extraApks, which is the default'),
    export_tombstones: z.boolean().optional().describe('Without effect: there are no tombstones'),
    hugepages: z.boolean().optional().describe('A hint that huge pages would help'),
  })
  .describe('What to run, as in an Android vm_config.json');

const shape = {
  package: javaPackage.describe('Name of the APK’s package: who the payload is'),
  versionCode: z.int().min(1).max(0x7fff_ffff).describe('Its version, for comparing'),
  versionName: z.string().min(1).max(100).optional().describe('Its version, for people'),
  minSdk: z.int().min(24).max(10000).default(34).describe('Oldest Android API level it is for'),
  targetSdk: z.int().min(24).max(10000).default(35).describe('Android API level it is made for'),
  build: z
    .strictObject({
      command: z
        .array(
          z
            .string()
            .min(1)
            .meta({ examples: ['make'] }),
        )
        .min(1)
        .describe('Program and arguments; no shell'),
      inputs: z.array(relativePath).min(1).describe('Files and folders the command reads'),
      outputs: z.array(relativePath).min(1).describe('Files the command makes'),
    })
    .optional()
    .describe(
      'Makes files of the payload, in a copy of the inputs: what is not declared is not there',
    ),
  libraries: z
    .strictObject({
      x86_64: libraries.optional(),
      'arm64-v8a': libraries.optional(),
      'armeabi-v7a': libraries.optional(),
      riscv64: libraries.optional(),
      x86: libraries.optional(),
    })
    .default({})
    .describe(
      'Native libraries by ABI; stored page-aligned below lib/<abi>/. The guest runs those of its architecture: x86_64, or arm64-v8a on aarch64',
    ),
  assets: relativePath.optional().describe('Folder that becomes assets/ of the APK'),
  files: z
    .array(
      z.strictObject({
        file: relativePath.describe('File to take'),
        to: apkEntryName.describe('Its name in the APK'),
      }),
    )
    .default([])
    .describe('Further files of the APK, stored as they are'),
  features: z
    .array(z.strictObject({ name: featureName, required: z.boolean().default(true) }))
    .default([])
    .describe('What a device must have (uses-feature), or may have if not required'),
  entry: libraryName
    .optional()
    .describe('The library that exports AVmPayload_main; or write config'),
  config: z
    .union(
      [relativePath.describe('A vm_config.json'), payloadConfig],
      'Write the path of a vm_config.json, or its content',
    )
    .optional()
    .describe(
      'What to run, instead of entry: becomes assets/vm_config.json of the APK, and unlocks the restricted calls of libvm_payload',
    ),
  extraApks: z
    .array(
      z.strictObject({
        apk: relativePath.describe('An APK signed with v3, by a certificate of trust.payload'),
        idsig: relativePath.optional().describe('Its idsig; made without a signature if left out'),
      }),
    )
    .max(32)
    .default([])
    .describe('Further APKs, whose files the payload finds at /mnt/extra-apk/0 and so on'),
  interfaces: z
    .array(relativePath)
    .default([])
    .describe('The .aidl files of what the payload serves'),
};

type Start = { readonly entry?: string | undefined; readonly config?: unknown };

function checkStart({ entry, config }: Start, context: z.RefinementCtx): void {
  if ((entry === undefined) !== (config === undefined)) return;
  const message =
    entry === undefined
      ? 'Write entry, the library to run, or config, which says what is run'
      : 'Leave out entry: config says what is run';
  tellConflict(context, ['entry'], ['entry', 'config'], message);
}

/** What runs, and what it comes in. */
export const payloadSchema = z
  .strictObject(shape)
  .superRefine(checkStart)
  .describe('What the guest runs, and the APK that it comes in');

/** A further payload, which runs instead of the first one. */
export const furtherPayloadSchema = z
  .strictObject({
    ...shape,
    rpcPort: rpcPort.optional().describe('vsock port that it serves; default: vm.rpcPort'),
  })
  .superRefine(checkStart)
  .describe('A further payload, on a disk of its own: microbuild run --payload NAME');
