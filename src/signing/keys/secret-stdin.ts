/** Secrets from standard input, one a line. */

import { UsageError } from '../../core/errors.ts';

/** What was read of standard input and is not asked for yet: it can be read once only. */
let rest: Buffer = Buffer.alloc(0);
let ended = false;
/** Lines are given in the order in which they were asked for. */
let turn: Promise<unknown> = Promise.resolve();

/**
 * The next line of standard input.
 *
 * @throws {UsageError} `key` when there is none, or it is longer than `maxSize` bytes.
 */
export function readSecretLine(
  what: string,
  maxSize: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const line = turn.then(() => nextLine(what, maxSize, signal));
  turn = line.catch(() => undefined);
  return line;
}

async function nextLine(
  what: string,
  maxSize: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  let end = rest.indexOf(0x0a);
  while (end === -1 && !ended && rest.length <= maxSize) {
    const chunk = await nextChunk(signal);
    const before = rest;
    rest = chunk === undefined ? before : Buffer.concat([before, chunk]);
    if (chunk === undefined) ended = true;
    else [before, chunk].forEach((each) => each.fill(0));
    end = rest.indexOf(0x0a);
  }
  if (end === -1 && rest.length === 0) {
    throw new UsageError('key', `Cannot read the ${what}: standard input has no line for it`, {
      hint: 'Give one line for each secret that is asked for',
    });
  }
  const size = end === -1 ? rest.length : end;
  if (size > maxSize) {
    throw new UsageError('key', `Cannot read the ${what}: its line has more than ${maxSize} bytes`);
  }
  const line = Buffer.from(rest.subarray(0, rest[size - 1] === 0x0d ? size - 1 : size));
  rest.fill(0, 0, size);
  rest = rest.subarray(Math.min(rest.length, size + 1));
  return line;
}

/** What arrives next; undefined at the end. Standard input is let go of, so that nobody waits for it. */
function nextChunk(signal: AbortSignal | undefined): Promise<Buffer | undefined> {
  const { stdin } = process;
  return new Promise((resolve, reject) => {
    const settle = (work: () => void): void => {
      stdin.pause();
      stdin.off('data', onData).off('end', onEnd).off('error', onError);
      signal?.removeEventListener('abort', onAbort);
      stdin.unref?.();
      work();
    };
    const onData = (chunk: Buffer): void => settle(() => resolve(chunk));
    const onEnd = (): void => settle(() => resolve(undefined));
    const onError = (error: Error): void => settle(() => reject(error));
    const onAbort = (): void => settle(() => reject(signal?.reason as Error));
    if (signal?.aborted === true) return onAbort();
    if (stdin.readableEnded || stdin.destroyed) return onEnd();
    signal?.addEventListener('abort', onAbort);
    stdin.ref?.();
    stdin.on('data', onData).on('end', onEnd).on('error', onError).resume();
  });
}
