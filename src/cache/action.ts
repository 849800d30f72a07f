/**
 * Pure steps and their results: an action of the Remote Execution API is what determines a result, its digest is the key under
 * which the result is kept.
 *
 * `Command` has the step's name and parameters, a `Directory` the digests of its inputs, `Action` the digests of both. A result
 * names its outputs by digest, and the value that the step returned is its standard output, as JSON. Outputs are found by
 * digest only: no path that a stored result claims is ever used on this machine.
 */

import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { compareRuns, isSampled } from './audit.ts';
import { canonicalJson, type Json } from './canonical-json.ts';
import type { Cache, StoredFile } from './store.ts';
import { placed } from '../io/system-error.ts';
import { checkPaths, decodeFolder, encodeFolder, encodeInputs } from './action-folders.ts';
import {
  actionMessage,
  actionResultMessage,
  byBytes,
  commandMessage,
  digestOfBytes,
  isDigest,
  type ActionResult,
  type Digest,
} from './remote-execution.ts';

/** A blob that goes into an action. */
export interface InputDigest {
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  /** In bytes; 0 where it is not known, as the digest alone decides. */
  readonly size: number;
}

/** What determines the result of a step. */
export interface ActionDescription<Output extends string, Folder extends string> {
  /** What the step does and in which version of it: `kernel/4`. */
  readonly mnemonic: string;
  /** All that decides besides the inputs; the order of names does not matter. */
  readonly parameters: Json;
  /** By relative path; a `/` makes folders. */
  readonly inputs: Readonly<Record<string, InputDigest>>;
  /** Files that the step makes in the folder it is given. */
  readonly outputs: readonly Output[];
  /** Folders whose files, whatever their names are, are outputs too. */
  readonly outputFolders?: readonly Folder[];
}

/** Tells what a step returned and made, or what was kept of an earlier run. */
export interface ActionOutcome<T, Output extends string, Folder extends string> {
  readonly value: T;
  readonly outputs: Readonly<Record<Output, StoredFile>>;
  /** The files of each output folder, by their path in it. */
  readonly folders: Readonly<Record<Folder, Readonly<Record<string, StoredFile>>>>;
  readonly cached: boolean;
}

/** The key of an action: the digest of its encoded `Action`, in hexadecimal. */
export function actionDigest(action: ActionDescription<string, string>): string {
  return encodeAction(action).key.hash;
}

/** Actions that this process runs: whoever asks for the same waits for it. */
const running = new Map<string, Promise<unknown>>();

/**
 * The kept result of an action; or runs it, and keeps what it made. A step that throws leaves nothing. Where another process
 * runs the same action, its result is waited for. Where the cache has an audit, some run again although their results are kept.
 *
 * @param run Gets an empty folder for its outputs. Its value must be what JSON can say.
 * @throws what `run` throws; {RangeError} when it does not make an output; an AbortError.
 */
export async function runAction<T, Output extends string = never, Folder extends string = never>(
  cache: Cache,
  action: ActionDescription<Output, Folder>,
  run: (folder: string) => Promise<{ readonly value: T }>,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<ActionOutcome<T, Output, Folder>> {
  type Outcome = ActionOutcome<T, Output, Folder>;
  const encoded = encodeAction(action);
  const id = `${cache.directory}\0${encoded.key.hash}`;
  const others = running.get(id) as Promise<Outcome> | undefined;
  if (others !== undefined) {
    // What fails for them is tried again here: its reason may be theirs alone.
    const outcome = await others.catch(() => undefined);
    if (outcome !== undefined) return { ...outcome, cached: true };
  }
  const work = runOnce(cache, action, encoded, run, signal);
  running.set(id, work);
  try {
    return await work;
  } finally {
    if (running.get(id) === work) running.delete(id);
  }
}

async function runOnce<T, Output extends string, Folder extends string>(
  cache: Cache,
  action: ActionDescription<Output, Folder>,
  encoded: EncodedAction,
  run: (folder: string) => Promise<{ readonly value: T }>,
  signal: AbortSignal | undefined,
): Promise<ActionOutcome<T, Output, Folder>> {
  const { hash } = encoded.key;
  const { audit } = cache;
  const look = (): Promise<Kept<T, Output, Folder> | undefined> =>
    readOutcome<T, Output, Folder>(cache, action, encoded.key);
  const make = async (): Promise<ActionOutcome<T, Output, Folder>> => {
    const folder = await cache.temporaryFolder();
    try {
      const { outputFolders = [] } = action;
      for (const path of [...action.outputs.map(dirname), ...outputFolders]) {
        await mkdir(join(folder, path), { recursive: true });
      }
      const { value } = await run(folder);
      return { ...(await keep(cache, action, encoded, folder, value)), cached: false };
    } catch (error) {
      throw placed(error, cache.directory);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };
  const known = await look();
  if (known !== undefined) {
    if (audit === undefined || !isSampled(audit, hash)) return { ...known, cached: true };
    const fresh = await make();
    await compareRuns(cache, audit, { mnemonic: action.mnemonic, key: hash }, known, fresh);
    return fresh;
  }
  for (;;) {
    const own = await cache.exclusively(hash, async () => (await look()) ?? make(), signal);
    if (own !== undefined) return { cached: true, ...own.done };
    // Another process has run it, and may have failed: then it is this one's turn.
    const theirs = await look();
    if (theirs !== undefined) return { ...theirs, cached: true };
  }
}

interface EncodedAction {
  readonly key: Digest;
  /** What the key is made of: Action, Command and the folders of inputs. */
  readonly blobs: readonly Uint8Array[];
}

function encodeAction(action: ActionDescription<string, string>): EncodedAction {
  const paths = [...action.outputs, ...(action.outputFolders ?? [])];
  checkPaths(paths);
  const command = commandMessage.encode({
    arguments: ['microbuild', action.mnemonic, canonicalJson(action.parameters)],
    outputPaths: [...new Set(paths)].sort(byBytes),
  });
  const inputs = encodeInputs(action.inputs);
  const encoded = actionMessage.encode({
    commandDigest: digestOfBytes(command),
    inputRootDigest: inputs.root,
  });
  return { key: digestOfBytes(encoded), blobs: [encoded, command, ...inputs.blobs] };
}

type Kept<T, Output extends string, Folder extends string> = Omit<
  ActionOutcome<T, Output, Folder>,
  'cached'
>;

/** Moves what a step made into the store, then says so. The result comes last: it never names what is not there. */
async function keep<T, Output extends string, Folder extends string>(
  cache: Cache,
  action: ActionDescription<Output, Folder>,
  { key, blobs }: EncodedAction,
  folder: string,
  value: T,
): Promise<Kept<T, Output, Folder>> {
  const adopt = async (path: string): Promise<StoredFile> => {
    const file = join(folder, path);
    const found = await stat(file).catch(() => undefined);
    if (found?.isFile() !== true) {
      throw new RangeError(`The step ${action.mnemonic} did not make the file ${path}`);
    }
    return cache.adopt(file);
  };
  const outputs: Record<string, StoredFile> = {};
  for (const path of action.outputs) outputs[path] = await adopt(path);
  const folders: Record<string, Record<string, StoredFile>> = {};
  const directories = [];
  for (const path of action.outputFolders ?? []) {
    const files: Record<string, StoredFile> = {};
    for (const name of await listFiles(join(folder, path))) {
      files[name] = await adopt(join(path, name));
    }
    folders[path] = files;
    const treeDigest = await put(cache, encodeFolder(files));
    directories.push({ path, treeDigest });
  }
  const said = canonicalJson(value as Json);
  const stdoutDigest = await put(cache, Buffer.from(said));
  for (const blob of blobs) await cache.put(blob);
  const result = actionResultMessage.encode({
    outputFiles: action.outputs
      .map((path) => ({ path, digest: digestOf(outputs[path] as StoredFile) }))
      .map((file) => ({ ...file, isExecutable: false, contents: new Uint8Array(0) }))
      .sort((a, b) => byBytes(a.path, b.path)),
    outputDirectories: directories
      .map((each) => ({ ...each, isTopologicallySorted: false }))
      .sort((a, b) => byBytes(a.path, b.path)),
    stdoutDigest,
    // So that no result is empty.
    executionMetadata: { worker: 'microbuild' },
  });
  await cache.putActionResult(key.hash, result);
  return { value: JSON.parse(said) as T, outputs, folders } as Kept<T, Output, Folder>;
}

async function put(cache: Cache, bytes: Uint8Array): Promise<Digest> {
  return { hash: await cache.put(bytes), sizeBytes: bytes.length };
}

const digestOf = ({ sha256, size }: StoredFile): Digest => ({ hash: sha256, sizeBytes: size });

/** All regular files below a folder, as relative paths. */
async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort(byBytes);
}

/** What is kept of an action; undefined, and nothing of it left, when it is not exactly what the action asks for. */
async function readOutcome<T, Output extends string, Folder extends string>(
  cache: Cache,
  action: ActionDescription<Output, Folder>,
  key: Digest,
): Promise<Kept<T, Output, Folder> | undefined> {
  const encoded = await cache.findActionResult(key.hash);
  if (encoded === undefined) return undefined;
  const found = await tryResult<T, Output, Folder>(cache, action, encoded).catch(
    (error: unknown) => {
      if (error instanceof Error && 'format' in error) return undefined;
      throw error;
    },
  );
  if (found === undefined) await cache.dropActionResult(key.hash);
  return found;
}

async function tryResult<T, Output extends string, Folder extends string>(
  cache: Cache,
  action: ActionDescription<Output, Folder>,
  encoded: Uint8Array,
): Promise<Kept<T, Output, Folder> | undefined> {
  const result = actionResultMessage.decode(encoded);
  if (result.exitCode !== 0 || hasSymlinks(result)) return undefined;
  const { outputFiles, outputDirectories } = result;
  if (!isSame(outputFiles, action.outputs)) return undefined;
  if (!isSame(outputDirectories, action.outputFolders ?? [])) return undefined;

  const outputs: Record<string, StoredFile> = {};
  for (const { path, digest } of outputFiles) {
    const file = await find(cache, digest);
    if (file === undefined) return undefined;
    outputs[path] = file;
  }
  const folders: Record<string, Record<string, StoredFile>> = {};
  for (const { path, treeDigest } of outputDirectories) {
    const tree = isDigest(treeDigest) ? await cache.readBlob(treeDigest.hash) : undefined;
    if (tree === undefined) return undefined;
    const files: Record<string, StoredFile> = {};
    for (const [name, digest] of decodeFolder(tree)) {
      const file = await find(cache, digest);
      if (file === undefined) return undefined;
      files[name] = file;
    }
    folders[path] = files;
  }
  const { stdoutDigest } = result;
  const said = isDigest(stdoutDigest) ? await cache.readBlob(stdoutDigest.hash) : undefined;
  if (said === undefined) return undefined;
  try {
    const value = JSON.parse(Buffer.from(said).toString('utf8')) as T;
    return { value, outputs, folders } as Kept<T, Output, Folder>;
  } catch {
    return undefined;
  }
}

const hasSymlinks = (result: ActionResult): boolean =>
  result.outputSymlinks.length > 0 ||
  result.outputFileSymlinks.length > 0 ||
  result.outputDirectorySymlinks.length > 0;

/** Whether the paths are those that were asked for, each once. */
function isSame(found: readonly { path: string }[], wanted: readonly string[]): boolean {
  const names = new Set(found.map(({ path }) => path));
  return (
    names.size === found.length &&
    names.size === new Set(wanted).size &&
    wanted.every((path) => names.has(path))
  );
}

async function find(cache: Cache, digest: Digest | undefined): Promise<StoredFile | undefined> {
  if (!isDigest(digest)) return undefined;
  const path = await cache.find(digest.hash, digest.sizeBytes);
  return path === undefined ? undefined : { path, sha256: digest.hash, size: digest.sizeBytes };
}
