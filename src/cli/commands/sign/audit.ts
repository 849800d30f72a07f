/** `microbuild sign audit`: what an audit log says, and whether somebody changed it. */

import { readFile } from 'node:fs/promises';
import { UsageError } from '../../../core/errors.ts';
import { openFileSource } from '../../../io/byte-source.ts';
import { checkAuditLog } from '../../../signing/audit.ts';
import type { CommandDefinition } from '../../command.ts';
import { EXIT } from '../../exit-code.ts';

/** A million signatures. */
const MAX_LOG = 1 << 30;

export const auditCommand: CommandDefinition = {
  name: 'audit',
  summary: 'Check an audit log: no line was changed or taken away',
  positionals: {
    log: { type: 'string', required: true, describe: 'File that --audit-log wrote' },
  },
  options: {},
  examples: [
    ['sign audit microbuild.audit.jsonl', 'exit code 3 when a line was changed or is missing'],
  ],
  verifying: true,
  async run(args) {
    const path = args.text('log');
    const source = await openFileSource(path);
    await source.close();
    if (source.size > MAX_LOG) {
      throw new UsageError('input', `Cannot check ${path}: it is too large for an audit log`);
    }
    const report = checkAuditLog(await readFile(path));
    const counts = Object.entries(report.verdicts)
      .filter(([, count]) => count > 0)
      .map(([verdict, count]) => `${count} ${verdict}`);
    const { lines, problems } = report;
    return {
      text: [
        `${path}: ${lines} ${lines === 1 ? 'line' : 'lines'}${counts.length === 0 ? '' : `: ${counts.join(', ')}`}`,
        ...(report.last === null ? [] : [`  last line  sha256 ${report.last}`]),
        ...problems.map(({ line, problem }) => `  line ${line}: ${problem}`),
        problems.length === 0 ? 'no line is missing before the last' : 'THE LOG WAS CHANGED',
      ].join('\n'),
      json: report,
      exitCode: problems.length === 0 ? EXIT.ok : EXIT.verification,
    };
  },
};
