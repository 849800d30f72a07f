/**
 * A lock that names its owner: a file that holds a process's id and start, so that what a dead process
 * left behind is told from what a living one holds.
 */

import { randomBytes } from 'node:crypto';
import { link, open, readFile, rename, rm } from 'node:fs/promises';
import { processStart } from '../process-identity.ts';

/** How often a lock that somebody else cleans up at the same time is tried again. */
const ATTEMPTS = 10;

export interface OwnerLock {
  /** Gives the lock back. May be called twice. */
  release(): Promise<void>;
}

export interface HeldLock {
  readonly heldBy: number | undefined;
}

/** Who holds it, for people. */
export const holderOf = ({ heldBy }: HeldLock): string =>
  heldBy === undefined ? 'its lock cannot be taken' : `process ${heldBy} runs it`;

/** Takes the lock, or says which process holds it, where it can be told. */
export async function takeLock(path: string): Promise<OwnerLock | HeldLock> {
  const own = `${process.pid} ${processStart(process.pid) ?? ''}\n`;
  for (let attempt = 0; ; attempt++) {
    if (await linkNew(path, own)) {
      let held = true;
      return {
        async release() {
          if (held && (await readText(path)) === own) await rm(path, { force: true });
          held = false;
        },
      };
    }
    const text = await readText(path);
    const pid = text === undefined ? undefined : ownerOf(text);
    if (pid !== undefined) return { heldBy: pid };
    // Others clean up, too; but what cannot be read, as a folder of that name, is there for ever.
    if (attempt >= ATTEMPTS) return { heldBy: undefined };
    if (text !== undefined) await dropStale(path, text);
  }
}

/** The living process that a lock's text names. */
function ownerOf(text: string): number | undefined {
  const [pid, start] = text.trim().split(' ');
  const number = Number(pid);
  return Number.isInteger(number) && number > 0 && processStart(number) === start
    ? number
    : undefined;
}

/** Whether something is held there now. */
export async function lockOwner(path: string): Promise<number | undefined> {
  const text = await readText(path);
  return text === undefined ? undefined : ownerOf(text);
}

/** The file appears with its text, or not at all. */
async function linkNew(path: string, text: string): Promise<boolean> {
  const own = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const handle = await open(own, 'wx', 0o600);
    await handle.writeFile(text).finally(() => handle.close());
    await link(own, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  } finally {
    await rm(own, { force: true });
  }
}

async function dropStale(path: string, stale: string): Promise<void> {
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  // Somebody else may have taken the lock between the look and the rename: it is given back.
  if ((await readText(aside)) !== stale) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
}

async function readText(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}
