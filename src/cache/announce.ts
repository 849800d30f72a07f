/**
 * Telling other processes what this one is at, so that they can wait for it instead of doing the same.
 *
 * Not a lock: whoever finds the announcer dead goes on, and two that do the same harm nobody but the clock.
 */

import { readFileSync, rmSync } from 'node:fs';
import { link, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { atAbruptEnd } from '../io/abrupt-end.ts';
import { stateOfProcess } from '../io/process-mark.ts';
import { readRegular } from '../io/read-regular.ts';

const POLL_MILLISECONDS = 20;

/** What file systems say that know no links: FAT, and many of networks. There, two may begin at the same moment. */
const WITHOUT_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/** @returns the mark of the process that has announced this and lives; undefined when none does. */
async function announcer(file: string): Promise<string | undefined> {
  const mark = (await readRegular(file))?.toString('latin1');
  if (mark === undefined || (await stateOfProcess(mark)) !== 'alive') return undefined;
  return mark;
}

/**
 * Announces that this process begins something.
 *
 * @param file The announcement. @param temporary A path beside it that nothing has. @param mark Of this process.
 * @returns takes it back; or undefined where another process that lives was first.
 */
export async function announce(
  file: string,
  temporary: string,
  mark: string,
): Promise<(() => Promise<void>) | undefined> {
  const release = atAbruptEnd(() => {
    if (readFileSync(file, 'latin1') === mark) rmSync(file, { force: true });
  });
  const takeBack = async (): Promise<void> => {
    if ((await readRegular(file))?.toString('latin1') === mark) await rm(file, { force: true });
    release();
  };
  // A link appears with its content, so that nobody reads half of it.
  await writeFile(temporary, mark, { mode: 0o600 });
  try {
    await link(temporary, file);
    return takeBack;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST' && !WITHOUT_LINKS.has(code)) {
      release();
      throw error;
    }
  } finally {
    await rm(temporary, { force: true });
  }
  if ((await announcer(file)) !== undefined) {
    release();
    return undefined;
  }
  await writeFile(temporary, mark, { mode: 0o600 });
  await rename(temporary, file);
  return takeBack;
}

/** Waits until nobody who lives announces this any more. @throws an AbortError. */
export async function waitForOthers(file: string, signal?: AbortSignal): Promise<void> {
  while ((await announcer(file)) !== undefined) {
    await setTimeout(POLL_MILLISECONDS, undefined, signal && { signal });
  }
}
