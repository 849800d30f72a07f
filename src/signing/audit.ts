/**
 * The audit log: one line of JSON for each signature that was made, asked for or refused. It says who,
 * with which key, over what; it never holds a secret.
 *
 * Each line names the hash of the one before it, so that none can be changed or taken away unnoticed. A
 * line is one write to a file opened for appending, flushed before the signature is handed on: a
 * signature that cannot be logged is not used.
 */

import { link, open, stat, type FileHandle } from 'node:fs/promises';
import { sha256, toHex } from '../core/digest.ts';
import { UsageError } from '../core/errors.ts';
import { inTheMaking } from '../io/in-the-making.ts';

/** The name of the file where a release names none: beside that of what was released last. */
export const AUDIT_LOG = 'microbuild.audit.jsonl';

/** Who signs: what the system and the CI say. */
export interface AuditIdentity {
  readonly user: string;
  readonly host: string;
  /** What the CI says of its job, by its own names; undefined outside of one. */
  readonly ci?: Readonly<Record<string, string>> | undefined;
}

export interface AuditEntry {
  /**
   * - `signed`: the signature was made, or came from elsewhere, and is the key's.
   * - `requested`: it is to be made elsewhere.
   * - `refused`: the profile does not allow it.
   * - `failed`: the key gave none, or not its own.
   */
  readonly verdict: 'signed' | 'requested' | 'refused' | 'failed';
  readonly reason?: string | undefined;
  readonly artefact: string;
  readonly purpose?: string | undefined;
  /** The reference of the key, without secrets. */
  readonly key?: string | undefined;
  /** SHA-256 of its SubjectPublicKeyInfo, in hex. */
  readonly keyId?: string | undefined;
  readonly algorithm?: string | undefined;
  /** SHA-256 of the bytes that are signed, in hex. */
  readonly dataSha256?: string | undefined;
}

/** What is the same for all entries of a session. */
export interface AuditSession {
  readonly identity: AuditIdentity;
  readonly command: string;
  readonly profile: string;
  readonly mode: 'direct' | 'prepare' | 'attach';
  readonly now: () => Date;
}

export interface AuditLog {
  /** @throws {UsageError} `output` when the line is not safely in the log. */
  append(entry: AuditEntry): Promise<void>;
}

/** Keeps nothing. */
export const noAuditLog: AuditLog = { append: () => Promise.resolve() };

/** Lines of several sessions at once never mix: each is appended whole. */
export function openAuditLog(path: string, session: AuditSession): AuditLog {
  const { identity, command, profile, mode, now } = session;
  let last: Promise<void> = Promise.resolve();
  return {
    append(entry) {
      const write = (): Promise<void> =>
        appendLine(path, {
          time: now().toISOString(),
          ...entry,
          command,
          profile,
          mode,
          ...identity,
        });
      const done = last.then(write, write);
      last = done;
      return done;
    },
  };
}

async function appendLine(path: string, line: Readonly<Record<string, unknown>>): Promise<void> {
  try {
    if (await startLog(path, line)) return;
    const handle = await open(path, 'a+', 0o600);
    try {
      const end = await readEnd(handle);
      const text = textOf(line, end.lineHash);
      await writeWhole(handle, Buffer.from(end.isTorn ? `\n${text}` : text));
    } finally {
      await handle.close();
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError('output', `Cannot sign: the audit log ${path} is not written: ${reason}`, {
      cause,
      hint: 'Nothing is signed without its line: make room or choose another file with --audit-log',
    });
  }
}

const textOf = (line: Readonly<Record<string, unknown>>, previous: string | null): string =>
  `${JSON.stringify({ ...line, previous })}\n`;

async function writeWhole(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  const { bytesWritten } = await handle.write(bytes);
  if (bytesWritten !== bytes.length) throw new Error('the line was written in part only');
  await handle.sync().catch((error: NodeJS.ErrnoException) => {
    // Pipes and devices have nothing to flush.
    if (error.code !== 'EINVAL' && error.code !== 'ENOTSUP') throw error;
  });
}

/**
 * Makes a log with its first line, so that of sessions that start at the same time only one has nothing
 * before it.
 *
 * @returns false where there is a log, or none can be made in this way.
 */
async function startLog(path: string, line: Readonly<Record<string, unknown>>): Promise<boolean> {
  if ((await stat(path).catch(() => undefined)) !== undefined) return false;
  const temporary = await inTheMaking(path);
  const handle = await open(temporary.path, 'wx', 0o600).catch(() => undefined);
  if (handle === undefined) return false;
  try {
    await writeWhole(handle, Buffer.from(textOf(line, null)));
    await link(temporary.path, path);
    return true;
  } catch (error) {
    // Others were first, or the file system has no links.
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['EEXIST', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK'].includes(code)) return false;
    throw error;
  } finally {
    await handle.close();
    await temporary.discard();
  }
}

/** Lines are a few hundred bytes. */
const MAX_LINE = 65536;

interface LogEnd {
  /** SHA-256 of the last line without its line feed, in hex; null where there is none. */
  readonly lineHash: string | null;
  /** Whether the last line lacks its line feed: whoever wrote it was stopped. */
  readonly isTorn: boolean;
}

async function readEnd(handle: FileHandle): Promise<LogEnd> {
  const stats = await handle.stat();
  // What is written into a pipe or device is not there to be read.
  if (!stats.isFile() || stats.size === 0) return { lineHash: null, isTorn: false };
  const size = Math.min(stats.size, MAX_LINE);
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(size), 0, size, stats.size - size);
  const tail = buffer.subarray(0, bytesRead);
  const isTorn = tail.at(-1) !== LINE_FEED;
  const line = isTorn ? tail : tail.subarray(0, -1);
  return { lineHash: lineHash(line.subarray(line.lastIndexOf(LINE_FEED) + 1)), isTorn };
}

const LINE_FEED = 0x0a;

const lineHash = (line: Uint8Array): string => toHex(sha256(line));

/** What a log says, and whether lines of it are missing. */
export interface AuditReport {
  readonly lines: number;
  /** How many lines have each verdict. */
  readonly verdicts: Readonly<Record<AuditEntry['verdict'], number>>;
  /**
   * SHA-256 of the last line: kept elsewhere, it tells whether the end of the log was cut off. Null for an
   * empty log.
   */
  readonly last: string | null;
  /** By line, from 1. */
  readonly problems: readonly { readonly line: number; readonly problem: string }[];
}

/**
 * Checks that no line was changed or taken away: each names the hash of the one that was last when it was
 * written. Sessions that write at the same time may name the same one.
 */
export function checkAuditLog(log: Uint8Array): AuditReport {
  const verdicts = { signed: 0, requested: 0, refused: 0, failed: 0 };
  const problems: { line: number; problem: string }[] = [];
  const known = new Set<string | null>([null]);
  let last: string | null = null;
  let lines = 0;
  for (let at = 0; at < log.length;) {
    const feed = log.indexOf(LINE_FEED, at);
    const line = log.subarray(at, feed < 0 ? log.length : feed);
    at += line.length + 1;
    lines += 1;
    const problem = feed < 0 ? 'it is cut off' : problemOf(line, known, verdicts, lines);
    if (problem !== undefined) problems.push({ line: lines, problem });
    last = lineHash(line);
    known.add(last);
    // Only the first line has none before it.
    known.delete(null);
  }
  return { lines, verdicts, last, problems };
}

function problemOf(
  line: Uint8Array,
  known: ReadonlySet<string | null>,
  verdicts: Record<AuditEntry['verdict'], number>,
  number: number,
): string | undefined {
  let entry: unknown;
  try {
    entry = JSON.parse(Buffer.from(line).toString('utf8'));
  } catch {
    return 'it is no JSON';
  }
  if (typeof entry !== 'object' || entry === null) return 'it is no entry of a log';
  const { verdict, previous } = entry as { verdict?: unknown; previous?: unknown };
  if (typeof verdict !== 'string' || !Object.hasOwn(verdicts, verdict)) return 'it has no verdict';
  verdicts[verdict as AuditEntry['verdict']] += 1;
  if (previous !== null && typeof previous !== 'string') return 'it names no line before it';
  if (known.has(previous)) return undefined;
  return number === 1
    ? 'what stood before it is not here'
    : 'the line before it was changed or taken away';
}
