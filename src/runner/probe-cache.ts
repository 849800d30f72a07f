/**
 * What probes of QEMU and KVM said, for as long as nothing changes that could change it: QEMU's program, the
 * host's kernel and its boot, the device.
 */

import { readFile, stat } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { writeFileAtomic } from '../io/atomic-output.ts';
import { ensurePrivateFolder } from './registry.ts';

export interface ProbeCache {
  /** By the probe's name: why it failed, or empty. */
  readonly answers: ReadonlyMap<string, string>;
  remember(probe: string, answer: string): Promise<void>;
}

/**
 * @param folder A private one; where it cannot be written, nothing is remembered.
 * @param device What the answers depend on beside the program, where they do.
 */
export async function openProbeCache(
  folder: string,
  program: string,
  device?: string,
): Promise<ProbeCache> {
  const path = join(folder, device === undefined ? '.qemu.json' : '.accel.json');
  const key = await cacheKey(program, device);
  const answers = new Map<string, string>(await readAnswers(path, key));
  return {
    answers,
    async remember(probe, answer) {
      answers.set(probe, answer);
      const content = { key, answers: Object.fromEntries(answers) };
      try {
        await ensurePrivateFolder(folder);
        await writeFileAtomic(path, `${JSON.stringify(content, null, 2)}\n`, 0o600);
      } catch {
        // Asked again the next time.
      }
    },
  };
}

async function cacheKey(program: string, device: string | undefined): Promise<string> {
  const { size, mtimeMs, ino } = await stat(program);
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  const words = [program, size, mtimeMs, ino, release(), boot.trim()];
  if (device !== undefined) {
    const { rdev, mode, uid, gid } = await stat(device);
    words.push(device, rdev, mode, uid, gid);
  }
  return words.join(' ');
}

/** Nothing for another key, and for anything that we did not write. */
async function readAnswers(path: string, key: string): Promise<[string, string][]> {
  try {
    const value = JSON.parse(await readFile(path, 'utf8')) as { key?: unknown; answers?: unknown };
    if (value.key !== key || typeof value.answers !== 'object' || value.answers === null) return [];
    return Object.entries(value.answers).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    );
  } catch {
    return [];
  }
}

/** The answer of a probe, asked now or remembered. `answer` is empty for yes, else why not. */
export async function remembered(
  cache: ProbeCache | undefined,
  name: string,
  probe: () => Promise<string>,
): Promise<string> {
  const known = cache?.answers.get(name);
  if (known !== undefined) return known;
  const answer = await probe();
  await cache?.remember(name, answer);
  return answer;
}
