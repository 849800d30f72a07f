/** `npm run bench`: see docs/benchmarks.md. */

import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { availableParallelism, cpus, release, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { apkWorks } from './apk-works.ts';
import { bootWorks } from './boot-works.ts';
import { imageWorks } from './image-works.ts';
import { ask } from './measure.ts';
import { failed, renderReport, reported, type Machine, type Report } from './report.ts';
import { runWork } from './run.ts';
import { allWorks, findMkfs, FULL, QUICK, type Work } from './works.ts';

const HELP = `Usage: npm run bench -- [options]

  --only NAME         only works whose name contains NAME; may be repeated
  --runs N            runs of each contender (default 5)
  --quick             small inputs: tries the bench, not the bars
  --json              print JSON instead of the table
  --dir DIR           where inputs are made and kept (default: a temporary folder)
  --output-dir DIR    where outputs go (default: /dev/shm when it has room)
  --mkfs-erofs PATH   another mkfs.erofs to measure against; may be repeated
  --list              print the names of the works
`;

/** What the native library's bindings offer; loaded from dist, as the programs that are measured. */
interface NativeModules {
  readonly loadNativeLibrary: () => Promise<object | undefined>;
  readonly measureSha256: (library: object, threads: number, ms: number) => Promise<number>;
  readonly bestSha256Engine: (library: object) => string;
}

/** How much memory `/dev/shm` must have free to take the outputs. */
const OUTPUT_ROOM = 3 * 2 ** 30;
const LANES_MILLISECONDS = 500;

/**
 * Runs the bench of the repository at `root`.
 *
 * @returns What goes to stdout, and the exit code: 1 when a work could not be measured.
 */
export async function runBench(
  argv: readonly string[],
  root: string,
  progress: (line: string) => void,
): Promise<{ readonly text: string; readonly exitCode: number }> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      only: { type: 'string', multiple: true, default: [] },
      runs: { type: 'string', default: '5' },
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      dir: { type: 'string' },
      'output-dir': { type: 'string' },
      'mkfs-erofs': { type: 'string', multiple: true, default: [] },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return { text: HELP, exitCode: 0 };
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) return { text: `--runs ${values.runs}?`, exitCode: 2 };

  const temporary = mkdtempSync(join(tmpdir(), 'microbuild-bench-'));
  const outputs = mkdtempSync(join(values['output-dir'] ?? outputFolder(), 'microbuild-bench-'));
  const remove = (): void => {
    for (const folder of [temporary, outputs]) rmSync(folder, { recursive: true, force: true });
  };
  // Also when it is interrupted: outputs may be in memory.
  process.once('exit', remove);
  try {
    const inputs = resolve(values.dir ?? temporary);
    mkdirSync(inputs, { recursive: true });
    const options = {
      root,
      inputs,
      outputs,
      scale: values.quick ? QUICK : FULL,
      mkfs: findMkfs(['mkfs.erofs', ...values['mkfs-erofs']]),
      hasProgram: (program: string) => ask(program, '--version') !== undefined,
    };
    const manifest = await apkManifest(root);
    const all = [
      ...allWorks(options),
      ...apkWorks({ ...options, manifest }),
      ...imageWorks({ ...options, manifest }),
      ...bootWorks(options),
    ];
    const works =
      values.only.length === 0 ? all : all.filter(({ name }) => isNamed(name, values.only, all));
    if (values.list) {
      return { text: works.map(({ name, what }) => `${name}: ${what}`).join('\n'), exitCode: 0 };
    }
    const machine = await describeMachine(root, values.quick ? 100 : LANES_MILLISECONDS);
    const lanes = machine.lanes?.all;
    const measured = [];
    for (const work of works) {
      measured.push(await measureWork(work, { runs, lanes, scratch: outputs, onRun: progress }));
    }
    const report: Report = { machine, quick: values.quick, runs, works: measured };
    return {
      text: values.json ? JSON.stringify(report, undefined, 2) : renderReport(report),
      exitCode: measured.some(({ failure }) => failure !== undefined) ? 1 : 0,
    };
  } finally {
    remove();
    process.removeListener('exit', remove);
  }
}

/** A manifest as Android reads it, made by the program that is measured. */
async function apkManifest(root: string): Promise<Uint8Array> {
  const path = resolve(root, 'dist/formats/axml/manifest.js');
  const { encodeManifest } = (await import(pathToFileURL(path).href)) as {
    readonly encodeManifest: (manifest: object) => Uint8Array;
  };
  return encodeManifest({
    package: 'dev.microbuild.bench',
    versionCode: 1,
    minSdk: 30,
    targetSdk: 34,
    debuggable: false,
    hasCode: false,
    extractNativeLibs: false,
  });
}

/** Whether a word is the name, or a part of it and the name of no other. */
function isNamed(name: string, words: readonly string[], works: readonly Work[]): boolean {
  return words.some(
    (word) => name === word || (name.includes(word) && works.every((work) => work.name !== word)),
  );
}

/** One work that fails must not lose what the others took minutes for. */
async function measureWork(work: Work, options: Parameters<typeof runWork>[1]) {
  try {
    return reported(work, await runWork(work, options));
  } catch (error) {
    return failed(work, error);
  }
}

/** Memory rather than a disk, whose throttling would be measured. */
function outputFolder(): string {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm');
    return bavail * bsize > OUTPUT_ROOM ? '/dev/shm' : tmpdir();
  } catch {
    return tmpdir();
  }
}

async function describeMachine(root: string, milliseconds: number): Promise<Machine> {
  const load = async (path: string): Promise<unknown> =>
    import(pathToFileURL(resolve(root, 'dist/native', path)).href);
  const modules = Object.assign(
    {},
    ...(await Promise.all(['library.js', 'bench.js', 'sha256-engine.js'].map(load))),
  ) as NativeModules;
  const library = await modules.loadNativeLibrary();
  const cores = availableParallelism();
  // The best of three: what else runs on the machine lowers a limit, nothing raises it.
  const measure = async (threads: number): Promise<number> => {
    if (library === undefined) return 0;
    const speeds: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      speeds.push(await modules.measureSha256(library, threads, milliseconds));
    }
    return Math.max(...speeds);
  };
  return {
    processor: cpus()[0]?.model ?? 'unknown processor',
    cores,
    kernel: release(),
    node: process.versions.node,
    engine: library && modules.bestSha256Engine(library),
    lanes: library && { one: await measure(1), all: await measure(cores) },
  };
}
