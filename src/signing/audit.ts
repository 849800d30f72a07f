/**
 * The audit log: one line of JSON for each signature that was made, asked for or refused. It says who,
 * with which key, over what; it never holds a secret.
 *
 * A line is one write to a file opened for appending, flushed before the signature is handed on: a
 * signature that cannot be logged is not used.
 */

import { open } from 'node:fs/promises';
import { UsageError } from '../core/errors.ts';

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
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
  try {
    const handle = await open(path, 'a', 0o600);
    try {
      const { bytesWritten } = await handle.write(bytes);
      if (bytesWritten !== bytes.length) throw new Error('the line was written in part only');
      await handle.sync().catch((error: NodeJS.ErrnoException) => {
        // Pipes and devices have nothing to flush.
        if (error.code !== 'EINVAL' && error.code !== 'ENOTSUP') throw error;
      });
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
