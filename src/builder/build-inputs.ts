/** What a build takes from elsewhere: pinned packages, and the kernel. */

import { UsageError } from '../core/errors.ts';
import type { Reporter } from '../core/events.ts';
import type { Lock, LockedDeb } from '../recipe/lockfile.ts';
import type { Recipe } from '../recipe/parse.ts';
import { kernelSourceOf } from '../recipe/schema.ts';
import { inputPath } from './inputs.ts';
import type { FileDigests } from './file-digests.ts';
import { openBlobs, type Blobs } from './fetch.ts';
import { createGraph } from './graph.ts';
import { pinsOf, requireLock, type NamedPin } from './lock.ts';
import { checkPins, presentTools } from './lock/tool-pins.ts';
import { updateLock } from './lock/update.ts';
import type { AptContext } from './sources/apt.ts';
import { archiveTree } from './sources/archive-tree.ts';
import { unpackDeb } from './sources/unpack.ts';
import {
  kernelFromDeb,
  kernelFromFile,
  type KernelFileReaders,
  type KernelSource,
} from './steps/kernel-source.ts';

/** A package that the lock pins, and where it is. */
interface PinnedDeb {
  readonly deb: LockedDeb;
  readonly path: string;
}

export interface BuildInputs {
  readonly blobs: Blobs;
  pinned(name: string): Promise<PinnedDeb>;
  /** The lock in effect: it changes when what it pins is gone and pinned anew. */
  lock(): Lock;
  kernel(
    readers?: KernelFileReaders,
    onProgress?: (done: number, total: number) => void,
  ): Promise<{ readonly source: KernelSource; readonly detail: string }>;
}

export interface BuildInputOptions extends AptContext {
  /** Pins a package anew when no mirror has the pinned one any more, and goes on. */
  readonly relockMissing: boolean;
  /** Whether nothing is asked but the cache and `vendor/`. */
  readonly offline?: boolean | undefined;
  /** Whether what the lock says otherwise than what is there is an error; else it is a warning. */
  readonly locked?: boolean | undefined;
  /** Folder of microbuild's package.json. */
  readonly packageRoot: string;
  readonly reporter: Reporter;
  /** Of the recipe's own files. */
  readonly files: FileDigests;
}

/**
 * Gets everything that the recipe needs of its lock, several blobs at once.
 *
 * @throws {UsageError} `lock` when the recipe names something that is not pinned, or a pinned blob is gone.
 */
export async function openBuildInputs(
  recipe: Recipe,
  options: BuildInputOptions,
): Promise<BuildInputs> {
  const blobs = openBlobs({ ...options, recipe });
  let lock = await requireLock(recipe);
  await checkPins(recipe, lock, {
    locked: options.locked === true,
    tools: () => presentTools(options.packageRoot, recipe, options.env),
    files: options.files,
    reporter: options.reporter,
  });
  // What is to be pinned anew when it is gone is asked for one by one.
  if (!options.relockMissing) await fetchInputs(blobs, pinsOf(recipe, lock), options);
  // Steps run side by side, and the lock is one file.
  let relocked: Promise<unknown> = Promise.resolve();
  const relock = async (name: string, gone: LockedDeb): Promise<LockedDeb> => {
    const { lock: renewed } = await updateLock(recipe, [name], options);
    lock = renewed;
    const fresh = lockedDeb(lock, name);
    options.reporter.report({
      kind: 'warning',
      message: `${gone.package} ${gone.version} is gone from its mirrors: microbuild.lock now pins ${fresh.package} ${fresh.version}`,
    });
    return fresh;
  };
  const pinned = async (name: string): Promise<PinnedDeb> => {
    const deb = lockedDeb(lock, name);
    const update = `microbuild lock ${recipe.directory} --update ${name}`;
    try {
      return { deb, path: await blobs.fetch({ kind: 'deb', deb }, update) };
    } catch (error) {
      if (!options.relockMissing || !(error instanceof UsageError && error.code === 'lock')) {
        throw error;
      }
      const turn = relocked.then(() => relock(name, deb));
      relocked = turn.catch(() => undefined);
      const fresh = await turn;
      return { deb: fresh, path: await blobs.fetch({ kind: 'deb', deb: fresh }, update) };
    }
  };
  return {
    blobs,
    pinned,
    lock: () => lock,
    async kernel(readers, onProgress) {
      const named = kernelSourceOf(recipe.data);
      if ('file' in named) {
        const modules = named.modules && inputPath(recipe, named.modules);
        const path = inputPath(recipe, named.file);
        const source = await kernelFromFile(recipe, { path, modules }, readers);
        return { source, detail: named.file };
      }
      const { deb, path } = await pinned(named.deb);
      const { sha256, size } = deb;
      const name = `${deb.package} ${deb.version}`;
      return {
        source: kernelFromDeb(recipe, {
          sha256,
          // Unpacked into the cache: a kernel and its modules would fill the memory.
          tree: async () => {
            const archive = { path, name, digest: { sha256, size }, onProgress };
            return archiveTree(await unpackDeb(options.cache, archive), name, {});
          },
        }),
        detail: name,
      };
    },
  };
}

/** Fetches what is missing, as a step of its own. */
async function fetchInputs(
  blobs: Blobs,
  pins: readonly NamedPin[],
  context: Pick<BuildInputOptions, 'reporter' | 'signal'>,
): Promise<void> {
  if (pins.length === 0) return;
  const graph = createGraph(context);
  graph.step({ name: 'fetch', title: 'Pinned inputs', needs: [] }, async (_, { note }) => {
    const { fetched } = await blobs.fetchAll(pins);
    note.cached = fetched === 0;
    note.detail = fetched === 0 ? `${pins.length}` : `${fetched} of ${pins.length} fetched`;
  });
  await graph.run();
}

function lockedDeb(lock: Lock, name: string): LockedDeb {
  const deb = lock.debs[name];
  if (deb === undefined) throw new UsageError('lock', `microbuild.lock does not pin ${name}`);
  return deb;
}
