/** What `microbuild verify` can be pointed at: told by the bytes, each kind in a file of its own. */

import { stat } from 'node:fs/promises';
import type { Options } from 'yargs';
import { UsageError } from '../../../core/errors.ts';
import { openFileSource, type ByteSource } from '../../../io/byte-source.ts';
import type { CommandArguments, CommandContext, CommandResult } from '../../command.ts';
import { reasonOf } from '../../../io/system-error.ts';

/** One kind of thing that can be verified. */
export interface VerifyKind {
  /** How errors call it: `an APK`. */
  readonly title: string;
  /** The options that mean something for it, besides `--as`; others are refused. */
  readonly options: readonly string[];
  /** Whether a file is of this kind, by its bytes. Absent for folders. */
  readonly matches?: (probe: Probe) => boolean;
  /** The code that verifies, loaded when it is needed. */
  load(): Promise<VerifyTarget>;
}

/** Verifies what `path` names. Its result says everything that was checked, and has the exit code. */
export type VerifyTarget = (
  path: string,
  args: CommandArguments,
  context: CommandContext,
) => Promise<CommandResult>;

/** The bytes that tell kinds apart. Short files have short ends. */
export interface Probe {
  readonly size: number;
  /** The first 4096 bytes. */
  readonly head: Uint8Array;
  /** The last 4096 bytes. */
  readonly tail: Uint8Array;
}

const PROBE_SIZE = 4096;

async function probe(source: ByteSource): Promise<Probe> {
  const length = Math.min(PROBE_SIZE, source.size);
  return {
    size: source.size,
    head: await source.read(0, length),
    tail: await source.read(source.size - length, length),
  };
}

/** Whether `bytes` hold this ASCII text at `offset`; a negative one counts from the end. */
export function hasText(bytes: Uint8Array, text: string, offset = 0): boolean {
  const at = offset < 0 ? bytes.length + offset : offset;
  return at >= 0 && Buffer.from(bytes.subarray(at, at + text.length)).equals(Buffer.from(text));
}

/**
 * The kind of what stands at `path`.
 *
 * @throws {UsageError} `input` when there is nothing, or nothing that is known.
 */
export async function detectKind<N extends string>(
  path: string,
  kinds: Readonly<Record<N, VerifyKind>>,
  folder: N,
): Promise<N> {
  const stats = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError('input', `Cannot verify ${path}: ${reasonOf(cause)}`, {
      cause,
    });
  });
  if (stats.isDirectory()) return folder;
  const source = await openFileSource(path);
  try {
    const bytes = await probe(source);
    const entries = Object.entries(kinds) as [N, VerifyKind][];
    const found = entries.find(([, { matches }]) => matches?.(bytes) === true);
    if (found !== undefined) return found[0];
  } finally {
    await source.close();
  }
  const known = Object.values<VerifyKind>(kinds).map(({ title }) => title);
  throw new UsageError('input', `Cannot verify ${path}: its format is not known`, {
    hint: `Known are ${known.join(', ')}; or say what it is with --as`,
  });
}

/**
 * Options that were given and mean nothing for this kind would leave somebody in the belief that they
 * were checked.
 *
 * @throws {UsageError} `usage` naming the first.
 */
export function refuseForeignOptions(
  args: CommandArguments,
  kind: VerifyKind,
  all: Readonly<Record<string, Options>>,
): void {
  for (const name of Object.keys(all)) {
    if (name === 'as' || kind.options.includes(name)) continue;
    // Whatever its type: only whether there is one counts.
    if (args.optionalText(name) === undefined) continue;
    throw new UsageError('usage', `--${name} means nothing for ${kind.title}`);
  }
}
