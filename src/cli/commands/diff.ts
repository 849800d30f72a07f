import { checkFailures, gatesOf, type Gates } from '../../bundle/compare/gates.ts';
import { comparePaths } from '../../bundle/compare/compare.ts';
import { fileKinds, type FileKind } from '../../bundle/file-kind.ts';
import { UsageError } from '../../core/errors.ts';
import { parseSize } from '../../core/size.ts';
import type { CommandArguments, CommandDefinition } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { renderComparison } from '../render/comparison.ts';
import { renderMarkdown } from '../render/comparison-markdown.ts';

export const diffCommand: CommandDefinition = {
  name: 'diff',
  summary:
    'Compare two bundles, or two files, and tell why they differ: from the digest to the line of the recipe',
  positionals: {
    a: { type: 'string', describe: 'Bundle or file, the older one' },
    b: { type: 'string', describe: 'Bundle or file, the newer one' },
  },
  options: {
    full: {
      type: 'boolean',
      default: false,
      describe: 'Read all bytes; believe no digest that the bundles state',
    },
    markdown: {
      type: 'boolean',
      default: false,
      describe: 'Print a comment for a pull request',
    },
    as: {
      type: 'string',
      choices: fileKinds,
      describe: 'Take both files as this format, whatever they begin with',
    },
    'max-growth': {
      type: 'string',
      requiresArg: true,
      describe: 'Fail when the whole grows by more: 500KiB, 2MiB, or 5%',
    },
    'no-new-setuid': {
      type: 'boolean',
      default: false,
      describe: 'Fail when a file got set-id bits or capabilities',
    },
    'no-new-packages': {
      type: 'boolean',
      default: false,
      describe: 'Fail when a package or another pinned input is new',
    },
    'fail-on': {
      type: 'string',
      array: true,
      requiresArg: true,
      describe:
        'Fail on these, comma-separated: difference, unsigned, content, key, package, privilege, growth, level-LEVEL, or a likely cause; then on nothing else',
    },
    'max-findings': {
      type: 'number',
      requiresArg: true,
      describe: 'Keep this many findings; all are counted. Default 5000',
    },
  },
  examples: [
    ['diff out/hello-1.0 out/hello', 'why is the root hash another?'],
    ['diff main.mbundle pr.mbundle --markdown --max-growth 1MiB', 'a comment, and a gate'],
    ['diff a b --fail-on package,privilege', 'only these make it fail'],
    ['diff old.apk new.apk', 'two files of a format that is known'],
  ],
  title: (args) => `Compare ${args.text('a')} with ${args.text('b')}`,
  async run(args, context) {
    const gates = readGates(args);
    const as = args.optionalText('as') as FileKind | undefined;
    const maxFindings = args.optionalNumber('max-findings');
    if (maxFindings !== undefined && !(Number.isInteger(maxFindings) && maxFindings >= 0)) {
      throw new UsageError('usage', `Cannot keep ${maxFindings} findings: not a whole number`);
    }
    const comparison = await comparePaths(args.text('a'), args.text('b'), {
      // What is promised of signatures is promised of every byte.
      full: args.flag('full') || gates?.failOn?.includes('unsigned') === true,
      signal: context.signal,
      ...(as && { as }),
      ...(maxFindings !== undefined && { maxFindings }),
    });
    const failed = gatesOf(comparison, gates);
    const isFailure = gates === undefined ? !comparison.same : failed.length > 0;
    const text = args.flag('markdown')
      ? renderMarkdown(comparison, failed)
      : renderComparison(comparison, failed, context.terminal, context.verbose);
    return {
      text,
      json: { ...comparison, gates: failed },
      exitCode: isFailure ? EXIT.failed : EXIT.ok,
    };
  },
};

/** @returns undefined when nothing is gated: then any difference is exit code 1, as of diff(1). */
function readGates(args: CommandArguments): Gates | undefined {
  const growth = args.optionalText('max-growth');
  const failOn = (args.optionalList('fail-on') ?? []).flatMap((each) => each.split(','));
  checkFailures(failOn);
  const gates: Gates = {
    ...(growth !== undefined && { maxGrowth: parseGrowth(growth) }),
    noNewPrivileges: args.flag('no-new-setuid'),
    noNewPackages: args.flag('no-new-packages'),
    failOn,
  };
  const isGated =
    growth !== undefined || gates.noNewPrivileges || gates.noNewPackages || failOn.length > 0;
  return isGated ? gates : undefined;
}

/** Of the older bundle in percent, or in bytes. */
function parseGrowth(text: string): NonNullable<Gates['maxGrowth']> {
  const [, percent] = /^\s*(\d{1,6}(?:\.\d{1,6})?)\s*%\s*$/.exec(text) ?? [];
  if (percent !== undefined) return { percent: Number(percent) };
  return { bytes: parseSize(text, '--max-growth') };
}
