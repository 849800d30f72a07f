/**
 * The blobs that a lock pins: each is looked for in the cache, then in `vendor/` beside the recipe,
 * then where it came from, and its digest is checked before anybody gets to see it.
 */

import { constants } from 'node:fs';
import { copyFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { digestFile, type Cache } from '../cache/store.ts';
import { MicrobuildError, ToolError, UsageError } from '../core/errors.ts';
import { silentReporter, type Reporter } from '../core/events.ts';
import type { LockedDeb, OciDescriptor } from '../recipe/lockfile.ts';
import { expectRoom } from '../io/room.ts';
import { isFull, placed } from '../io/system-error.ts';
import { downloadDeb } from './fetch/debs.ts';
import { archiveCommit, isLocalRepository } from './fetch/git.ts';
import { createHttpClient, type HttpClient } from './fetch/http.ts';
import { createLimit } from './fetch/limit.ts';
import { createRegistry, type Registry } from './fetch/registry.ts';
import { vendoredBlob, VENDOR_FOLDER } from './vendor-layout.ts';

/** A blob by its digest, and where in the world it is. Sizes are in bytes. */
export type Pin =
  | { readonly kind: 'deb'; readonly deb: LockedDeb }
  | {
      readonly kind: 'archive';
      readonly url: string;
      readonly sha256: string;
      readonly size: number;
    }
  | {
      readonly kind: 'oci';
      /** REGISTRY/REPO[:TAG][@DIGEST], as the recipe has it. */
      readonly reference: string;
      readonly part: 'manifest' | 'blob';
      readonly descriptor: OciDescriptor;
    }
  | {
      readonly kind: 'git';
      /** An address, or a path relative to the recipe's folder. */
      readonly git: string;
      /** The name that the recipe asks for, where it does not name the commit itself. */
      readonly ref?: string | undefined;
      readonly commit: string;
      /** Of the tar archive of its files. */
      readonly sha256: string;
      readonly size: number;
    };

/** Progress of one download, in bytes. */
export type OnProgress = (done: number) => void;

/** What getting a blob from the network takes. */
interface DownloadContext {
  readonly cache: Cache;
  /** Folder of the recipe. */
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal | undefined;
  readonly http: HttpClient;
  readonly registry: Registry;
}

export interface Blobs {
  /**
   * The path of a file whose SHA-256 equals the pin. It stays where it is as long as the cache keeps it.
   *
   * @param update The command that pins it anew, for the error.
   * @throws {UsageError} `lock`, naming every place that was asked and what it said.
   */
  fetch(pin: Pin, update: string): Promise<string>;
  /** Fetches several at once, and reports how far it is as the step `fetch`. */
  fetchAll(
    pins: readonly { readonly pin: Pin; readonly update: string }[],
  ): Promise<{ /** How many were not in the cache. */ readonly fetched: number }>;
}

export interface BlobsOptions {
  readonly cache: Cache;
  readonly recipe: { readonly directory: string };
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
  /** Nothing is asked but the cache and `vendor/`. */
  readonly offline?: boolean | undefined;
  readonly reporter?: Reporter | undefined;
}

/** Enough to fill a line, few enough for a mirror. */
const DOWNLOADS_AT_ONCE = 4;

/** The SHA-256 of a pin in hexadecimal. */
export const pinDigest = (pin: Pin): string =>
  pin.kind === 'deb'
    ? pin.deb.sha256
    : pin.kind === 'oci'
      ? pin.descriptor.digest.slice('sha256:'.length)
      : pin.sha256;

/** The size of a pin in bytes. */
export const pinSize = (pin: Pin): number =>
  pin.kind === 'deb' ? pin.deb.size : pin.kind === 'oci' ? pin.descriptor.size : pin.size;

/** What a pin is called in messages and in the list of `vendor/`. */
export function pinName(pin: Pin): string {
  switch (pin.kind) {
    case 'deb':
      return `${pin.deb.package} ${pin.deb.version}`;
    case 'archive':
      return pin.url;
    case 'oci':
      return `${pin.reference} ${pin.part} ${pin.descriptor.digest.slice(0, 19)}`;
    case 'git':
      return `${pin.git} ${pin.commit.slice(0, 12)}`;
  }
}

/** Opens the three places where blobs are. Nothing is asked before the first `fetch`. */
export function openBlobs(options: BlobsOptions): Blobs {
  const { cache, recipe, env, signal, offline = false, reporter = silentReporter } = options;
  const { directory } = recipe;
  const http = createHttpClient(env);
  const registry = createRegistry({ http, env, signal });
  const context: DownloadContext = { cache, directory, env, signal, http, registry };
  const limit = createLimit(DOWNLOADS_AT_ONCE);
  /** How many were asked for that the cache did not have. */
  let count = 0;
  /** Downloads under way, by digest: two sources may want one blob. */
  const underWay = new Map<string, Promise<string>>();

  const obtain = async (pin: Pin, update: string, onProgress: OnProgress): Promise<string> => {
    const sha256 = pinDigest(pin);
    const known = await cache.find(sha256);
    if (known !== undefined) return known;
    count++;
    const problems = [`the cache ${cache.directory} does not have it`];
    const vendored = await fromVendor(directory, sha256, cache);
    if ('path' in vendored) return vendored.path;
    problems.push(vendored.problem);
    if (vendored.damaged) {
      reporter.report({
        kind: 'warning',
        message: `${vendored.problem}: it is fetched anew`,
        hint: `Write it anew with microbuild vendor ${directory}`,
      });
    }
    if (offline && !(pin.kind === 'git' && isLocalRepository(pin.git))) {
      throw unavailable(pin, [...problems, 'the network was not asked, because of --offline'], {
        hint: `Fetch it once with a network: microbuild vendor ${directory}`,
      });
    }
    onProgress(0);
    return limit(() => told(pin, reporter, onProgress, fetchFrom));

    async function fetchFrom(tell: OnProgress): Promise<string> {
      signal?.throwIfAborted();
      const folder = await cache.temporaryFolder();
      try {
        const file = join(folder, 'blob');
        problems.push(...(await download(pin, file, context, tell)));
        const found = await stat(file).catch(() => undefined);
        if (found === undefined) {
          throw unavailable(pin, problems, { hint: `Pin what there is now: ${update}` });
        }
        const digest = (await digestFile(file)).sha256;
        if (digest !== sha256) {
          throw unavailable(
            pin,
            [...problems, `what came has the digest ${digest}, pinned is ${sha256}`],
            { hint: `If that is meant, pin what there is now: ${update}` },
          );
        }
        return (await cache.adopt(file)).path;
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    }
  };
  const fetch = (pin: Pin, update: string, onProgress: OnProgress): Promise<string> => {
    const sha256 = pinDigest(pin);
    const running = underWay.get(sha256);
    if (running !== undefined) return running;
    const started = obtain(pin, update, onProgress).finally(() => underWay.delete(sha256));
    underWay.set(sha256, started);
    return started;
  };

  return {
    fetch: (pin, update) => fetch(pin, update, () => undefined),
    async fetchAll(pins) {
      const before = count;
      const unique = [...new Map(pins.map((each) => [pinDigest(each.pin), each])).values()];
      // Of those that are not in the cache.
      let total = 0;
      let done = 0;
      const results = await Promise.allSettled(
        unique.map(({ pin, update }) => {
          let own: number | undefined;
          return fetch(pin, update, (bytes) => {
            if (own === undefined) total += pinSize(pin);
            const now = Math.min(bytes, pinSize(pin));
            done += now - (own ?? 0);
            own = now;
            reporter.report({ kind: 'step-progress', step: 'fetch', done, total });
          });
        }),
      );
      // All are waited for: nothing is left running, and nothing temporary stays.
      const failed = results.find((each) => each.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      return { fetched: count - before };
    },
  };
}

/** Reports a download as a step of its own. */
async function told(
  pin: Pin,
  reporter: Reporter,
  onProgress: OnProgress,
  work: (tell: OnProgress) => Promise<string>,
): Promise<string> {
  const step = `fetch.${pinDigest(pin).slice(0, 12)}`;
  const title = `Fetch ${pinName(pin)}`;
  const total = pinSize(pin);
  const started = performance.now();
  reporter.report({ kind: 'step-start', step, title });
  try {
    const path = await work((bytes) => {
      onProgress(bytes);
      reporter.report({ kind: 'step-progress', step, done: Math.min(bytes, total), total });
    });
    reporter.report({ kind: 'step-progress', step, done: total, total });
    onProgress(total);
    const milliseconds = performance.now() - started;
    reporter.report({ kind: 'step-done', step, title, cached: false, milliseconds });
    return path;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    reporter.report({ kind: 'step-failed', step, title, message });
    throw error;
  }
}

/** Gets a blob from where it came from. @returns what went wrong at each place that was asked. */
async function download(
  pin: Pin,
  target: string,
  context: DownloadContext,
  onProgress: OnProgress,
): Promise<string[]> {
  switch (pin.kind) {
    case 'deb':
      expectRoom(dirname(target), pin.deb.size);
      return downloadDeb(pin.deb, target, context, onProgress);
    case 'archive':
      expectRoom(dirname(target), pin.size);
      return attempt(pin.url, () =>
        context.http.download(pin.url, target, { ...context, size: pin.size, onProgress }),
      );
    case 'oci':
      expectRoom(dirname(target), pin.descriptor.size);
      return attempt(pin.reference, () =>
        context.registry.download(pin.reference, pin.part, pin.descriptor, target, onProgress),
      );
    case 'git':
      return attempt(pin.git, async () => {
        await archiveCommit(pin.git, { commit: pin.commit }, target, context);
      });
  }
}

/** Failures of a place become what it is reported to have said; an interruption stays one. */
async function attempt(place: string, work: () => Promise<void>): Promise<string[]> {
  try {
    await work();
    return [];
  } catch (error) {
    if (!(error instanceof MicrobuildError)) throw error;
    const said =
      error instanceof ToolError ? error.stderrTail.trim().split('\n').at(-1) : undefined;
    return [`${place}: ${error.message}${said === undefined ? '' : `: ${said}`}`];
  }
}

const unavailable = (pin: Pin, places: readonly string[], { hint }: { hint: string }): UsageError =>
  new UsageError(
    'lock',
    `Cannot get ${pinName(pin)}, which microbuild.lock pins: ${places.join('; ')}`,
    { hint },
  );

/** Takes a vendored blob into the cache, so that what was checked cannot change any more. */
async function fromVendor(
  directory: string,
  sha256: string,
  cache: Cache,
): Promise<{ path: string } | { problem: string; damaged: boolean }> {
  const file = vendoredBlob(directory, sha256);
  const folder = await cache.temporaryFolder();
  try {
    const copy = join(folder, 'blob');
    await copyFile(file, copy, constants.COPYFILE_FICLONE);
    const digest = (await digestFile(copy)).sha256;
    if (digest === sha256) return { path: (await cache.adopt(copy)).path };
    return { problem: `${file}: it is damaged, its digest is ${digest}`, damaged: true };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    // That is no matter of where the blob comes from.
    if (isFull(error)) throw placed(error, folder);
    const absent = code === 'ENOENT' || code === 'ENOTDIR';
    const problem = absent
      ? `${VENDOR_FOLDER}/ beside the recipe does not have it`
      : `${file}: ${code}`;
    return { problem, damaged: !absent };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
