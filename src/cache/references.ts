/** Which blobs a stored result names. */

import { FormatError } from '../core/errors.ts';
import { readRegular } from '../io/read-regular.ts';
import { decodeFolder } from './action-folders.ts';
import {
  actionMessage,
  actionResultMessage,
  commandMessage,
  isDigest,
} from './remote-execution.ts';

export interface References {
  /** Without these the result is of no use. */
  readonly needed: readonly string[];
  /** These tell what the action was. */
  readonly descriptive: readonly string[];
}

/** What is larger is no message of ours, nor of anybody else. */
const MAX_MESSAGE = 64 << 20;

async function readMessage<T>(
  path: string,
  decode: (bytes: Uint8Array) => T,
): Promise<T | undefined> {
  const bytes = await readRegular(path, MAX_MESSAGE);
  if (bytes === undefined) return undefined;
  try {
    return decode(bytes);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/**
 * The blobs that a result names.
 *
 * @param blobPath Where a blob is, if it is there.
 * @returns undefined when the result cannot be read.
 */
export async function referencesOf(
  entry: { readonly key: string; readonly path: string },
  blobPath: (key: string) => string | undefined,
): Promise<References | undefined> {
  const result = await readMessage(entry.path, (bytes) => actionResultMessage.decode(bytes));
  if (result === undefined) return undefined;
  const needed = new Set<string>();
  const { outputFiles, outputDirectories, stdoutDigest, stderrDigest } = result;
  for (const digest of [...outputFiles.map((file) => file.digest), stdoutDigest, stderrDigest]) {
    // Bazel does not store what is empty.
    if (isDigest(digest) && digest.sizeBytes > 0) needed.add(digest.hash);
  }
  for (const { treeDigest } of outputDirectories) {
    if (!isDigest(treeDigest)) continue;
    needed.add(treeDigest.hash);
    const path = blobPath(treeDigest.hash);
    const files = path === undefined ? undefined : await readMessage(path, decodeFolder);
    for (const digest of files?.values() ?? []) needed.add(digest.hash);
  }
  return { needed: [...needed], descriptive: await describing(entry.key, blobPath) };
}

/** The action itself, its command, and the folder of its inputs. */
async function describing(
  key: string,
  blobPath: (key: string) => string | undefined,
): Promise<string[]> {
  const path = blobPath(key);
  if (path === undefined) return [];
  const action = await readMessage(path, (bytes) => actionMessage.decode(bytes));
  const digests = [action?.commandDigest, action?.inputRootDigest].filter(isDigest);
  return [key, ...digests.map(({ hash }) => hash)];
}

/** What an action does: the second word of its command; undefined when that is not there. */
export async function mnemonicOf(
  key: string,
  blobPath: (key: string) => string | undefined,
): Promise<string | undefined> {
  const path = blobPath(key);
  if (path === undefined) return undefined;
  const action = await readMessage(path, (bytes) => actionMessage.decode(bytes));
  const digest = action?.commandDigest;
  const commandPath = isDigest(digest) ? blobPath(digest.hash) : undefined;
  if (commandPath === undefined) return undefined;
  const command = await readMessage(commandPath, (bytes) => commandMessage.decode(bytes));
  return command?.arguments[1];
}
