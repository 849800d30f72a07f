/** The table and the JSON of a bench, and whether the bars were met. */

import type { Measured, WorkResult } from './run.ts';
import type { Work } from './works.ts';

/** A promise and what was measured of it. */
interface Verdict {
  readonly bar: string;
  readonly measured: string;
  readonly met: boolean;
}

export interface Report {
  readonly machine: Machine;
  readonly quick: boolean;
  readonly runs: number;
  readonly works: readonly ReportedWork[];
}

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly kernel: string;
  readonly node: string;
  /** Instructions that the native library hashes with; undefined when it is not built. */
  readonly engine: string | undefined;
  /** Bytes per second of bare lanes over memory, on one core and on all. */
  readonly lanes: { readonly one: number; readonly all: number } | undefined;
}

interface ReportedWork extends Partial<WorkResult> {
  readonly name: string;
  readonly what: string;
  /** Median of each peer, divided by ours. */
  readonly ratios: Readonly<Record<string, number>>;
  readonly bars: readonly Verdict[];
  /** Why it was not measured. */
  readonly failure?: string;
}

/** A work that was measured. */
export function reported(work: Work, result: WorkResult): ReportedWork {
  const { ours, peers, limit } = result;
  const ratioTo = (peer: Measured): number => peer.median / ours.median;
  const bars: Verdict[] = work.bars.flatMap(({ peer, atLeast }) => {
    const found = peers.find(({ name }) => name === peer);
    if (found === undefined) return [];
    const ratio = ratioTo(found);
    const measured = `${ratio.toFixed(2)} times`;
    return [{ bar: `${atLeast} times ${peer}`, measured, met: ratio >= atLeast }];
  });
  if (work.limitBar !== undefined && limit !== undefined) {
    const part = limit / ours.median;
    bars.push({
      bar: `${percent(work.limitBar)} of the limit`,
      measured: percent(part),
      met: part >= work.limitBar,
    });
  }
  if (work.memoryBar !== undefined && ours.peakMemory !== undefined) {
    bars.push({
      bar: `under ${mebibytes(work.memoryBar)}`,
      measured: mebibytes(ours.peakMemory),
      met: ours.peakMemory < work.memoryBar,
    });
  }
  const theirs = peers[0]?.imageSize;
  if (work.sizeBar !== undefined && theirs !== undefined && ours.imageSize !== undefined) {
    const more = ours.imageSize / theirs - 1;
    bars.push({
      bar: `size within ${percent(work.sizeBar)}`,
      measured: `${more >= 0 ? '+' : ''}${(100 * more).toFixed(2)} %`,
      met: more <= work.sizeBar,
    });
  }
  const ratios = Object.fromEntries(peers.map((peer) => [peer.name, ratioTo(peer)]));
  return { ...result, ratios, bars };
}

/** A work that could not be measured. */
export function failed({ name, what }: Work, error: unknown): ReportedWork {
  const failure = error instanceof Error ? error.message : String(error);
  return { name, what, ratios: {}, bars: [], failure };
}

const HEADINGS = ['work', 'who', 'median', 'min', 'cpu', 'memory', 'MB/s', 'ours is', 'of limit'];

/** One table for all works, the bars below it. */
export function renderReport({ machine, works, quick, runs }: Report): string {
  const rows = works.flatMap((work) => rowsOf(work));
  const widths = HEADINGS.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) =>
        column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd();
  const verdicts = works.flatMap(({ name, bars, failure }) => [
    ...bars.map(
      ({ bar, measured, met }) => `  ${met ? 'met    ' : 'NOT MET'}  ${name}: ${bar}: ${measured}`,
    ),
    ...(failure === undefined ? [] : [`  FAILED   ${name}: ${failure}`]),
  ]);
  const { lanes } = machine;
  return [
    `${machine.processor}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}`,
    lanes === undefined
      ? 'the native library is not built: no limit is known'
      : `bare SHA-256 lanes over memory (${machine.engine}): ${speed(lanes.one)} MB/s on one core, ${speed(lanes.all)} MB/s on all`,
    `${runs} runs of each, in turns${quick ? '; quick: the bars are meant for the full inputs' : ''}`,
    '',
    line(HEADINGS),
    line(widths.map((width) => '-'.repeat(width))),
    ...rows.map((row) => line(row)),
    '',
    'bars:',
    ...verdicts,
  ].join('\n');
}

function rowsOf(work: ReportedWork): string[][] {
  const { name, size = 0, ours, peers = [], limit, ratios } = work;
  if (ours === undefined) return [[name, `failed: ${work.failure?.slice(0, 40) ?? ''}`]];
  const row = (first: string, measured: Measured, ratio: string, part: string): string[] => [
    first,
    measured.name,
    seconds(measured.median),
    seconds(measured.min),
    measured.cpu === undefined ? '' : seconds(measured.cpu),
    measured.peakMemory === undefined ? '' : mebibytes(measured.peakMemory),
    speed(size / measured.median),
    ratio,
    part,
  ];
  const part = (measured: Measured): string =>
    limit === undefined ? '' : percent(limit / measured.median);
  return [
    row(name, ours, '', part(ours)),
    ...peers.map((peer) =>
      row('', peer, `${(ratios[peer.name] ?? Number.NaN).toFixed(2)} x`, part(peer)),
    ),
  ];
}

const seconds = (value: number): string => `${value.toFixed(value < 10 ? 3 : 1)} s`;
const speed = (bytesPerSecond: number): string => Math.round(bytesPerSecond / 1e6).toString();
const percent = (part: number): string => `${Math.round(100 * part)} %`;
const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;
