import type { CommandDefinition } from '../command.ts';
import type { Check, Checker } from '../doctor/check.ts';
import { checkCache, checkFsVerity, checkNode, checkPageSize } from '../doctor/host.ts';
import {
  checkKoffi,
  checkLibcryptsetup,
  checkLibfsverity,
  checkNative,
} from '../doctor/libraries.ts';
import {
  checkApt,
  checkGuest,
  checkKvm,
  checkMake,
  checkMuslGcc,
  checkQemu,
  checkVsock,
} from '../doctor/programs.ts';
import {
  checkAarch64,
  checkDisk,
  checkMemory,
  checkMonitors,
  checkRunDirectory,
  checkSandbox,
  checkSetpriv,
} from '../doctor/running.ts';
import { EXIT } from '../exit-code.ts';
import { packageRoot } from '../package-root.ts';
import type { Terminal } from '../terminal.ts';

/** In the order of one's first build and run; what few need comes last. */
const CHECKERS: readonly Checker[] = [
  checkNode,
  checkGuest,
  checkApt,
  checkCache,
  checkMake,
  checkMuslGcc,
  checkQemu,
  checkVsock,
  checkKvm,
  checkRunDirectory,
  checkMemory,
  checkDisk,
  checkSetpriv,
  checkSandbox,
  checkNative,
  checkKoffi,
  checkPageSize,
  checkLibcryptsetup,
  checkLibfsverity,
  checkFsVerity,
  checkAarch64,
  checkMonitors,
];

export const doctorCommand: CommandDefinition = {
  name: 'doctor',
  summary: 'Check what this machine can do, and say what to install',
  positionals: {},
  options: {},
  examples: [
    [
      'doctor',
      'exit code 0 when recipes can be built and run, 4 when something for that is missing',
    ],
    ['doctor --json', 'every check with its status: ok, limited or missing'],
  ],
  title: () => 'Look at this machine',
  async run(_args, { env, terminal }) {
    const checks = await Promise.all(CHECKERS.map((check) => check({ packageRoot, env })));
    const missing = checks.filter(({ status }) => status === 'missing');
    const limited = checks.filter(({ status }) => status === 'limited');
    const verdict =
      missing.length > 0
        ? `${missing.length} missing: recipes cannot be built and run here`
        : `recipes can be built and run here${limited.length > 0 ? `; ${limited.length} limited` : ''}`;
    return {
      text: [...renderChecks(checks, terminal), verdict].join('\n'),
      json: { ok: missing.length === 0, checks },
      exitCode: missing.length === 0 ? EXIT.ok : EXIT.environment,
    };
  },
};

const MARKS = {
  ok: ['green', 'ok'],
  limited: ['yellow', 'limited'],
  missing: ['red', 'MISSING'],
} as const;

function renderChecks(checks: readonly Check[], terminal: Terminal): string[] {
  const width = Math.max(...checks.map(({ name }) => name.length));
  return checks.flatMap(({ name, status, found, for: use, fix }) => {
    const [style, mark] = MARKS[status];
    const line = `${terminal.style(style, mark.padEnd(7))}  ${name.padEnd(width)}  ${found}`;
    if (fix === undefined) return [line];
    const indent = ' '.repeat(9 + width + 2);
    return [`${line} (for: ${use})`, `${indent}${terminal.style('cyan', 'fix:')} ${fix}`];
  });
}
