import { join } from 'node:path';
import { buildImage } from '../../builder/build.ts';
import type { ChosenKey } from '../../builder/keys.ts';
import { packagesOf, readLock } from '../../builder/lock.ts';
import { findKeyFolder } from '../../builder/workspace.ts';
import { defaultCacheDirectory } from '../../cache/store.ts';
import { UsageError } from '../../core/errors.ts';
import { parseSourceDate } from '../../core/source-date.ts';
import { readRecipe, type Recipe } from '../../recipe/parse.ts';
import type { InputsSubject } from '../../signing/policy/release.ts';
import type { CommandArguments, CommandDefinition } from '../command.ts';
import { packageRoot } from '../package-root.ts';
import { lastText } from './avb/options.ts';
import { signingOptions, withSigning } from '../signing/session.ts';
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
  profile: signingOptions.profile,
  'release-log': signingOptions['release-log'],
  'audit-log': signingOptions['audit-log'],
} as const;

function chosenKey(args: CommandArguments, which: 'image' | 'payload'): ChosenKey {
  return {
    reference: lastText(args, `${which}-key`),
    certificate: lastText(args, `${which}-cert`),
    passphrase: lastText(args, `${which}-key-pass`) ?? lastText(args, 'key-pass'),
    storePassphrase: lastText(args, 'store-pass'),
  };
}

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
    const { env, reporter, signal } = context;
    const started = performance.now();
    const recipe = await readRecipe(args.text('recipe'));
    const keyFolder =
      args.optionalText('keys') ?? (await findKeyFolder(process.cwd(), [recipe.directory], env));
    return withSigning({ inputs: [] }, args, context, async (session) => {
      await session.review(await describeInputs(recipe, args.flag('relock')));
      const result = await buildImage({
        recipe,
        output: args.optionalText('output') ?? join('out', recipe.data.name),
        packageRoot,
        keyFolder,
        keys: { image: chosenKey(args, 'image'), payload: chosenKey(args, 'payload') },
        openKey: (reference, artefact, access) => session.key(reference, artefact, access),
        review: (subject) => session.review(subject),
        manifestSignature: args.flag('manifest-signature'),
        cacheDirectory: defaultCacheDirectory(env),
        sourceDate: sourceDate(env),
        relockMissing: args.flag('relock'),
        env,
        reporter,
        signal,
      });
      const { manifest, path } = result;
      const size = manifest.files.reduce((sum, file) => sum + file.size, 0);
      const seconds = ((performance.now() - started) / 1000).toFixed(2);
      return {
        text: [
          `${path}: ${manifest.files.length} files, ${formatSize(size)}, signed with ${manifest.release} keys, in ${seconds} s`,
          `  vbmeta digest  ${manifest.chain.vbmetaDigest}`,
          `  root digest    ${manifest.chain.systemRootDigest}`,
        ].join('\n'),
        json: { path, manifest },
      };
    });
  },
};

/** What the build takes from elsewhere. With --relock, what is not there any more is whatever is there now. */
async function describeInputs(recipe: Recipe, relock: boolean): Promise<InputsSubject> {
  const names = packagesOf(recipe).map(({ name }) => name);
  const lock = await readLock(recipe);
  return {
    kind: 'inputs',
    name: recipe.data.name,
    unpinned: relock ? names : names.filter((name) => lock?.debs[name] === undefined),
    pinWith: relock
      ? `leave out --relock, and look at what microbuild lock ${recipe.directory} changes`
      : `microbuild lock ${recipe.directory}`,
  };
}

function sourceDate(env: NodeJS.ProcessEnv): number {
  try {
    return parseSourceDate(env['SOURCE_DATE_EPOCH']);
  } catch (cause) {
    throw new UsageError('usage', cause instanceof Error ? cause.message : String(cause), {
      cause,
    });
  }
}
