/**
 * Whether a build would change nothing: a stamp remembers the stat signatures of all files that went into an output and of the
 * output itself, and what else decided it.
 *
 * The answer is never a wrong yes. A folder's own signature changes with its listing; a file that is not there is remembered as
 * such; links are remembered with what they lead to. A stamp is only written when all inputs were last changed well before the
 * build began, as a later change could have been missed by it; else the next build looks closer, and may write one then.
 */

import { createHash } from 'node:crypto';
import { realpath, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import {
  isSettled,
  isSymlinkSignature,
  plainFileReader,
  SIGNATURE_WORDS,
  type FileReader,
} from '../io/file-signatures.ts';
import { readRegular } from '../io/read-regular.ts';
import { passSystemErrors } from '../io/system-error.ts';
import { canonicalJson, type Json } from './canonical-json.ts';
import { writeOwnFile } from './own-file.ts';
import type { Cache } from './store.ts';

/** Which build: where its output is, and all that decides it besides files. */
export interface StampSubject {
  /** Path of the output. */
  readonly output: string;
  /** Options, variables of the environment, the tool's version: whatever could make another output of the same files. */
  readonly facts: Json;
}

/** The files that a build read, as they were before it did. */
export interface StampInputs {
  /**
   * Takes note of files and folders that are going to be read, or were looked for and not found: absolute paths. Those that
   * were noted before stay as they were then.
   */
  add(paths: readonly string[]): Promise<void>;
  /** When the first look was taken at anything: milliseconds since 1970. */
  readonly began: number;
  readonly signatures: ReadonlyMap<string, Uint32Array>;
}

/** Begins to take note, before a build looks at any input. */
export function watchInputs(reader: FileReader = plainFileReader): StampInputs {
  const signatures = new Map<string, Uint32Array>();
  return {
    began: Date.now(),
    signatures,
    async add(paths) {
      const fresh = [...new Set(paths)].filter((path) => !signatures.has(path));
      const words = await lookAt(fresh, reader);
      for (const [index, path] of fresh.entries()) {
        // Another call may have noted it meanwhile: earlier is safer.
        if (!signatures.has(path)) signatures.set(path, words[index] as Uint32Array);
      }
    },
  };
}

/** Files that a build reads, and what they were when they were looked at. */
export interface LateInputs {
  readonly paths: readonly string[];
  /** The signature of each; that of a link is followed by that of what it leads to. */
  readonly looks: Uint32Array;
}

/**
 * Looks at tens of thousands of inputs of a build at once, at any time while it runs: it is remembered only when they were last
 * changed before it began.
 *
 * @param paths Absolute; those that were noted before are left out.
 */
export async function lookAtInputs(
  inputs: StampInputs,
  paths: readonly string[],
  reader: FileReader = plainFileReader,
): Promise<LateInputs> {
  const late = [...new Set(paths)].filter((path) => !inputs.signatures.has(path));
  return { paths: late, looks: await lookAtAll(late, reader) };
}

const NO_INPUTS: LateInputs = { paths: [], looks: new Uint32Array(0) };

export interface StampContents {
  readonly inputs: StampInputs;
  /** Further inputs, which were looked at while the build ran: they must be as they were when it began. */
  readonly others?: LateInputs | undefined;
  /** Absolute paths of all files and folders of the output. */
  readonly outputs: readonly string[];
  /** Whether the output still is the one that was made: another build may have replaced it. */
  readonly isOurs?: (() => Promise<boolean>) | undefined;
  /** What the build has to say, to be said again. */
  readonly value: Json;
}

/** Where the stamp of an output is kept. */
async function stampPath(cache: Pick<Cache, 'directory'>, output: string): Promise<string> {
  // By the folder that it is in: the output itself need not be there.
  const path = resolve(output);
  const folder = await realpath(dirname(path)).catch(() => dirname(path));
  const name = createHash('sha256')
    .update(join(folder, basename(path)))
    .digest('hex');
  return join(cache.directory, 'microbuild', 'stamps', name);
}

/**
 * What the last build of this output had to say, if a build now would make the same. Writes nothing.
 *
 * @returns undefined when anything changed, or nothing is known.
 */
export async function readStamp(
  cache: Pick<Cache, 'directory'>,
  subject: StampSubject,
  reader: FileReader = plainFileReader,
): Promise<{ readonly value: Json } | undefined> {
  const bytes = await readRegular(await stampPath(cache, subject.output));
  const stamp = bytes && decode(bytes);
  if (stamp === undefined || stamp.head.facts !== canonicalJson(subject.facts)) return undefined;
  const now = bytesOf(await lookAtAll(stamp.paths, reader));
  return Buffer.compare(now, stamp.signatures) === 0 ? { value: stamp.head.value } : undefined;
}

/**
 * Remembers a build that succeeded. Waits some milliseconds when the output is so new that a change to it could not be told.
 *
 * @returns whether it was remembered: not when an input is as new as the build or has changed since, or the output is not there.
 */
export async function writeStamp(
  cache: Pick<Cache, 'directory'>,
  subject: StampSubject,
  { inputs, others = NO_INPUTS, outputs, isOurs, value }: StampContents,
  reader: FileReader = plainFileReader,
): Promise<boolean> {
  const file = await stampPath(cache, subject.output);
  const noted = [...inputs.signatures.keys()];
  const early = concat([...inputs.signatures.values()]);
  const made = await settledOutputs([...new Set(outputs)], reader);
  const isSafe =
    made !== undefined &&
    // Asked behind the look at it: what replaces it later looks otherwise.
    (await isOurs?.()) !== false &&
    isSettledLook(early, inputs.began) &&
    isSettledLook(others.looks, inputs.began) &&
    (await isAbsentSince(
      [...absentOf(noted, early), ...absentOf(others.paths, others.looks)],
      inputs.began,
      reader,
    )) &&
    // What was looked at later was last changed before the build began: it need not be looked at again.
    bytesOf(await lookAtAll(noted, reader)).equals(bytesOf(early));
  if (!isSafe) {
    await rm(file, { recursive: true, force: true });
    return false;
  }
  const head: Head = {
    facts: canonicalJson(subject.facts),
    value,
  };
  const paths = noted.concat(others.paths, [...new Set(outputs)]);
  const looks = [early, others.looks, concat(made)].map(bytesOf);
  await writeOwnFile(file, encode(head, paths, looks));
  return true;
}

/** Forgets a build, before its output is changed. A stamp that stays does not hold for another output. */
export async function dropStamp(cache: Pick<Cache, 'directory'>, output: string): Promise<void> {
  const file = await stampPath(cache, output);
  await rm(file, { recursive: true, force: true }).catch(passSystemErrors);
}

/** The signature of each, and behind that of a symbolic link that of what it leads to. */
async function lookAt(paths: readonly string[], reader: FileReader): Promise<Uint32Array[]> {
  const words = await reader.signatures(paths, { follow: false });
  const links: number[] = [];
  const looks = paths.map((_path, index) => {
    const at = index * SIGNATURE_WORDS;
    if (isSymlinkSignature(words, at)) links.push(index);
    return words.subarray(at, at + SIGNATURE_WORDS);
  });
  if (links.length === 0) return looks;
  const targets = await reader.signatures(
    links.map((index) => paths[index] as string),
    { follow: true },
  );
  for (const [which, index] of links.entries()) {
    const both = new Uint32Array(2 * SIGNATURE_WORDS);
    both.set(looks[index] as Uint32Array);
    const at = which * SIGNATURE_WORDS;
    both.set(targets.subarray(at, at + SIGNATURE_WORDS), SIGNATURE_WORDS);
    looks[index] = both;
  }
  return looks;
}

/** What `lookAt` finds, one behind the other: without an object for each of tens of thousands of files. */
async function lookAtAll(paths: readonly string[], reader: FileReader): Promise<Uint32Array> {
  const words = await reader.signatures(paths, { follow: false });
  const links: number[] = [];
  for (let index = 0; index < paths.length; index += 1) {
    if (isSymlinkSignature(words, index * SIGNATURE_WORDS)) links.push(index);
  }
  const targets = await reader.signatures(
    links.map((index) => paths[index] as string),
    { follow: true },
  );
  const all = new Uint32Array(words.length + targets.length);
  let from = 0;
  for (const [which, index] of links.entries()) {
    const end = (index + 1) * SIGNATURE_WORDS;
    const at = which * SIGNATURE_WORDS;
    all.set(words.subarray(from, end), from + at);
    all.set(targets.subarray(at, at + SIGNATURE_WORDS), end + at);
    from = end;
  }
  all.set(words.subarray(from), from + targets.length);
  return all;
}

/** Of the paths that were looked at, those of which nothing is there. */
function absentOf(paths: readonly string[], looks: Uint32Array): string[] {
  const absent: string[] = [];
  let at = 0;
  for (const path of paths) {
    if (looks[at] !== 0) absent.push(path);
    at += isSymlinkSignature(looks, at) ? 2 * SIGNATURE_WORDS : SIGNATURE_WORDS;
  }
  return absent;
}

/** Whether all that is there, and what links lead to, was last changed well before a moment. */
function isSettledLook(words: Uint32Array, moment: number): boolean {
  for (let at = 0; at < words.length; at += SIGNATURE_WORDS) {
    if (words[at] === 0 && !isSettled(words, at, moment)) return false;
  }
  return true;
}

/**
 * Whether what is not there now was not there before either: the folder that would have it, or the nearest above that is there,
 * has not changed.
 */
async function isAbsentSince(
  absent: readonly string[],
  moment: number,
  reader: FileReader,
): Promise<boolean> {
  let folders = new Set(absent.map(dirname));
  while (folders.size > 0) {
    const words = await lookAt([...folders], reader);
    const above = new Set<string>();
    for (const [index, folder] of [...folders].entries()) {
      const look = words[index] as Uint32Array;
      if (look[0] !== 0) above.add(dirname(folder));
      else if (!isSettledLook(look, moment)) return false;
    }
    // The root folder is always there.
    folders = above;
  }
  return true;
}

/** The clock of files need not be ours: more than this is not waited for. */
const MAX_WAIT_MILLISECONDS = 200;

/** What the outputs are, once a change to them would show; undefined when they are not all there, or that takes too long. */
async function settledOutputs(
  outputs: readonly string[],
  reader: FileReader,
): Promise<Uint32Array[] | undefined> {
  const deadline = Date.now() + MAX_WAIT_MILLISECONDS;
  for (;;) {
    const moment = Date.now();
    const looks = await lookAt(outputs, reader);
    if (looks.some((words) => words[0] !== 0)) return undefined;
    if (looks.every((words) => isSettledLook(words, moment))) return looks;
    if (moment > deadline) return undefined;
    await setTimeout(5);
  }
}

const MAGIC = Buffer.from('MBSTAMP2');
const SUM_BYTES = 32;
const SIZES_AT = MAGIC.length + SUM_BYTES;
const HEAD_AT = SIZES_AT + 8;
/** No path has it. */
const SEPARATOR = '\0';

/** What a stamp says in JSON. */
interface Head {
  readonly facts: string;
  readonly value: Json;
}

interface Stamp {
  readonly head: Head;
  /** Of the inputs, then of the outputs. */
  readonly paths: readonly string[];
  /** In the same order; that of a link is followed by that of what it leads to. */
  readonly signatures: Buffer;
}

/** Magic, SHA-256 of the rest, lengths of head and paths, head, paths, signatures. */
function encode(head: Head, paths: readonly string[], signatures: readonly Uint8Array[]): Buffer {
  const text = Buffer.from(JSON.stringify(head));
  const names = Buffer.from(paths.join(SEPARATOR));
  const sizes = Buffer.alloc(HEAD_AT - SIZES_AT);
  sizes.writeUInt32LE(text.length, 0);
  sizes.writeUInt32LE(names.length, 4);
  const rest = [sizes, text, names, ...signatures];
  const sum = createHash('sha256');
  for (const part of rest) sum.update(part);
  return Buffer.concat([MAGIC, sum.digest(), ...rest]);
}

/** Undefined when it is damaged or something else. */
function decode(bytes: Buffer): Stamp | undefined {
  if (bytes.length < HEAD_AT || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  const sum = createHash('sha256').update(bytes.subarray(SIZES_AT)).digest();
  if (!sum.equals(bytes.subarray(MAGIC.length, SIZES_AT))) return undefined;
  const namesAt = HEAD_AT + bytes.readUInt32LE(SIZES_AT);
  const end = namesAt + bytes.readUInt32LE(SIZES_AT + 4);
  return {
    head: JSON.parse(bytes.toString('utf8', HEAD_AT, namesAt)) as Head,
    paths: bytes.toString('utf8', namesAt, end).split(SEPARATOR),
    signatures: bytes.subarray(end),
  };
}

function concat(looks: readonly Uint32Array[]): Uint32Array {
  const all = new Uint32Array(looks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const words of looks) {
    all.set(words, at);
    at += words.length;
  }
  return all;
}

const bytesOf = (words: Uint32Array): Buffer =>
  Buffer.from(words.buffer, words.byteOffset, words.byteLength);
