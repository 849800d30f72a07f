/**
 * The files that a verb writes: new ones beside their names until all is done, those that are added to so that a
 * failure leaves them as they were.
 */

import { randomBytes } from 'node:crypto';
import { rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { UsageError } from '../../core/errors.ts';
import { targetOf } from '../../io/atomic-output.ts';
import { createFileSink, type ImageSink } from '../../io/image-sink.ts';
import { openUndoableFile } from '../../signing/avb/undoable-file.ts';

export interface WorkFile extends Pick<ImageSink, 'write' | 'truncate'> {
  /** Where its bytes can be read until it is done. */
  readonly path: string;
}

export interface WorkFiles {
  /** A file that replaces what has its name. */
  create(path: string): Promise<WorkFile>;
  /** A file that is changed where it is. */
  change(path: string): Promise<WorkFile>;
  /** Flushes all of them and gives them their names. */
  commit(): Promise<void>;
  /** Removes what is new and undoes what is changed; nothing after `commit`. */
  discard(): Promise<void>;
}

export function openWorkFiles(): WorkFiles {
  const commits: (() => Promise<void>)[] = [];
  const renames: (() => Promise<void>)[] = [];
  const undos: (() => Promise<void>)[] = [];
  return {
    async create(name) {
      const path = await targetOf(name);
      if ((await sizeOf(path)) !== undefined) await expectFile(path);
      const temporary = join(
        dirname(path),
        `.${basename(path)}.new-${randomBytes(6).toString('hex')}`,
      );
      const sink = await createFileSink(temporary);
      let isOpen = true;
      const close = async (): Promise<void> => {
        if (isOpen) await sink.close();
        isOpen = false;
      };
      commits.push(close);
      renames.push(() => rename(temporary, path));
      undos.push(async () => {
        await close();
        await rm(temporary, { force: true });
      });
      return {
        path: temporary,
        write: (at, chunk) => sink.write(at, chunk),
        truncate: (size) => sink.truncate(size),
      };
    },
    async change(path) {
      const file = await openUndoableFile(path);
      commits.push(() => file.commit());
      undos.push(() => file.rollback());
      return {
        path,
        write: (at, chunk) => file.write(at, chunk),
        truncate: (size) => file.truncate(size),
      };
    },
    async commit() {
      for (const each of [...commits, ...renames]) await each();
      undos.length = 0;
    },
    async discard() {
      for (const undo of undos.toReversed()) await undo();
      undos.length = 0;
    },
  };
}

/** Whether two paths lead to one file; a path to none is one of its own. */
export async function isSameFile(a: string, b: string): Promise<boolean> {
  if (resolve(a) === resolve(b)) return true;
  const [one, other] = await Promise.all([a, b].map((path) => stat(path).catch(() => undefined)));
  return one !== undefined && one.ino === other?.ino && one.dev === other.dev;
}

/** The size of a file, or undefined where there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** @throws {UsageError} when the path is no regular file. */
export async function expectFile(path: string): Promise<void> {
  const stats = await stat(path);
  if (stats.isFile()) return;
  throw new UsageError('input', `Cannot use ${path}: it is not a regular file`, {
    ...(stats.isBlockDevice() && { hint: 'Copy it to a file first: dd if=DEVICE of=FILE' }),
  });
}

/** An option that names a file to be written, and the file when it is given. */
export type Output = readonly [option: string, path: string | undefined];

/**
 * Refuses, before any work, outputs that would replace an input or one another.
 *
 * @throws {UsageError} also where a folder is in the place of an output.
 */
export async function expectOutputs(
  outputs: readonly Output[],
  inputs: readonly (string | undefined)[],
): Promise<void> {
  const taken = inputs.filter((path) => path !== undefined);
  for (const [option, path] of outputs) {
    if (path === undefined) continue;
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory() === true) {
      throw new UsageError('output', `Cannot write ${option} ${path}: it is a folder`);
    }
    // A device or pipe takes what it is given.
    if (found !== undefined && !found.isFile()) continue;
    for (const other of taken) {
      if (!(await isSameFile(path, other))) continue;
      throw new UsageError('output', `Cannot write ${option} ${path}: it is ${other} too`, {
        hint: 'Name a file of its own',
      });
    }
    taken.push(path);
  }
}
