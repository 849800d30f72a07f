/** Pins what a recipe needs: what is not pinned yet, and what is to be pinned anew. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { digestFile, type Cache } from '../../cache/store.ts';
import { ARCHITECTURES } from '../../core/arch.ts';
import { MicrobuildError, RecipeError, ToolError, UsageError } from '../../core/errors.ts';
import { silentReporter, type Reporter } from '../../core/events.ts';
import { writeFileAtomic } from '../../io/atomic-output.ts';
import { emptyLock, formatLock, type Lock, type LockedTools } from '../../recipe/lockfile.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { archiveCommit } from '../fetch/git.ts';
import { createHttpClient } from '../fetch/http.ts';
import { isLocalImage } from '../fetch/oci-reference.ts';
import { createRegistry } from '../fetch/registry.ts';
import { inputPath } from '../inputs.ts';
import { lockFile, readLockText, readLock, whyNotPinned } from '../lock.ts';
import { openPackageIndex } from '../sources/apt.ts';
import { changesBetween, type LockChange } from './changes.ts';
import { lockDebs } from './debs.ts';
import { isKernelOf, kernelDigest, kernelFacts } from './kernel-facts.ts';
import { resolveLocalImage } from './local-image.ts';
import { allWantsOf, type Want } from './wants.ts';

/** The most that an archive may have that is pinned for the first time. */
const MAX_ARCHIVE_BYTES = 64 * 2 ** 30;

export interface LockContext {
  readonly cache: Cache;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
  readonly reporter?: Reporter | undefined;
  /** What is pinned as the tools that are used; without it those of the lock stay. */
  readonly tools?: LockedTools | undefined;
  /** Only tells what would change. */
  readonly dryRun?: boolean | undefined;
}

export interface LockUpdate {
  /** Absolute path. */
  readonly file: string;
  readonly lock: Lock;
  readonly changes: readonly LockChange[];
  /** Whether the file is another one now. */
  readonly written: boolean;
}

/** Parts of a lock that can be named besides what the recipe names. */
const PARTS = ['kernel', 'tools'] as const;

/**
 * @param update Names to pin anew, as the recipe or the lock has them, or `kernel` or `tools`; `all` for everything.
 * @throws {UsageError} `lock` when something cannot be pinned, or a name is neither the recipe's nor the lock's.
 */
export async function updateLock(
  recipe: Recipe,
  update: readonly string[] | 'all',
  context: LockContext,
): Promise<LockUpdate> {
  const { cache, env, signal, reporter = silentReporter } = context;
  const { wants, foreign } = allWantsOf(recipe);
  for (const { profiles, data } of foreign) {
    const message = `The packages of profile ${profiles.join(', ')} are not pinned: it is for ${data.arch}, this lock for ${recipe.data.arch}`;
    const hint = 'Give it a recipe in a folder of its own that extends this one';
    reporter.report({ kind: 'warning', message, hint });
  }
  const textBefore = await readLockText(recipe);
  // A lock that cannot be read is no hindrance when everything is pinned anew.
  const before =
    (await readLock(recipe).catch((error: unknown) => {
      if (update === 'all' && error instanceof UsageError) return undefined;
      throw error;
    })) ?? emptyLock;
  checkNames(update, wants, before);

  const named = (name: string): boolean => update === 'all' || update.includes(name);
  const isStale = (want: Want): boolean =>
    named(want.name) ||
    (want.section === 'debs' &&
      want.dependencies &&
      before.debs[want.name]?.dependencies?.some(named) === true) ||
    (want.section === 'git' && named(want.git)) ||
    (want.section === 'oci' && named(want.reference)) ||
    whyNotPinned(before, want) !== undefined;

  const lock: Lock = { ...emptyLock, debs: {}, archives: {}, files: {}, oci: {}, git: {} };
  lock.debs = await lockDebs(
    wants.flatMap((want) => (want.section === 'debs' ? [want] : [])),
    before,
    isStale,
    () => openPackageIndex(ARCHITECTURES[recipe.data.arch].debian, context),
  );

  const http = createHttpClient(env);
  const registry = createRegistry({ http, env, signal });
  const inFolder = async <T>(work: (file: string) => Promise<T>): Promise<T> => {
    const folder = await cache.temporaryFolder();
    try {
      return await work(join(folder, 'blob'));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };
  const pin = async (want: Want): Promise<void> => {
    signal?.throwIfAborted();
    const { name } = want;
    const known = isStale(want) ? undefined : before;
    switch (want.section) {
      case 'debs':
        return;
      case 'archives':
        lock.archives[name] =
          known?.archives[name] ??
          (await inFolder(async (file) => {
            await http.download(name, file, {
              signal,
              maxSize: MAX_ARCHIVE_BYTES,
              onProgress: (done) =>
                reporter.report({ kind: 'step-progress', step: 'lock', done, total: 0 }),
            });
            const { sha256, size } = await cache.adopt(file);
            return { sha256, size };
          }));
        return;
      case 'files':
        lock.files[name] = known?.files[name] ?? (await digestFile(inputPath(recipe, name)));
        return;
      case 'oci':
        if (known?.oci[name] !== undefined) {
          lock.oci[name] = known.oci[name];
        } else if (isLocalImage(want.reference)) {
          const folder = inputPath(recipe, want.reference);
          lock.oci[name] = await resolveLocalImage(folder, want.platform);
        } else {
          const { image, documents } = await registry.resolve(want.reference, want.platform);
          for (const document of documents) await cache.put(document);
          lock.oci[name] = image;
        }
        return;
      case 'git':
        lock.git[name] =
          known?.git[name] ??
          (await inFolder(async (file) => {
            const directory = recipe.directory;
            const commit = await archiveCommit(want.git, want, file, { directory, env, signal });
            const { sha256, size } = await cache.adopt(file);
            return { commit, sha256, size };
          }));
        return;
    }
  };
  for (const want of wants) await atRecipe(want, () => pin(want));
  const facts = named('kernel') ? undefined : before.kernel;
  // A lock tells of one kernel: that of another profile stays, so that choosing profiles changes no lock.
  const isOther =
    facts !== undefined &&
    facts.sha256 !== kernelDigest(recipe, lock) &&
    isKernelOf(recipe, lock, facts);
  const kernel = isOther ? facts : await kernelFacts(recipe, lock, facts, context);
  if (kernel !== undefined) lock.kernel = kernel;

  const tools = toolsToPin(before, update, textBefore, context.tools);
  if (tools !== undefined) lock.tools = tools;

  const changes = changesBetween(before, lock, recipe, wants);
  const text = formatLock(lock);
  const file = lockFile(recipe);
  const written = context.dryRun !== true && text !== textBefore;
  if (written) await writeFileAtomic(file, text);
  return { file, lock, changes, written };
}

/** Tools are pinned in a new lock, and stay unpinned in one that was made without them. */
function toolsToPin(
  before: Lock,
  update: readonly string[] | 'all',
  text: string | undefined,
  present: LockedTools | undefined,
): LockedTools | undefined {
  const isNew = text === undefined || /^version: 1$/m.test(text);
  const isNamed = update === 'all' ? before.tools !== undefined : update.includes('tools');
  return isNamed ? (present ?? before.tools) : (before.tools ?? (isNew ? present : undefined));
}

function checkNames(update: readonly string[] | 'all', wants: readonly Want[], before: Lock): void {
  const known = new Set<string>([
    ...PARTS,
    ...wants.flatMap((want) => [
      want.name,
      ...(want.section === 'git' ? [want.git] : []),
      ...(want.section === 'oci' ? [want.reference] : []),
    ]),
    ...Object.keys(before.debs),
  ]);
  const unknown = update === 'all' ? [] : update.filter((name) => !known.has(name));
  if (unknown.length === 0) return;
  const names = wants.map(({ name }) => name);
  throw new UsageError('lock', `The recipe names nothing called ${unknown.join(', ')}`, {
    hint: `It names ${[...names, ...PARTS].join(', ')}`,
  });
}

/** What cannot be pinned is told at the line that asks for it. */
async function atRecipe<T>(want: Want, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof UsageError || error instanceof RecipeError) throw error;
    const isAbsent = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (isAbsent) {
      const message = `Cannot lock ${want.name}: there is no such file`;
      throw new RecipeError([want.recipe.diagnosticAt(want.at, message)], { cause: error });
    }
    if (!(error instanceof MicrobuildError)) throw error;
    const said =
      error instanceof ToolError ? `: ${error.stderrTail.trim().split('\n').at(-1)}` : '';
    const diagnostic = want.recipe.diagnosticAt(
      want.at,
      `Cannot lock ${want.name}: ${error.message}${said}`,
      error.hint,
    );
    throw new RecipeError([diagnostic], { cause: error });
  }
}
