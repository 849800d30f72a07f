/** Runs the contenders of a work in turns and collects what was measured. */

import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { warm } from './inputs.ts';
import { measure, type Sample } from './measure.ts';
import type { Contender, Work } from './works.ts';

export interface Measured {
  readonly name: string;
  /** Of each run, in seconds. */
  readonly runs: readonly number[];
  readonly median: number;
  readonly min: number;
  /** Median of user and system time, in seconds. */
  readonly cpu: number | undefined;
  /** In bytes; the largest of the runs. */
  readonly peakMemory: number | undefined;
  /** Of the image that was made, in bytes. */
  readonly imageSize: number | undefined;
}

export interface WorkResult {
  readonly name: string;
  readonly what: string;
  /** Of the input, in bytes. */
  readonly size: number;
  readonly ours: Measured;
  readonly peers: readonly Measured[];
  /** In seconds: how long it takes at least. */
  readonly limit: number | undefined;
}

export interface RunOptions {
  readonly runs: number;
  readonly scratch: string;
  /** Bytes per second that bare lanes reach on all cores. */
  readonly lanes: number | undefined;
  readonly onRun: (text: string) => void;
}

/** @throws when a contender fails, or makes another result than the others. */
export async function runWork(work: Work, options: RunOptions): Promise<WorkResult> {
  const input = work.input();
  const contenders = [work.ours(input), ...work.peers(input)];
  const samples = contenders.map((): Sample[] => []);
  const imageSizes = contenders.map((): number | undefined => undefined);
  let [size, copied] = [0, [] as number[]];
  const runs = Math.max(options.runs, work.runs ?? 0);
  for (let round = 0; round < runs; round += 1) {
    const results = new Map<string, string>();
    for (let turn = 0; turn < contenders.length; turn += 1) {
      // Each begins a round as often as the others.
      const index = (turn + round) % contenders.length;
      const contender = contenders[index]!;
      for (const path of contender.outputs) rmSync(path, { force: true });
      contender.prepare?.();
      size = warm(input);
      const sample = withOwnTime(contender, await measure(contender.steps, options.scratch));
      samples[index]?.push(sample);
      options.onRun(`${work.name}: ${contender.name} ${sample.wall.toFixed(2)} s`);
      const { image } = contender;
      if (image !== undefined) imageSizes[index] = statSync(image).size;
      // Comparing is slow beside the work, and the same commands do the same each time.
      if (round === 0) results.set(contender.name, resultOf(contender, sample));
      if (index === 0 && image !== undefined && work.limit === 'copy') {
        copied.push(copyTime(image, join(options.scratch, 'copy')));
      }
    }
    expectEqual(work.name, results);
  }
  for (const path of contenders.flatMap(({ outputs }) => outputs)) rmSync(path, { force: true });
  const [ours, ...peers] = contenders.map(({ name }, index) =>
    summarize(name, samples[index] ?? [], imageSizes[index]),
  );
  const limit =
    work.limit === 'lanes' && options.lanes !== undefined
      ? size / options.lanes
      : copied.length > 0
        ? median(copied)
        : undefined;
  return { name: work.name, what: work.what, size, ours: ours!, peers, limit };
}

/** A contender that measures a part of what it does says how long that took. */
function withOwnTime({ name, time }: Contender, sample: Sample): Sample {
  if (time === undefined) return sample;
  const said = time.exec(sample.stdout)?.[1];
  if (said === undefined) throw new Error(`${name} does not say how long it took`);
  return { ...sample, wall: Number(said) };
}

function summarize(
  name: string,
  samples: readonly Sample[],
  imageSize: number | undefined,
): Measured {
  const runs = samples.map(({ wall }) => wall);
  const cpu = samples.flatMap((sample) => sample.cpu ?? []);
  const memory = samples.flatMap(({ peakMemory }) => peakMemory ?? []);
  return {
    name,
    runs,
    median: median(runs),
    min: Math.min(...runs),
    cpu: cpu.length === 0 ? undefined : median(cpu),
    peakMemory: memory.length === 0 ? undefined : Math.max(...memory),
    imageSize,
  };
}

/** The middle one; of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** A digest of what a contender made; empty when it is not to be compared. */
function resultOf({ result, name }: Contender, { stdout }: Sample): string {
  if (result === undefined) return '';
  if ('printed' in result) return result.printed.exec(stdout)?.[0] ?? `nothing known by ${name}`;
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(1 << 20);
  const fd = openSync(result.file, 'r');
  for (let got = readSync(fd, buffer); got > 0; got = readSync(fd, buffer)) {
    hash.update(buffer.subarray(0, got));
  }
  closeSync(fd);
  return hash.digest('hex');
}

function expectEqual(work: string, results: ReadonlyMap<string, string>): void {
  const [first, ...others] = results;
  for (const [name, result] of others) {
    if (first !== undefined && result !== first[1]) {
      throw new Error(`${work}: ${first[0]} made ${first[1]}, but ${name} ${result}`);
    }
  }
}

/** How long it takes to write a copy of a file that is in memory, in seconds: what no writer can be below. */
function copyTime(from: string, to: string): number {
  warm(from);
  rmSync(to, { force: true });
  const started = performance.now();
  const [source, target] = [openSync(from, 'r'), openSync(to, 'w')];
  const buffer = Buffer.allocUnsafe(1 << 20);
  for (let got = readSync(source, buffer); got > 0; got = readSync(source, buffer)) {
    writeSync(target, buffer, 0, got);
  }
  closeSync(source);
  closeSync(target);
  const seconds = (performance.now() - started) / 1000;
  rmSync(to, { force: true });
  return seconds;
}
