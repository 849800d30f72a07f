import { join } from 'node:path';
import { buildImage } from '../../builder/build.ts';
import { findKeyFolder } from '../../builder/workspace.ts';
import { defaultCacheDirectory } from '../../cache/store.ts';
import { UsageError } from '../../core/errors.ts';
import { parseSourceDate } from '../../core/source-date.ts';
import { readRecipe } from '../../recipe/parse.ts';
import type { CommandDefinition } from '../command.ts';
import { packageRoot } from '../package-root.ts';
import { formatSize } from '../terminal.ts';

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
  },
  examples: [
    ['image recipes/hello', 'builds out/hello'],
    ['image recipes/hello -o out/other --json', 'elsewhere, with the manifest as JSON'],
    ['image recipes/hello -o hello.mbundle', 'as one file, to be passed on and run as it is'],
    ['image . -q', 'the recipe in this folder, printing only the result'],
  ],
  async run(args, { env, reporter, signal }) {
    const started = performance.now();
    const recipe = await readRecipe(args.text('recipe'));
    const result = await buildImage({
      recipe,
      output: args.optionalText('output') ?? join('out', recipe.data.name),
      packageRoot,
      keyFolder:
        args.optionalText('keys') ?? (await findKeyFolder(process.cwd(), [recipe.directory], env)),
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
  },
};

function sourceDate(env: NodeJS.ProcessEnv): number {
  try {
    return parseSourceDate(env['SOURCE_DATE_EPOCH']);
  } catch (cause) {
    throw new UsageError('usage', cause instanceof Error ? cause.message : String(cause), {
      cause,
    });
  }
}
