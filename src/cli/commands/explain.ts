import { closest } from '../../recipe/closest.ts';
import { UsageError } from '../../core/errors.ts';
import type { CommandDefinition } from '../command.ts';
import { explainedNames, explainName, type ExplainedName } from '../explain.ts';
import type { Terminal } from '../terminal.ts';

export const explainCommand: CommandDefinition = {
  name: 'explain',
  summary: 'Tell what an error code or another stable name means, and what to do',
  positionals: {
    code: {
      type: 'string',
      required: false,
      describe: 'As it was printed, such as kernel/PublicKeyRejected; without it all are listed',
    },
  },
  options: {},
  examples: [
    ['explain erofs/bad-magic', 'an error code'],
    ['explain 3', 'an exit code'],
    ['explain JAR_SIG_NO_MANIFEST', 'a finding of verify'],
    ['explain', 'all that there are'],
  ],
  run(args, { terminal }) {
    const code = args.optionalText('code');
    if (code === undefined) {
      const all = explainedNames();
      return Promise.resolve({ text: listText(all, terminal), json: all });
    }
    const pages = explainName(code);
    if (pages.length === 0) {
      const near = closest(
        code,
        explainedNames().map(({ name }) => name),
      );
      throw new UsageError('usage', `Cannot explain ${code}: it is not known`, {
        hint: near === undefined ? 'microbuild explain lists all' : `Did you mean ${near}?`,
      });
    }
    return Promise.resolve({
      text: pages.map((each) => pageText(each, terminal)).join('\n\n'),
      json: pages,
    });
  },
};

function pageText(each: ExplainedName, terminal: Terminal): string {
  return [
    `${terminal.style('bold', each.name)}  ${terminal.style('dim', each.group)}`,
    '',
    `  ${each.meaning}`,
    '',
    `  ${terminal.style('cyan', 'what to do:')} ${each.remedy}`,
    `  ${terminal.style('cyan', 'for example:')} ${each.example}`,
  ].join('\n');
}

function listText(all: readonly ExplainedName[], terminal: Terminal): string {
  const lines: string[] = [];
  let group = '';
  for (const { name, meaning, group: own } of all) {
    if (own !== group) {
      if (group !== '') lines.push('');
      group = own;
      lines.push(terminal.style('bold', group));
    }
    lines.push(`  ${name.padEnd(24)}  ${meaning}`);
  }
  return lines.join('\n');
}
