/** Runs programs one after another and measures them from outside: time, processor time and memory. */

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** One program of a work; a peer may need two for what we do in one. */
export interface Step {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Sample {
  /** From the start of the first step to the end of the last, in seconds. */
  readonly wall: number;
  /** User and system time of all steps, in seconds; undefined where it cannot be known. */
  readonly cpu: number | undefined;
  /** The largest of the steps, in bytes. */
  readonly peakMemory: number | undefined;
  readonly stdout: string;
}

/** Where GNU time is: it reads what the kernel says of a child at its end (wait4). */
const GNU_TIME = '/usr/bin/time';
const hasGnuTime =
  existsSync(GNU_TIME) &&
  spawnSync(GNU_TIME, ['-f', '%M', 'true'], { encoding: 'utf8' }).stderr.trim().match(/^\d+$/) !==
    null;
/** Where it is not, the kernel is asked this often, in milliseconds: short peaks may be missed. */
const POLL = 5;

/** @throws when a step fails, with the end of what it said. */
export async function measure(steps: readonly Step[], scratch: string): Promise<Sample> {
  const samples: Sample[] = [];
  for (const step of steps) samples.push(await measureStep(step, join(scratch, 'usage')));
  const sum = (values: (number | undefined)[]): number | undefined =>
    values.reduce<number | undefined>(
      (total, value) => (total === undefined || value === undefined ? undefined : total + value),
      0,
    );
  const memory = samples.flatMap(({ peakMemory }) => peakMemory ?? []);
  return {
    wall: sum(samples.map(({ wall }) => wall)) ?? 0,
    cpu: sum(samples.map(({ cpu }) => cpu)),
    peakMemory: memory.length === 0 ? undefined : Math.max(...memory),
    stdout: samples.map(({ stdout }) => stdout).join(''),
  };
}

function measureStep({ program, args, env }: Step, usage: string): Promise<Sample> {
  rmSync(usage, { force: true });
  const argv = hasGnuTime
    ? [GNU_TIME, '-q', '-o', usage, '-f', '%M %U %S', program, ...args]
    : [program, ...args];
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(argv[0] ?? program, argv.slice(1), {
      env: { ...toolEnvironment(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString('utf8')));
    child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString('utf8')));
    let polled: number | undefined;
    const poll = hasGnuTime
      ? undefined
      : setInterval(() => (polled = peakOf(child.pid) ?? polled), POLL);
    let wall = 0;
    child.on('exit', () => (wall = (performance.now() - started) / 1000));
    child.on('error', reject);
    child.on('close', (status) => {
      clearInterval(poll);
      if (status !== 0) {
        const said = (output.stderr + output.stdout).trim().split('\n').slice(-3).join(' ');
        reject(new Error(`${program} ended with ${status}: ${said}`));
        return;
      }
      const [kilobytes, user, system] = hasGnuTime
        ? readFileSync(usage, 'utf8').trim().split(' ').map(Number)
        : [];
      resolve({
        wall,
        cpu: user === undefined || system === undefined ? undefined : user + system,
        peakMemory: kilobytes === undefined ? polled : kilobytes * 1024,
        stdout: output.stdout,
      });
    });
  });
}

/** `VmHWM` of a running process, in bytes. */
function peakOf(pid: number | undefined): number | undefined {
  try {
    const [, kilobytes] =
      /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined; // it has just ended, or this is no Linux
  }
}

/**
 * What a site has Node do at each start: reading a list of certificates alone takes as long as starting.
 * That is neither ours nor our peers', and most machines have none of it.
 */
const SITE_SETTINGS: ReadonlySet<string> = new Set([
  'NODE_EXTRA_CA_CERTS',
  'NODE_OPTIONS',
  'JAVA_TOOL_OPTIONS',
]);

/** Peers often stand where only root's PATH leads; their words are read in English. */
export function toolEnvironment(): Record<string, string> {
  const inherited = Object.entries(process.env).filter(([name]) => !SITE_SETTINGS.has(name));
  const { PATH = '', ...rest } = Object.fromEntries(inherited) as Record<string, string>;
  return { ...rest, PATH: `${PATH}:/usr/sbin:/sbin`, LC_ALL: 'C' };
}

/** What a program says to an option, on either stream; undefined when it is not there. */
export function ask(program: string, ...args: readonly string[]): string | undefined {
  const { error, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    env: toolEnvironment(),
  });
  return error === undefined ? `${stdout}${stderr}` : undefined;
}
