import { readStamp, watchInputs } from '../../cache/build-stamp.ts';
import { defaultCacheDirectory } from '../../cache/store.ts';
import type { StampedResult } from '../../builder/stamp.ts';
import type { Reporter } from '../../core/events.ts';
import { writeFileAtomic } from '../../io/atomic-output.ts';
import type {
  CommandArguments,
  CommandContext,
  CommandDefinition,
  CommandResult,
} from '../command.ts';
import { lazyFileReader } from '../../native/load-file-reader.ts';
import { stampSubject, toolMark } from '../image/stamp-subject.ts';
import { recipeOptions } from '../recipe-options.ts';
import { signingOptions } from '../signing/options.ts';
import { formatSize } from '../terminal.ts';

const text = { type: 'string', requiresArg: true } as const;

/** Keys that need not be named in the recipe, such as those of a pipeline. */
const keyOptions = {
  'image-key': {
    ...text,
    describe:
      'Key of kernel and vbmeta instead of the recipe’s: a file, or p12:, jks:, pkcs11: or helper:',
  },
  'payload-key': { ...text, describe: 'Key of the payload APK instead of the recipe’s' },
  'image-cert': {
    ...text,
    describe: 'Certificate that tells the public key of --image-key, where a helper has it',
  },
  'payload-cert': { ...text, describe: 'Certificate of the payload key, PEM or DER' },
  'key-pass': {
    ...text,
    describe: 'Pass phrase or PIN of both keys: env:NAME, file:PATH, stdin or prompt',
  },
  'image-key-pass': { ...text, describe: 'The same, of the image key only' },
  'payload-key-pass': { ...text, describe: 'The same, of the payload key only' },
  'store-pass': {
    ...text,
    describe: 'Pass phrase of the key stores, where it is not that of the keys',
  },
  'manifest-signature': {
    type: 'boolean',
    default: false,
    describe: 'Sign manifest.json with the image key, too: manifest.dsse.json',
  },
  attestations: {
    type: 'boolean',
    default: true,
    describe: 'Write a signed bill of materials and provenance: attestations/',
  },
  'attestation-key': {
    ...text,
    describe: 'Key of the attestations instead of the image key',
  },
  'attestation-key-pass': { ...text, describe: 'Its pass phrase or PIN' },
  'attestation-cert': {
    ...text,
    describe: 'Certificate that tells the public key of --attestation-key',
  },
  'builder-id': {
    ...text,
    describe:
      'URI of who builds, for the provenance; default: urn:microbuild:builder:local, of which nothing is known',
  },
  ...recipeOptions,
  profile: {
    ...recipeOptions.profile,
    describe:
      'Lay this profile over the recipe; several go in their order. release also refuses published and development keys, debuggable APKs, what is not pinned, and rollback indexes below the last released',
  },
  'release-log': signingOptions['release-log'],
  'audit-log': signingOptions['audit-log'],
} as const;

export const imageCommand: CommandDefinition = {
  name: 'image',
  summary: 'Build a recipe into a signed, verified, bootable bundle',
  positionals: {
    recipe: { type: 'string', describe: 'Recipe file, or folder that holds microbuild.yaml' },
  },
  options: {
    output: {
      type: 'string',
      alias: 'o',
      describe: 'Bundle folder, or one file NAME.mbundle; default: out/NAME',
    },
    keys: { type: 'string', describe: 'Folder of the development keys; default: .microbuild/keys' },
    relock: {
      type: 'boolean',
      default: false,
      describe: 'When a pinned package is gone from every mirror, pin the present one and go on',
    },
    force: {
      type: 'boolean',
      default: false,
      describe: 'Build all of it, also when nothing or little changed since the last time',
    },
    locked: {
      type: 'boolean',
      describe:
        'Refuse what microbuild.lock does not pin or pins otherwise: tools, and files of the recipe; the default where CI is set, --no-locked warns there',
    },
    offline: {
      type: 'boolean',
      default: false,
      describe: 'Ask nothing but the cache and vendor/ beside the recipe',
    },
    'audit-cache': {
      ...text,
      describe:
        'Run this part of the steps again whose results are kept, such as 10%, and compare what they make',
    },
    'metadata-file': {
      ...text,
      describe: 'Write the measurements and files of the bundle into this file, as JSON',
    },
    ...keyOptions,
  },
  examples: [
    ['image recipes/hello', 'builds out/hello'],
    ['image recipes/hello -o out/other --json', 'elsewhere, with the manifest as JSON'],
    ['image recipes/hello -o hello.mbundle', 'as one file, to be passed on and run as it is'],
    [
      'image . --image-key pkcs11:token=release;object=image --payload-key p12:release.p12 --key-pass env:PIN --profile release',
      'a release, with keys that the recipe does not name',
    ],
    ['image . -q', 'the recipe in this folder, printing only the result'],
  ],
  async run(args, context) {
    const started = performance.now();
    const reader = lazyFileReader();
    const subject = await stampSubject(args, context);
    const known =
      subject && !args.flag('force') && (await readStamp(cacheOf(context), subject, reader));
    if (known) {
      const result = known.value as unknown as StampedResult;
      await writeMetadata(args, result);
      return describe({ ...result, upToDate: true }, started);
    }
    const stamp = subject && { subject, inputs: watchInputs(reader), tool: await toolMark() };
    const { buildRecipe } = await import('../image/build-recipe.ts');
    const { reporter, reused } = noteReuse(context.reporter);
    return buildRecipe(args, { ...context, reporter }, stamp, async (result) => {
      await writeMetadata(args, result);
      return describe({ ...result, upToDate: false, reused }, started);
    });
  },
};

/** Steps of a build, by whether their results were there before. */
interface Reuse {
  /** Titles. */
  readonly taken: string[];
  readonly made: string[];
}

/** Passes events on, and keeps which steps had nothing to do. */
function noteReuse(reporter: Reporter): { readonly reporter: Reporter; readonly reused: Reuse } {
  const reused: Reuse = { taken: [], made: [] };
  return {
    reused,
    reporter: {
      report(event) {
        reporter.report(event);
        if (event.kind !== 'step-done' || event.step.startsWith('fetch')) return;
        (event.cached ? reused.taken : reused.made).push(event.title);
      },
    },
  };
}

const cacheOf = ({ env }: CommandContext): { readonly directory: string } => ({
  directory: defaultCacheDirectory(env),
});

/** `--metadata-file`: what to write down of a build, for the steps of a pipeline behind it. */
async function writeMetadata(
  args: CommandArguments,
  { manifest, measurements }: StampedResult,
): Promise<void> {
  const file = args.optionalText('metadata-file');
  if (file === undefined) return;
  const { name, arch, release, keys, files } = manifest;
  const metadata = { name, arch, release, keys, measurements, files };
  await writeFileAtomic(file, `${JSON.stringify(metadata, undefined, 2)}\n`);
}

interface ImageResult extends StampedResult {
  /** Whether there was nothing to do. */
  readonly upToDate: boolean;
  readonly reused?: Reuse;
}

/** Files of which at least so much of all is are named. */
const NAMED_PART = 0.01;

function describe(
  { path, manifest, measurements, upToDate, reused }: ImageResult,
  started: number,
): CommandResult {
  const size = manifest.files.reduce((sum, file) => sum + file.size, 0);
  const seconds = ((performance.now() - started) / 1000).toFixed(2);
  const files = `${manifest.files.length} files, ${formatSize(size)}`;
  const signed = `signed with ${manifest.release} keys`;
  const roots = Object.entries(measurements.partitions).map(
    ([name, digest]) =>
      `  root digest    ${digest}${Object.keys(measurements.partitions).length > 1 ? ` (${name})` : ''}`,
  );
  const large = manifest.files
    .filter((file) => file.size >= size * NAMED_PART)
    .toSorted((a, b) => b.size - a.size)
    .map((file) => `${file.path} ${formatSize(file.size)}`);
  return {
    text: [
      upToDate
        ? `${path}: up to date, ${files}, ${signed}`
        : `${path}: ${files}, ${signed}, in ${seconds} s`,
      `  vbmeta digest  ${measurements.vbmetaDigest}`,
      ...roots,
      `  largest files  ${large.join(', ')}`,
      ...(reused === undefined ? [] : [`  reused         ${reuseText(reused)}`]),
    ].join('\n'),
    json: { path, upToDate, measurements, manifest },
  };
}

function reuseText({ taken, made }: Reuse): string {
  const all = taken.length + made.length;
  return taken.length === 0 ? 'nothing' : `${taken.join(', ')} (${taken.length} of ${all} steps)`;
}
