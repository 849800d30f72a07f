/** Ends commands at many moments, and looks at what they leave: all of it, or nothing, and no process. */

import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandLine, processesNaming } from './leftovers.ts';
import { copySharedKeys } from './shared-keys.ts';

export interface Work {
  /** Words behind `microbuild`; files are those of the folder it runs in. */
  readonly args: readonly string[];
  /** What is there before; copied for each run. */
  readonly template: string;
  /** A cache that each run begins with. */
  readonly cache?: string;
  /** Milliseconds after the start between which it is ended; default: from its start to behind its end. */
  readonly between?: readonly [first: number, last: number];
  /** It takes longer than that by far, and is not run whole. */
  readonly long?: boolean;
  /** The exit code of a whole run. */
  readonly status?: number;
  /** Its outputs appear one after the other, each of them whole. */
  readonly several?: boolean;
}

/** How it is ended: at once again after that many milliseconds, too. */
export interface Moment {
  readonly signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGKILL';
  readonly again?: number;
}

/** A file by path: mode, size and digest, where a link leads, or that it is a folder. */
export type State = ReadonlyMap<string, string>;

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129, SIGKILL: undefined };
/** What does not end in order is ended after three seconds. */
const PATIENCE = 4500;
const PROGRAM = resolve('bin/microbuild.js');

/** What a build says of itself has its time in it: only that it is there counts. */
const VARYING = /(^|[/.])provenance\.dsse\.json$/;

export function stateOf(folder: string): State {
  const state = new Map<string, string>();
  for (const path of listed(folder)) {
    const at = join(folder, path);
    const stat = lstatSync(at);
    const content = VARYING.test(path)
      ? ''
      : stat.isFile()
        ? `${stat.size} ${createHash('sha256').update(readFileSync(at)).digest('hex')}`
        : stat.isSymbolicLink()
          ? readlinkSync(at)
          : '';
    state.set(path, `${stat.mode.toString(8)} ${content}`);
  }
  return state;
}

const listed = (folder: string): string[] =>
  existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted() : [];

/** Folders of one run: its work, cache, temporary files, keys, sockets. */
interface Place {
  readonly root: string;
  readonly work: string;
}

function makePlace(root: string, { template, cache }: Work): Place {
  const work = join(root, 'work');
  mkdirSync(root, { recursive: true });
  execFileSync('cp', ['-a', '--reflink=auto', template, work]);
  if (cache !== undefined) execFileSync('cp', ['-al', cache, join(root, 'cache')]);
  for (const name of ['cache', 'tmp', 'state']) mkdirSync(join(root, name), { recursive: true });
  mkdirSync(join(root, 'run'), { mode: 0o700 });
  copySharedKeys(join(root, 'keys'));
  return { root, work };
}

interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
  readonly milliseconds: number;
  /** From the signal to the end. */
  readonly lag: number;
}

async function run({ root, work }: Place, args: readonly string[], at?: number, how?: Moment) {
  const started = performance.now();
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    cwd: work,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      ...process.env,
      CI: '',
      MICROBUILD_CACHE: join(root, 'cache'),
      MICROBUILD_KEYS: join(root, 'keys'),
      XDG_RUNTIME_DIR: join(root, 'run'),
      XDG_STATE_HOME: join(root, 'state'),
      TMPDIR: join(root, 'tmp'),
      NO_COLOR: '1',
    },
  });
  let stderr = '';
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString('utf8')));
  let signalled = Infinity;
  const timers = [at, how?.again === undefined || at === undefined ? undefined : at + how.again]
    .filter((each) => each !== undefined)
    .map((each) =>
      setTimeout(() => {
        signalled = Math.min(signalled, performance.now());
        child.kill(how?.signal);
      }, each),
    );
  return new Promise<Ended>((done) => {
    child.on('exit', (status, signal) => {
      for (const timer of timers) clearTimeout(timer);
      const now = performance.now();
      const lag = Math.max(0, now - signalled);
      child.stderr.destroy();
      done({ status, signal, stderr, milliseconds: now - started, lag });
    });
  });
}

/** What a run may leave outside of its work: nothing but what a whole run leaves. */
const outside = ({ root }: Place): string[] =>
  ['tmp', 'run', join('cache', 'tmp')].flatMap((name) =>
    listed(join(root, name)).map((path) => join(name, path)),
  );

/** Processes that were started for a place, and live, a moment later still. */
async function processesOf({ root }: Place): Promise<string[]> {
  for (let tries = 0; tries < 20; tries += 1) {
    if (processesNaming(root).length === 0) return [];
    await sleep(50);
  }
  return processesNaming(root).map((pid) => `${pid} ${commandLine(pid)}`);
}

/** Numbers from 0 to 1 that are the same each time. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** What a run leaves that nobody ends. */
async function runWhole(root: string, work: Work) {
  const place = makePlace(root, work);
  const { status, stderr, milliseconds } = await run(place, work.args);
  if (status !== (work.status ?? 0)) throw new Error(`A whole run ended with ${status}: ${stderr}`);
  return { after: stateOf(place.work), left: new Set(outside(place)), milliseconds };
}

/**
 * Runs a command whole, then again and again, ending it at moments that are spread over its time.
 *
 * Each time the folder that it works in must be as before, or as a whole run leaves it; of a killed one that holds when the same
 * command has run again.
 *
 * @param scratch An empty folder.
 * @returns what is wrong: nothing, if all is well.
 */
export async function endAtMoments(
  scratch: string,
  work: Work,
  moments: readonly Moment[],
  random: () => number,
): Promise<string[]> {
  const before = stateOf(work.template);
  const { after, left, milliseconds } =
    work.long === true
      ? { after: before, left: new Set<string>(), milliseconds: Infinity }
      : await runWhole(join(scratch, 'whole'), work);
  const [first, last] = work.between ?? [30, milliseconds * 1.02];
  const problems: string[] = [];
  for (const [index, how] of moments.entries()) {
    const at = Math.round(first + ((last - first) * (index + random())) / moments.length);
    const place = makePlace(join(scratch, String(index)), work);
    const ended = await run(place, work.args, at, how);
    const found = [
      ...(await processesOf(place)).map((each) => `still runs: ${each}`),
      ...(how.signal === 'SIGKILL'
        ? await problemsOfRepeating(place, work)
        : problemsOfEnd(ended, how, work)),
      ...strangeIn(stateOf(place.work), before, after, work).map(
        (each) => `left half-done: ${each}`,
      ),
      ...outside(place)
        .filter((path) => !left.has(path))
        .map((path) => `left outside: ${path}`),
    ];
    problems.push(
      ...found.map(
        (each) => `${how.signal} after ${at} of ${milliseconds} ms ${each}\n${ended.stderr}`,
      ),
    );
    execFileSync('rm', ['-rf', place.root]);
  }
  return problems;
}

/** What is wrong with how a run ended. */
function problemsOfEnd({ status, signal, lag }: Ended, how: Moment, work: Work): string[] {
  const problems = lag < PATIENCE ? [] : [`took ${Math.round(lag)} ms to end`];
  // Who is not up yet is ended by the system.
  const code = status ?? (signal === how.signal ? EXIT_CODES[how.signal] : -1);
  const isExpected = code === EXIT_CODES[how.signal] || code === (work.status ?? 0);
  return isExpected ? problems : [...problems, `ended with ${code}`];
}

/** What a killed run left must not be in the way of the next. */
async function problemsOfRepeating(place: Place, work: Work): Promise<string[]> {
  const { status, stderr } = await run(place, work.args);
  return status === (work.status ?? 0) ? [] : [`and once more ended with ${status}: ${stderr}`];
}

/** Files that are neither as before nor as after; as a rule all of them must be the one or the other. */
function strangeIn(found: State, before: State, after: State, { several }: Work): string[] {
  const notIn = (...states: readonly State[]): string[] => {
    const paths = new Set(
      [found, ...(several === true ? [] : states)].flatMap((each) => [...each.keys()]),
    );
    return [...paths].filter((path) =>
      states.every((state) => state.get(path) !== found.get(path)),
    );
  };
  if (several === true) return notIn(before, after);
  const [a, b] = [notIn(before), notIn(after)];
  return a.length === 0 ? a : b;
}
