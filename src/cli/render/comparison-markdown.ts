/** A comparison as a comment of a pull request: a table, the reasons, and the rest folded away. */

import type { BrokenGate } from '../../bundle/compare/gates.ts';
import type { Comparison, Finding, Reason } from '../../bundle/compare/finding.ts';
import { formatSize, printable } from '../terminal.ts';
import { changedOf, placeText, shortValue, signedSize, verdictOf } from './comparison.ts';

/** GitHub takes 65536 characters. */
const MAX_ROWS = 200;
const MAX_CELL = 120;

/** Text that came from somebody's files, in a table: it must not be markup. */
function cell(text: string): string {
  const short = text.length > MAX_CELL ? `${text.slice(0, MAX_CELL)}…` : text;
  return printable(short).replaceAll(/[\\`*_[\]<>|#~!&@]/g, (each) => `&#${each.charCodeAt(0)};`);
}

const code = (text: string): string => (text === '' ? '' : `<code>${cell(text)}</code>`);

export function renderMarkdown(comparison: Comparison, failed: readonly BrokenGate[]): string {
  const { measurements, why, explained, packages, privileges, sizes, causes } = comparison;
  const changed = changedOf(measurements);
  const parts = [`### ${cell(verdictOf(comparison))}`];
  if (failed.length > 0) {
    parts.push(
      failed.map(({ gate, reason }) => `- ❌ **${cell(gate)}**: ${cell(reason)}`).join('\n'),
    );
  }
  if (changed.length > 0) {
    parts.push(
      table(
        ['measurement', 'old', 'new'],
        changed.map(({ name, a, b }) => [
          cell(name),
          code(shortValue(a ?? '–')),
          code(shortValue(b ?? '–')),
        ]),
      ),
    );
  }
  if (why.length > 0) parts.push('**Why**', why.map((reason) => list(reason, 0)).join('\n'));
  if (explained.length > 0) {
    parts.push(
      table(
        ['recipe', 'explains'],
        explained.map(({ input, versions, findings, paths }) => [
          cell(
            `${placeText(input)}${versions === undefined ? '' : ` (${versions.a} → ${versions.b})`}`,
          ),
          `${findings}: ${paths.slice(0, 3).map(code).join(', ')}${paths.length > 3 ? ', …' : ''}`,
        ]),
      ),
    );
  }
  if (packages.length > 0) {
    parts.push(
      table(
        ['package', 'old', 'new'],
        packages.map(({ kind, name, a, b }) => [
          cell(`${kind} ${name}`),
          cell(a ?? '–'),
          cell(b ?? '–'),
        ]),
      ),
    );
  }
  if (privileges.length > 0) {
    parts.push(
      table(
        ['⚠️ privileges', 'old', 'new'],
        privileges.map(({ path, a, b }) => [code(path), cell(a ?? '–'), cell(b ?? '–')]),
      ),
    );
  }
  const grown = sizes.filter(({ a, b }) => a !== b);
  if (grown.length > 0) {
    parts.push(
      table(
        ['size', 'old', 'new', ''],
        grown.map(({ member, a, b }) => [
          member === '' ? '**all**' : code(member),
          formatSize(a),
          formatSize(b),
          signedSize(b - a),
        ]),
      ),
    );
  }
  if (causes.length > 0) {
    parts.push(
      `Likely causes: ${causes.map(({ name, findings }) => `${name} (${findings})`).join(', ')}`,
    );
  }
  if (comparison.findings.length > 0) parts.push(details(comparison));
  return parts.join('\n\n');
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const shown = rows.slice(0, MAX_ROWS);
  const rest = rows.length - shown.length;
  return [
    row(head),
    row(head.map(() => '---')),
    ...shown.map(row),
    ...(rest > 0 ? [row([`${rest} more`, ...head.slice(1).map(() => '')])] : []),
  ].join('\n');
};

function list({ title, a, b, input, cause, because }: Reason, depth: number): string {
  const values =
    a === undefined && b === undefined
      ? ''
      : ` ${code(shortValue(a ?? '–'))} → ${code(shortValue(b ?? '–'))}`;
  const from = input === undefined ? '' : ` ← ${code(placeText(input))}`;
  const likely = cause === undefined ? '' : ` _(${cause.name})_`;
  return [
    `${'  '.repeat(depth)}- ${cell(title)}${values}${from}${likely}`,
    ...because.map((each) => list(each, depth + 1)),
  ].join('\n');
}

function details({ findings, counts }: Comparison): string {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const row = ({ member, path, field, a, b, cause, change }: Finding): readonly string[] => [
    code([member, path].filter(Boolean).join(' ')),
    cell(field === '' ? change : field),
    code(shortValue(a ?? '')),
    code(shortValue(b ?? '')),
    cell(cause?.name ?? ''),
  ];
  const order = { origin: 0, signature: 1, consequence: 2 } as const;
  const sorted = findings.toSorted((x, y) => order[x.nature] - order[y.nature]);
  return [
    '<details>',
    `<summary>${total} differences</summary>`,
    '',
    table(['where', 'what', 'old', 'new', 'likely cause'], sorted.map(row)),
    '',
    '</details>',
  ].join('\n');
}
