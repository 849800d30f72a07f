import type { VariationName } from '../../builder/check/variation.ts';
import { VARIATIONS, variationNames } from '../../builder/check/variation.ts';
import { UsageError } from '../../core/errors.ts';
import type { CommandArguments, CommandDefinition } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { recipeOptions } from '../recipe-options.ts';

const text = { type: 'string', requiresArg: true } as const;

export const checkCommand: CommandDefinition = {
  name: 'check',
  summary:
    'Build a recipe twice in surroundings that differ, and tell what shows in the bundle, and why',
  positionals: {
    recipe: {
      type: 'string',
      required: false,
      describe:
        'Recipe file, or folder that holds microbuild.yaml; with --against, where the files are that the release does not bring',
    },
  },
  options: {
    vary: {
      ...text,
      describe: `What to vary, comma-separated: all, none, or some of ${variationNames.join(', ')}; -NAME leaves one out. Default all`,
    },
    times: {
      type: 'number',
      default: 2,
      requiresArg: true,
      describe: 'Build this often, unless a difference is found before',
    },
    bisect: {
      type: 'boolean',
      describe:
        'When builds differ, find which variation causes which difference, in some ten more builds; the default when one takes less than a minute',
    },
    keep: { ...text, describe: 'Keep the outputs as a and b in this new folder' },
    against: {
      ...text,
      describe:
        'Build this bundle of somebody else again, by the recipe and lock in it and without their keys: all of it must come out, signatures included',
    },
    'run-build-commands': {
      type: 'boolean',
      default: false,
      describe: 'With --against: run the build commands of its recipe, though yours has other ones',
    },
    attest: {
      ...text,
      describe:
        'With --against: sign what came out with this key, as an in-toto statement; also when it is another',
    },
    attestation: {
      ...text,
      describe:
        'File of the statement; default rebuild.dsse.json among the attestations of the bundle',
    },
    offline: {
      type: 'boolean',
      default: false,
      describe: 'Ask nothing but the cache and vendor/ beside the recipe',
    },
    keys: { ...text, describe: 'Folder of the development keys; default: .microbuild/keys' },
    'image-key': { ...text, describe: 'Key of kernel and vbmeta instead of the recipe’s' },
    'payload-key': { ...text, describe: 'Key of the payload APK instead of the recipe’s' },
    'image-cert': { ...text, describe: 'Certificate that tells the public key of --image-key' },
    'payload-cert': { ...text, describe: 'Certificate of the payload key, PEM or DER' },
    'key-pass': { ...text, describe: 'Pass phrase or PIN of both keys: env:NAME or file:PATH' },
    ...recipeOptions,
  },
  examples: [
    ['check recipes/hello', 'is it reproducible? Exit code 1 when it is not'],
    ['check . --vary build-path,clock --keep out/both', 'only these, and both outputs to look at'],
    ['check . --times 10 --vary none', 'does chance show?'],
    ['check . --json', 'with every difference'],
    ['check --against hello-1.0.mbundle .', 'does this release come from this source?'],
    [
      'check --against hello-1.0.mbundle . --attest file:rebuilder.pem',
      'and a signed statement of it, for others',
    ],
  ],
  async run(args, context) {
    const release = args.optionalText('against');
    if (release !== undefined) {
      const { checkRelease } = await import('../check/check-release.ts');
      return checkRelease(release, args, context);
    }
    expectOnlyFor('--against', args, ['attest', 'attestation', 'run-build-commands']);
    if (args.optionalText('recipe') === undefined) {
      throw new UsageError(
        'usage',
        'Cannot check nothing: name a recipe, or a release with --against',
      );
    }
    const vary = readVariations(args);
    const times = args.number('times');
    if (!Number.isInteger(times) || times < 2 || times > 1000) {
      throw new UsageError('usage', `Cannot build ${times} times: write 2 to 1000`);
    }
    const { checkRecipe } = await import('../check/check-recipe.ts');
    const { renderCheck } = await import('../render/check.ts');
    const report = await checkRecipe(args, context, { vary, times });
    return {
      text: renderCheck(report, context.terminal),
      json: report,
      exitCode: report.reproducible ? EXIT.ok : EXIT.failed,
    };
  },
};

function expectOnlyFor(option: string, args: CommandArguments, names: readonly string[]): void {
  const given = names.find((name) => args.any(name) !== undefined && args.any(name) !== false);
  if (given !== undefined) {
    throw new UsageError('usage', `Cannot use --${given} without ${option}`);
  }
}

/** `--vary all`, `--vary clock,umask`, `--vary all,-user`. */
function readVariations(args: CommandArguments): VariationName[] {
  const given = args.optionalText('vary') ?? 'all';
  const words = given.split(',').filter((word) => word !== '');
  const isOff = words[0]?.startsWith('-') === true;
  const chosen = new Set<string>(isOff ? variationNames : []);
  for (const word of words) {
    const name = word.replace(/^-/, '');
    if (name === 'all' || name === 'none') {
      for (const each of variationNames) {
        if (name === 'all') chosen.add(each);
        else chosen.delete(each);
      }
    } else if (!VARIATIONS.some((each) => each.name === name)) {
      throw new UsageError('usage', `Cannot vary "${name}": there is no such variation`, {
        hint: `Write all, none, or some of ${variationNames.join(', ')}`,
      });
    } else if (word.startsWith('-')) {
      chosen.delete(name);
    } else {
      chosen.add(name);
    }
  }
  return variationNames.filter((name) => chosen.has(name));
}
