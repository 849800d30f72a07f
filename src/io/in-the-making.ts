/**
 * Files and folders in the making, beside what they become: `.NAME.new-MARK-HEX`, and `.NAME.old-MARK-HEX` for what is about to be
 * replaced, `.NAME.undo-MARK-HEX` for what a file held that is changed where it is. The mark names the process, so that what a killed
 * one left is removed by the next one that writes into the same folder; what it had moved away, with nothing in its place, and what
 * it had half changed, is brought back.
 */

import { createHash, randomBytes } from 'node:crypto';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { lstat, readdir, rename, rm } from 'node:fs/promises';
import { uptime } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { atAbruptEnd } from './abrupt-end.ts';
import { processMark, stateOfProcess } from './process-mark.ts';
import { undoChanges, type UndoFor } from './undo-journal.ts';

/** What nobody can be asked about is left for so long: another machine or container may be at it. */
const FOREIGN_MILLISECONDS = 24 * 60 * 60 * 1000;
/** And for so long when it is older than this start of the system: then it is likely of an earlier one, that lost its power. */
const EARLIER_MILLISECONDS = 10 * 60 * 1000;

const NAME =
  /^\.(.+)\.(new|old|undo)-([0-9a-f]{12}\.[1-9]\d{0,9}\.\d{1,20})-[0-9a-f]{12}(\.files)?$/s;

/** Names have at most 255 bytes; what is added here has fewer than 80. */
const MAX_NAME = 170;

/** Folders that were looked at. */
const collected = new Map<string, Promise<void>>();

let mark: Promise<string> | undefined;

/** What becomes of it: it takes the place of another, was moved out of its place, or tells how to undo changes. */
type Kind = 'new' | 'old' | 'undo';

export interface InTheMaking {
  /** Where nothing is yet, on the same file system as what it becomes. */
  readonly path: string;
  /** Removes what is there still. */
  discard(): Promise<void>;
  /** Says that it has its place, or is gone. */
  release(): void;
}

/**
 * A name for something that takes the place of `path` when it is whole.
 *
 * @param kind `old`: for what is at `path` until that is replaced; `undo`: for the journal of its changes.
 */
export async function inTheMaking(path: string, kind: Kind = 'new'): Promise<InTheMaking> {
  const folder = dirname(path);
  await collectOnce(folder);
  mark ??= processMark();
  const temporary = join(
    folder,
    `.${shortName(basename(path))}.${kind}-${await mark}-${randomBytes(6).toString('hex')}`,
  );
  const release = atAbruptEnd(() => {
    if (kind === 'undo' && existsSync(temporary)) undoChanges(temporary);
    else if (kind === 'old' && !existsSync(path)) renameSync(temporary, path);
    else rmSync(temporary, { recursive: true, force: true });
  });
  return {
    path: temporary,
    async discard() {
      await rm(temporary, { recursive: true, force: true });
      release();
    },
    release,
  };
}

/** A name with room for more; of two long ones with the same beginning the ends tell them apart. */
function shortName(name: string): string {
  if (Buffer.byteLength(name) <= MAX_NAME) return name;
  return createHash('sha256').update(name).digest('hex');
}

/** As `collectLeftovers`, once in the life of a process: who is killed later is found by the next one. */
export function collectOnce(folder: string): Promise<void> {
  const place = resolve(folder);
  const known = collected.get(place) ?? collectLeftovers(place);
  collected.set(place, known);
  return known;
}

/** Removes from a folder what processes left that are gone, and brings back what they had moved away. */
export async function collectLeftovers(folder: string): Promise<void> {
  for (const entry of await readdir(folder).catch(() => [])) {
    const [, name = '', kind, owner = ''] = NAME.exec(entry) ?? [];
    if (kind === undefined) continue;
    const path = join(folder, entry);
    const state = await stateOfProcess(owner);
    if (state === 'alive') continue;
    // What cannot be cleaned up, as another user's, is in nobody's way.
    if (kind === 'old') await bringBack(path, join(folder, name));
    else if (state === 'dead') await discard(path, kind, 'killed');
    else if (await isAged(path)) await discard(path, kind, 'lost');
  }
}

/** What was moved away and not replaced gets its place again; what was replaced goes. */
async function bringBack(path: string, place: string): Promise<void> {
  // Its name was too long to be told.
  if (/^[0-9a-f]{64}$/.test(basename(place))) return;
  const found = await lstat(place).catch(() => undefined);
  const work = found === undefined ? rename(path, place) : rm(path, { recursive: true });
  await work.catch(() => undefined);
}

async function discard(path: string, kind: string, kept: UndoFor): Promise<void> {
  if (kind !== 'undo') return rm(path, { recursive: true, force: true }).catch(() => undefined);
  try {
    undoChanges(path, kept);
  } catch {
    // Tried again by the next one.
  }
}

async function isAged(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return false;
  const age = Date.now() - found.mtimeMs;
  return age > FOREIGN_MILLISECONDS || (age > EARLIER_MILLISECONDS && age > uptime() * 1000);
}
