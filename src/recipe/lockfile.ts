/**
 * `microbuild.lock`: every input that is not part of the recipe's folder, pinned by its digest.
 *
 * A deb is found again by the path below its repository, so that a locked build reads no package
 * index and any mirror of the repository serves it.
 */

import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { UsageError } from '../core/errors.ts';

const lockedDeb = z.strictObject({
  package: z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/),
  version: z.string().regex(/^[A-Za-z0-9.+:~-]+$/),
  architecture: z.string().regex(/^[a-z0-9-]+$/),
  path: z
    .string()
    .regex(/^[A-Za-z0-9.+:~_%-]+(?:\/[A-Za-z0-9.+:~_%-]+)*\.deb$/)
    .refine((path) => !path.split('/').includes('..')),
  size: z
    .int()
    .min(1)
    .max(1 << 30),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

const lockSchema = z.strictObject({
  version: z.literal(1),
  debs: z.record(z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/), lockedDeb),
});

/** One pinned package. The key in the lock is the name the recipe uses; `package` is what it led to. */
export type LockedDeb = z.output<typeof lockedDeb>;
export type Lock = z.output<typeof lockSchema>;

/** The name of the lock file, beside the recipe. */
export const LOCK_FILE = 'microbuild.lock';

/**
 * Parses a lock file.
 *
 * @throws {UsageError} `lock` when it is not one.
 */
export function parseLock(text: string, file: string): Lock {
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0, prettyErrors: true });
  } catch (cause) {
    throw new UsageError('lock', `Cannot read ${file}: it is not YAML`, { cause });
  }
  const parsed = lockSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new UsageError(
    'lock',
    `Cannot read ${file}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not a lock file'}`,
    { hint: 'Write it anew with microbuild lock RECIPE --update' },
  );
}

/** The text of a lock file: sorted, so that equal locks are equal bytes. */
export function formatLock(lock: Lock): string {
  const debs = Object.fromEntries(
    Object.entries(lock.debs).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
  );
  return `# Written by microbuild lock: every input of the recipe by version and digest. Keep it in git.\n${stringify({ version: lock.version, debs }, { lineWidth: 0 })}`;
}
