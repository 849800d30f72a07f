/**
 * The files that a verb writes: new ones beside their names until all is done, those that are added to so that a
 * failure leaves them as they were.
 */

import { rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { UsageError } from '../../core/errors.ts';
import { syncPath, targetOf } from '../../io/atomic-output.ts';
import { createFileSink, type ImageSink } from '../../io/image-sink.ts';
import { inTheMaking } from '../../io/in-the-making.ts';
import { placed } from '../../io/system-error.ts';
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
      const temporary = await inTheMaking(path);
      const sink = await createFileSink(temporary.path);
      let isOpen = true;
      const close = async (): Promise<void> => {
        if (isOpen) await sink.close();
        isOpen = false;
      };
      commits.push(close);
      renames.push(async () => {
        await rename(temporary.path, path);
        temporary.release();
        await syncPath(dirname(path));
      });
      undos.push(async () => {
        await close();
        await temporary.discard();
      });
      return {
        path: temporary.path,
        write: (at, chunk) => sink.write(at, chunk).catch(saying(path)),
        truncate: (size) => sink.truncate(size),
      };
    },
    async change(path) {
      const file = await openUndoableFile(path);
      commits.push(() => file.commit());
      undos.push(() => file.rollback());
      return {
        path,
        write: (at, chunk) => file.write(at, chunk).catch(saying(path)),
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

const saying =
  (path: string) =>
  (error: unknown): never => {
    throw placed(error, path);
  };

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
