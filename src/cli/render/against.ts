/** What a rebuild of a release found, for people. */

import type { AgainstReport } from '../../builder/check/against.ts';
import { printable, type Terminal } from '../terminal.ts';
import { describeFinding } from './check.ts';
import { shortValue } from './comparison.ts';

export function renderAgainst(
  report: AgainstReport,
  attestation: string | undefined,
  terminal: Terminal,
): string {
  const { release, name, reproduced, sameUnsigned, failure, files, unreplayed } = report;
  const verdict = reproduced
    ? `Reproduced: ${name} comes out as ${release}, ${files.length} files with their signatures`
    : failure !== undefined
      ? `Not reproduced: ${name} does not build here`
      : sameUnsigned
        ? `Reproduced but for signatures: ${name} comes out as ${release}`
        : `Not reproduced: ${name} comes out otherwise than ${release}`;
  const lines = [terminal.style([reproduced ? 'green' : 'red', 'bold'], printable(verdict))];
  const section = (title: string, body: readonly string[]): void => {
    if (body.length > 0) lines.push('', terminal.style('bold', title), ...body.map(printable));
  };
  if (failure !== undefined) section('failure', [`  ${failure}`]);
  section(
    'built from other files',
    report.inputs.map(
      ({ file, line, name: input, released, here }) =>
        `  ${file}:${line} ${input}: ${short(released)} in the release, ${short(here)} here`,
    ),
  );
  section(
    'built by other tools',
    report.tools.map(
      ({ name: tool, released, here }) =>
        `  ${tool}: ${shortValue(released)} → ${shortValue(here)}`,
    ),
  );
  if (report.first !== undefined) {
    lines.push(
      '',
      terminal.style('bold', 'first difference'),
      ...describeFinding(report.first, terminal),
    );
  }
  if (unreplayed !== undefined && !sameUnsigned) {
    section('signature', [`  of ${unreplayed}: it is over other bytes than come out here`]);
  }
  const changed = (report.measured ?? []).filter(({ a, b }) => a !== b);
  if (!reproduced && report.measured !== undefined) {
    section('measured', [
      ...changed.map(
        ({ name: each, a = 'none', b = 'none' }) =>
          `  ${each}: ${shortValue(a)} → ${shortValue(b)}`,
      ),
      ...(changed.length === 0 ? ['  all as in the release: only what holds it differs'] : []),
    ]);
  }
  section(
    'files that differ',
    failure === undefined
      ? files.filter((file) => file.released !== file.rebuilt).map(({ path }) => `  ${path}`)
      : [],
  );
  if (report.kept !== undefined) section('kept', [`  microbuild diff ${release} ${report.kept}`]);
  if (attestation !== undefined) section('attestation', [`  ${attestation}`]);
  return lines.join('\n');
}

const short = (digest: string): string => shortValue(digest.replace(/^sha256:/, ''));
