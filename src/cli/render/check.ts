/** What `check` found, for people: the verdict, the culprits, the first difference, what was varied. */

import { VARIATIONS } from '../../builder/check/variation.ts';
import type { CheckReport, Culprit } from '../../builder/check/report.ts';
import type { Finding } from '../../bundle/compare/finding.ts';
import { printable, type Terminal } from '../terminal.ts';
import { placeText, shortValue } from './comparison.ts';

const MOST_PATHS = 5;

export function renderCheck(report: CheckReport, terminal: Terminal): string {
  const { name, reproducible, builds, milliseconds, files, failure, first, culprits } = report;
  const seconds = (milliseconds / 1000).toFixed(1);
  const count = Object.keys(files).length;
  const lines = reproducible
    ? [
        terminal.style(
          ['green', 'bold'],
          `Reproducible: ${builds} builds of ${name} gave the same ${count} files, in ${seconds} s`,
        ),
      ]
    : [
        terminal.style(
          ['red', 'bold'],
          failure === undefined
            ? `Not reproducible: builds of ${name} differ (${builds} builds, ${seconds} s)`
            : `Not reproducible: ${name} does not build everywhere (${builds} builds, ${seconds} s)`,
        ),
      ];
  const section = (title: string, body: readonly string[]): void => {
    if (body.length > 0) lines.push('', terminal.style('bold', title), ...body);
  };
  if (failure !== undefined) section('failure', [`  ${printable(failure)}`]);
  if (first !== undefined) section('first difference', describeFinding(first, terminal));
  section(
    'caused by',
    (culprits ?? []).flatMap((culprit) => describeCulprit(culprit, terminal)),
  );
  if (!reproducible && culprits === undefined) {
    section('caused by', ['  not looked for: --bisect finds which variation it is']);
  }
  const found = Object.entries(report.levels).filter(([, differences]) => differences > 0);
  section(
    'differences by level',
    found.map(([level, differences]) => `  ${level}: ${differences}`),
  );
  const isOn = report.variations.filter(({ on }) => on);
  section('varied', [
    `  ${isOn.length === 0 ? 'nothing' : isOn.map(({ name: each }) => each).join(', ')}`,
  ]);
  const isOff = report.variations.filter(({ on, why }) => !on && why !== 'not asked for');
  section(
    'not varied',
    isOff.map(({ name: each, why = '' }) => `  ${each}: ${printable(why)}`),
  );
  if (report.kept !== undefined) {
    const hint =
      report.kept.length === 2 && !reproducible
        ? `microbuild diff ${report.kept.join(' ')}`
        : report.kept.join(', ');
    section('kept', [`  ${hint}`]);
  }
  return lines.join('\n');
}

export function describeFinding(finding: Finding, terminal: Terminal): string[] {
  const { member, path, field, a, b, cause, input, excerpt = [] } = finding;
  const where = [member, path].filter((each) => each !== '').join(' ');
  const isValued = a !== undefined || b !== undefined;
  const values = isValued ? `: ${shown(a ?? 'none')} → ${shown(b ?? 'none')}` : '';
  return [
    `  ${printable(`${where} ${field}`.trim())}${printable(values)}`,
    ...(cause ? [`    ${terminal.style('yellow', cause.name)}: ${printable(cause.evidence)}`] : []),
    ...(input ? [`    ${terminal.style('cyan', printable(placeText(input)))}`] : []),
    ...excerpt.slice(0, 6).map((line) => `      ${printable(line)}`),
  ];
}

const MOST_CHARACTERS = 120;

const shown = (value: string): string =>
  value.length > MOST_CHARACTERS ? `${value.slice(0, MOST_CHARACTERS)}…` : shortValue(value);

function describeCulprit(
  { variations, first, failure, paths }: Culprit,
  terminal: Terminal,
): string[] {
  const names = variations.join(' or ');
  const [only = ''] = variations.length === 1 ? variations : [];
  const meaning =
    only === 'nothing'
      ? 'builds differ in the same surroundings: chance, or the order in which threads come first'
      : only === 'time'
        ? 'the time that goes by between builds'
        : VARIATIONS.filter(({ name }) => variations.includes(name))
            .map(({ what }) => what)
            .join('; ');
  const more = paths.length > MOST_PATHS ? [`    and ${paths.length - MOST_PATHS} more`] : [];
  return [
    `  ${terminal.style(['red', 'bold'], names)}: ${meaning}`,
    ...(failure === undefined ? [] : [`    the build fails: ${printable(failure)}`]),
    ...(first === undefined ? [] : describeFinding(first, terminal).map((line) => `  ${line}`)),
    ...paths.slice(1, MOST_PATHS).map((path) => `    ${printable(path)}`),
    ...more,
  ];
}
