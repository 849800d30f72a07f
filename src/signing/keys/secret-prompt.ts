/** Asks a person for a secret, on the terminal of the process, without showing what is typed. */

import { closeSync, openSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { UsageError } from '../../core/errors.ts';

const BACKSPACE: ReadonlySet<number> = new Set([0x08, 0x7f]);
const [CTRL_C, CTRL_D, CTRL_U, LINE_FEED, RETURN] = [0x03, 0x04, 0x15, 0x0a, 0x0d];

/** A signal that is caught is told a moment later, in milliseconds; nobody may have caught it. */
const SIGNAL_DELAY = 500;

/** Questions are asked one after the other, also when several keys are opened at once. */
let turn: Promise<unknown> = Promise.resolve();

/**
 * @param what What is asked for: `pass phrase of key.pem`.
 * @returns UTF-8. The caller overwrites it after use.
 * @throws {UsageError} `key` when there is no terminal, or nothing was typed.
 */
export function promptForSecret(what: string, signal?: AbortSignal): Promise<Buffer> {
  const answer = turn.then(() => ask(what, signal));
  turn = answer.catch(() => undefined);
  return answer;
}

function openTerminal(what: string): number {
  try {
    // Not standard input: it may be a file, and the question still has somebody to answer it.
    return openSync('/dev/tty', 'r+');
  } catch (cause) {
    throw new UsageError('key', `Cannot ask for the ${what}: there is no terminal`, {
      cause,
      hint: 'Where nobody can answer, say where it is: env:NAME, file:PATH or stdin',
    });
  }
}

async function ask(what: string, signal: AbortSignal | undefined): Promise<Buffer> {
  signal?.throwIfAborted();
  const output = openTerminal(what);
  const input = new ReadStream(openTerminal(what));
  const restore = (): void => void input.setRawMode(false);
  // Also when the process ends in the middle of the question.
  process.once('exit', restore);
  try {
    input.setRawMode(true);
    // Only characters that do nothing: the name of a file may hold others.
    writeSync(output, `${what.replaceAll(/\p{Cc}/gu, '?')}: `);
    const typed = await readTyped(input, signal);
    if (typed.length > 0) return typed;
  } finally {
    restore();
    process.off('exit', restore);
    input.destroy();
    writeSync(output, '\n');
    closeSync(output);
  }
  throw new UsageError('key', `Cannot use key: no ${what} was given`);
}

/** What is typed until Return. */
function readTyped(input: ReadStream, signal: AbortSignal | undefined): Promise<Buffer> {
  const typed = Buffer.alloc(4096);
  let size = 0;
  const taken = (): Buffer => {
    const answer = Buffer.from(typed.subarray(0, size));
    typed.fill(0);
    return answer;
  };
  return new Promise((resolve, reject) => {
    const interrupted = (): void => {
      typed.fill(0);
      reject(new DOMException('The question was interrupted', 'AbortError'));
    };
    signal?.addEventListener('abort', interrupted, { once: true });
    const settle = (work: () => void): void => {
      signal?.removeEventListener('abort', interrupted);
      work();
    };
    input.on('error', (error) => settle(() => reject(error)));
    input.on('end', () => settle(() => resolve(taken())));
    input.on('data', (chunk: Buffer) => {
      for (const byte of chunk) {
        if (byte === RETURN || byte === LINE_FEED || byte === CTRL_D) {
          settle(() => resolve(taken()));
          break;
        }
        if (byte === CTRL_C) {
          // The terminal sends no signal in this mode: whoever waits for one, waits for this.
          process.kill(process.pid, 'SIGINT');
          setTimeout(() => settle(interrupted), SIGNAL_DELAY).unref();
          break;
        }
        if (BACKSPACE.has(byte)) size = beforeLast(typed, size);
        else if (byte === CTRL_U) size = 0;
        else if (size < typed.length) typed[size++] = byte;
      }
      chunk.fill(0);
    });
  });
}

/** Where the last character of UTF-8 begins. */
function beforeLast(typed: Buffer, size: number): number {
  let at = Math.max(0, size - 1);
  while (at > 0 && ((typed[at] ?? 0) & 0xc0) === 0x80) at -= 1;
  return at;
}
