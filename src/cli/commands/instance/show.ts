import { findInstance, statePath } from '../../../runner/instance/folder.ts';
import type { CommandDefinition } from '../../command.ts';
import { printable } from '../../terminal.ts';
import { describeInstance } from './describe.ts';

export const instanceShowCommand: CommandDefinition = {
  name: 'show',
  summary: 'Show where an instance is and the newest versions that it has run',
  positionals: { name: { type: 'string', describe: 'Name of the instance: that of its VM' } },
  options: {},
  examples: [['instance show hello', 'folder, systems and packages; no secret']],
  async run(args, { env }) {
    const found = describeInstance(await findInstance(statePath(env), args.text('name')));
    const { name, folder, problem, usedBy, systems, packages } = found;
    const lines = [
      `${name}${usedBy === null ? '' : `, run by process ${usedBy}`}`,
      `  folder   ${folder}`,
      ...systems.flatMap(({ key, rollbackIndex }) => [
        `  system   rollback index ${rollbackIndex}`,
        `           signed by sha256:${key}`,
      ]),
      ...packages.flatMap((each) => [
        `  package  ${each.package} ${each.versionCode}`,
        `           signed by sha256:${each.signer}`,
      ]),
    ];
    if (problem !== null) lines.push(`  cannot be run: ${printable(problem)}`);
    if (found.new) lines.push('  new: no guest has its secrets yet');
    return { text: lines.join('\n'), json: found };
  },
};
