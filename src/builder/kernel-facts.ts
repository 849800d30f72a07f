/**
 * What is known of kernels that were opened once, kept in the cache: opening one takes seconds, and a
 * check has none.
 */

import { join } from 'node:path';
import { writeOwnFile } from '../cache/own-file.ts';
import { readRegular } from '../io/read-regular.ts';

export interface KernelFacts {
  /** As `uname -r` tells it. */
  readonly release: string;
  /** Its options for EROFS that are set; undefined when it does not say. */
  readonly erofs?: readonly string[] | undefined;
  /** Canonical names of its modules, and of what is built in. */
  readonly modules: readonly string[];
}

/** Raised when the facts mean something else, so that no old ones are taken for new ones. */
const VERSION = 1;

const SHA256 = /^[0-9a-f]{64}$/;

const place = (directory: string, sha256: string): string =>
  join(directory, 'kernel-facts', `${sha256}.${VERSION}.json`);

/** @param sha256 Of what the kernel comes from. */
export async function recallKernelFacts(
  directory: string,
  sha256: string,
): Promise<KernelFacts | undefined> {
  if (!SHA256.test(sha256)) return undefined;
  let facts: unknown;
  try {
    facts = JSON.parse(String(await readRegular(place(directory, sha256))));
  } catch {
    // Not there, or damaged: the build opens the kernel.
    return undefined;
  }
  return isFacts(facts) ? facts : undefined;
}

/** What cannot be kept is found again when it is needed. */
export async function rememberKernelFacts(
  directory: string,
  sha256: string,
  facts: KernelFacts,
): Promise<void> {
  if (!SHA256.test(sha256)) return;
  await writeOwnFile(place(directory, sha256), JSON.stringify(facts));
}

function isFacts(value: unknown): value is KernelFacts {
  if (typeof value !== 'object' || value === null) return false;
  const { release, erofs, modules } = value as Partial<KernelFacts>;
  const isNames = (list: unknown): boolean =>
    Array.isArray(list) && list.every((each) => typeof each === 'string');
  return typeof release === 'string' && isNames(modules) && (erofs === undefined || isNames(erofs));
}
