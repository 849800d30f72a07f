/**
 * What the probes for KVM said, for as long as nothing changes that could change it: QEMU's program, the
 * host's kernel and its boot, the device.
 */

import { readFile, stat } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { writeFileAtomic } from '../io/atomic-output.ts';

const CACHE_FILE = '.accel.json';

export interface AccelCache {
  /** By the probe's name: why it failed, or empty. */
  readonly answers: ReadonlyMap<string, string>;
  remember(probe: string, answer: string): Promise<void>;
}

/** @param folder A private one; where it cannot be written, nothing is remembered. */
export async function openAccelCache(
  folder: string,
  program: string,
  device: string,
): Promise<AccelCache> {
  const path = join(folder, CACHE_FILE);
  const key = await cacheKey(program, device);
  const answers = new Map<string, string>(await readAnswers(path, key));
  return {
    answers,
    async remember(probe, answer) {
      answers.set(probe, answer);
      const content = { key, answers: Object.fromEntries(answers) };
      await writeFileAtomic(path, `${JSON.stringify(content, null, 2)}\n`, 0o600).catch(
        () => undefined,
      );
    },
  };
}

async function cacheKey(program: string, device: string): Promise<string> {
  const { size, mtimeMs, ino } = await stat(program);
  const { rdev, mode, uid, gid } = await stat(device);
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  return [program, size, mtimeMs, ino, device, rdev, mode, uid, gid, release(), boot.trim()].join(
    ' ',
  );
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
