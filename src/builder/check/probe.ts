/** Which variations are really there: what a process sees in each of the surroundings. */

import { mkdir, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EnvironmentError } from '../../core/errors.ts';
import { runChild } from './run-child.ts';
import { launchOf, makeHome, type SurroundingsOptions } from './surroundings.ts';
import { variationNames, type AppliedVariation, type VariationName } from './variation.ts';

/** Prints what it sees, as JSON. Its argument: a folder whose listing is wanted. */
const PROBE = `
const os = require('node:os'), fs = require('node:fs');
const list = (path) => { const d = fs.opendirSync(path), names = []; let e; while ((e = d.readSync())) names.push(e.name); d.closeSync(); return names.join(' '); };
console.log(JSON.stringify({
  'clock': new Date().toISOString().slice(0, 10),
  'time-zone': String(-new Date(2024, 0, 1).getTimezoneOffset()),
  'locale': Intl.DateTimeFormat().resolvedOptions().locale,
  'umask': process.umask().toString(8).padStart(3, '0'),
  'user': process.getuid() + ':' + process.getgid(),
  'home': os.homedir(),
  'host-name': os.hostname(),
  'cores': String(os.availableParallelism()),
  'file-order': list(process.argv[1]),
  'environment': Object.keys(process.env).filter((name) => !/^(FAKETIME|LD_PRELOAD|NO_FAKE|TZ|LC_ALL|LANG|HOME|USER|LOGNAME|UV_)/.test(name)).length + ' variables',
  'open-files': /^Max open files\\s+(\\S+)/m.exec(fs.readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? '',
}));`;

export interface ProbeOptions {
  readonly env: NodeJS.ProcessEnv;
  /** A folder on the file system of the builds. */
  readonly work: string;
  readonly wanted: readonly VariationName[];
  readonly faketime: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Probed {
  readonly variations: readonly AppliedVariation[];
  /** A folder of another file system in which the order is another; removed by the caller. */
  readonly otherDisk: string | undefined;
}

/** Tries each wanted variation, and looks whether a process sees anything of it. */
export async function probe(options: ProbeOptions): Promise<Probed> {
  const { wanted, work } = options;
  const folder = join(work, 'probe');
  await mkdir(folder);
  const home = join(folder, 'another-home');
  await makeHome(home, options.env);
  const names = Array.from({ length: 12 }, (_, index) => `entry-${(index * 5) % 12}`);
  const here = await makeEntries(join(folder, 'entries'), names);
  const base = { ...options, home, on: new Set<VariationName>() };
  const a = await facts(base, here);
  if ('why' in a) {
    throw new EnvironmentError('process', `Cannot start a process to look around: ${a['why']}`);
  }

  let otherDisk: string | undefined;
  const results: AppliedVariation[] = [];
  for (const name of variationNames) {
    if (!wanted.includes(name)) {
      results.push({ name, on: false, why: 'not asked for' });
    } else if (name === 'build-path') {
      results.push({ name, on: true });
    } else if (name === 'file-order') {
      const tried = await otherOrder(base, here, names);
      otherDisk = tried.otherDisk;
      results.push(tried.variation);
    } else if (name === 'clock' && options.faketime === undefined) {
      const why = 'libfaketime is not installed: apt install faketime';
      results.push({ name, on: false, why });
    } else {
      const b = await facts({ ...base, on: new Set([name]) }, here);
      results.push(judge(name, a, b));
    }
  }
  await rm(folder, { recursive: true, force: true });
  return { variations: results, otherDisk };
}

type Facts = Readonly<Record<string, string>>;

function judge(
  name: VariationName,
  a: Facts,
  b: Facts | { readonly why: string },
): AppliedVariation {
  if ('why' in b) return { name, on: false, why: b['why'] ?? '' };
  const [x = '', y = ''] = [a[name], b[name]];
  const why = name === 'cores' && x === '1' ? 'there is only one' : 'a process sees no difference';
  return x === y ? { name, on: false, why, a: x, b: y } : { name, on: true, a: x, b: y };
}

async function facts(
  options: SurroundingsOptions & {
    readonly work: string;
    readonly signal?: AbortSignal | undefined;
  },
  entries: string,
): Promise<Facts | { readonly why: string }> {
  const launch = await launchOf([process.execPath, '-e', PROBE, entries], options);
  const { exitCode, stdout, stderr } = await runChild(launch, {
    cwd: options.work,
    signal: options.signal,
  });
  if (exitCode === 0) return JSON.parse(stdout) as Facts;
  const said = stderr.trim().split('\n').at(-1) ?? '';
  return { why: said === '' ? `${launch.argv[0]}: exit code ${exitCode}` : said };
}

async function makeEntries(folder: string, names: readonly string[]): Promise<string> {
  await mkdir(folder, { recursive: true });
  for (const name of names) await writeFile(join(folder, name), '');
  return folder;
}

/** The order is that of a file system: many tell names in the order of their hashes, whatever came first. */
async function otherOrder(
  base: SurroundingsOptions & { readonly work: string; readonly signal?: AbortSignal | undefined },
  here: string,
  names: readonly string[],
): Promise<{ readonly variation: AppliedVariation; readonly otherDisk: string | undefined }> {
  const name = 'file-order';
  const listing = async (path: string): Promise<Facts | { readonly why: string }> =>
    facts(base, path);
  const a = await listing(here);
  const reversed = await makeEntries(`${here}-reversed`, names.toReversed());
  const b = await listing(reversed);
  const same = judge(name, a, b);
  if (same.on) return { variation: { name, on: true }, otherDisk: undefined };
  const otherDisk = await memoryFolder();
  if (otherDisk === undefined) {
    const why = 'this file system has an order of its own, and there is no other one in memory';
    return { variation: { name, on: false, why }, otherDisk };
  }
  const from = await makeEntries(join(otherDisk, 'probe'), names.toReversed());
  const seen = await facts({ ...base, bind: { from, to: here } }, here);
  await rm(from, { recursive: true, force: true });
  const judged = judge(name, a, seen);
  if (judged.on) return { variation: { name, on: true }, otherDisk };
  await rm(otherDisk, { recursive: true, force: true });
  return { variation: { name, on: false, why: judged.why ?? '' }, otherDisk: undefined };
}

/** Room for a build in memory. */
const ROOM = 2 ** 31;

async function memoryFolder(): Promise<string | undefined> {
  try {
    const { bavail, bsize } = await statfs('/dev/shm');
    if (bavail * bsize < ROOM) return undefined;
    return await mkdtemp('/dev/shm/microbuild-check-');
  } catch {
    return undefined;
  }
}
