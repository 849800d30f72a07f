/** A comparison for people: why first, then what, as a tree. */

import type { BrokenGate } from '../../bundle/compare/gates.ts';
import type {
  Comparison,
  Finding,
  InputPlace,
  Measurement,
  Reason,
} from '../../bundle/compare/finding.ts';
import { formatSize, printable, type Terminal } from '../terminal.ts';

const MAX_DIGEST = 16;
/** Of findings, without --verbose. */
const MAX_SHOWN = 40;

export const shortValue = (value: string): string =>
  /^[0-9a-f]{33,}$/.test(value) ? `${value.slice(0, MAX_DIGEST)}…` : value;

export const placeText = ({ file, line, name }: InputPlace): string => `${file}:${line} ${name}`;

export const changedOf = (measurements: readonly Measurement[]): readonly Measurement[] =>
  measurements.filter(({ a, b }) => a !== b);

export const signedSize = (bytes: number): string =>
  bytes === 0 ? '±0' : `${bytes < 0 ? '−' : '+'}${formatSize(Math.abs(bytes))}`;

/** The one line that says how much they have in common. */
export function verdictOf({ same, sameUnsigned, a, b }: Comparison): string {
  if (same) return `Same: ${a} and ${b}`;
  return sameUnsigned
    ? `Same but for keys and signatures: ${a} and ${b}`
    : `Different: ${a} and ${b}`;
}

export function renderComparison(
  comparison: Comparison,
  failed: readonly BrokenGate[],
  terminal: Terminal,
  verbose: boolean,
): string {
  const style: Terminal['style'] = (how, text) => terminal.style(how, text);
  const colour = comparison.same ? 'green' : comparison.sameUnsigned ? 'yellow' : 'red';
  const lines = [style([colour, 'bold'], printable(verdictOf(comparison)))];
  const section = (title: string, body: readonly string[]): void => {
    if (body.length > 0) lines.push('', style('bold', title), ...body);
  };
  section(
    'why',
    comparison.why.flatMap((reason) => renderReason(reason, terminal, 1)),
  );
  section(
    'from the recipe',
    comparison.explained.map(({ input, versions, findings, paths }) => {
      const change = versions === undefined ? '' : ` (${versions.a} → ${versions.b})`;
      const [first = ''] = paths;
      const names = findings === 1 ? first : `${findings} findings, such as ${first}`;
      return `  ${style('cyan', printable(placeText(input)))}${printable(change)}: ${printable(names)}`;
    }),
  );
  section(
    'packages',
    comparison.packages.map(({ change, kind, name, a, b }) =>
      printable(`  ${MARKS[change]} ${kind} ${name} ${[a, b].filter(Boolean).join(' → ')}`),
    ),
  );
  section(
    'privileges',
    comparison.privileges.map(({ change, member, path, a, b }) =>
      style(
        change === 'removed' ? 'green' : 'red',
        printable(`  ${MARKS[change]} ${member} ${path}: ${[a, b].filter(Boolean).join(' → ')}`),
      ),
    ),
  );
  section(
    'likely causes',
    comparison.causes.map(({ name, findings }) => `  ${name}: ${findings}`),
  );
  section('differences', renderFindings(comparison, terminal, verbose));
  section(
    'sizes',
    comparison.sizes
      .filter(({ a, b }) => a !== b)
      .map(
        ({ member, a, b }) =>
          `  ${member || 'all'}: ${formatSize(a)} → ${formatSize(b)} (${signedSize(b - a)})`,
      ),
  );
  section(
    'failed',
    failed.map(({ gate, reason }) => `  ${style('red', gate)}: ${printable(reason)}`),
  );
  return lines.join('\n');
}

const MARKS = { added: '+', removed: '-', changed: '~' } as const;

function renderReason(reason: Reason, terminal: Terminal, depth: number): string[] {
  const { title, a, b, input, cause, because } = reason;
  const values =
    a === undefined && b === undefined
      ? ''
      : `  ${shortValue(a ?? 'none')} → ${shortValue(b ?? 'none')}`;
  const indent = '  '.repeat(depth);
  const from =
    input === undefined ? '' : terminal.style('cyan', `  ${printable(placeText(input))}`);
  const likely = cause === undefined ? '' : terminal.style('yellow', `  (${cause.name})`);
  return [
    `${indent}${depth === 1 ? '' : '← '}${printable(title)}${terminal.style('dim', printable(values))}${from}${likely}`,
    ...because.flatMap((each) => renderReason(each, terminal, depth + 1)),
  ];
}

function renderFindings(comparison: Comparison, terminal: Terminal, verbose: boolean): string[] {
  const own = comparison.findings.filter(({ nature }) => verbose || nature === 'origin');
  const shown = own.length === 0 ? comparison.findings : own;
  const lines: string[] = [];
  const limit = verbose ? Number.POSITIVE_INFINITY : MAX_SHOWN;
  let [member, path] = ['', ''];
  for (const finding of shown.slice(0, limit)) {
    if (finding.member !== member) {
      ({ member } = finding);
      path = '';
      lines.push(`  ${terminal.style('bold', printable(member))}`);
    }
    if (finding.path !== path) {
      ({ path } = finding);
      const colour = finding.field !== '' ? 'reset' : finding.change === 'added' ? 'green' : 'red';
      const mark = finding.field === '' ? MARKS[finding.change] : '~';
      lines.push(`    ${terminal.style(colour, `${mark} ${printable(path) || '.'}`)}`);
    }
    lines.push(...findingLines(finding, terminal));
  }
  const total = Object.values(comparison.counts).reduce((sum, count) => sum + count, 0);
  const rest = total - Math.min(shown.length, limit);
  if (rest > 0)
    lines.push(`  ${rest} more, among them what follows from these: --verbose shows them`);
  return lines;
}

function findingLines(finding: Finding, terminal: Terminal): string[] {
  const { field, a, b, offset, cause, excerpt = [], nature } = finding;
  const values =
    a === undefined && b === undefined
      ? ''
      : field === ''
        ? ` ${a ?? b}`
        : ` ${shortValue(a ?? 'none')} → ${shortValue(b ?? 'none')}`;
  const place = offset === undefined ? '' : ` at byte ${offset}`;
  const likely =
    cause === undefined
      ? ''
      : terminal.style('yellow', `  ${cause.name}: ${printable(cause.evidence)}`);
  const why = nature === 'origin' ? '' : terminal.style('dim', ` [${nature}]`);
  return [
    `        ${printable(field)}${printable(values)}${place}${likely}${why}`.trimEnd(),
    ...excerpt.map((line) =>
      terminal.style(
        line.startsWith('-') ? 'red' : line.startsWith('+') ? 'green' : 'dim',
        `          ${printable(line)}`,
      ),
    ),
  ].filter((line) => line.trim() !== '');
}
