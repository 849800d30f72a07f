/** The one place that writes to the terminal: results to stdout, everything else to stderr. */

import { styleText } from 'node:util';
import { EXIT } from './exit-code.ts';
import { openLiveArea, type LiveArea } from './live-area.ts';

type Style = Parameters<typeof styleText>[0];

export interface Terminal {
  /** Whether progress may redraw lines. */
  readonly interactive: boolean;
  /** Where it does, if it may. */
  readonly live?: LiveArea;
  out(text: string): void;
  err(text: string): void;
  /** Colours text for stdout or stderr, or leaves it as it is. */
  style(style: Style, text: string): string;
}

/** @param env NO_COLOR turns colours off, TERM=dumb redrawing, too; CI redrawing only: its logs are read as lines. */
export function openTerminal(env: NodeJS.ProcessEnv): Terminal {
  const isTerminal = process.stderr.isTTY && process.stdout.isTTY && env['TERM'] !== 'dumb';
  const interactive = isTerminal && !isCi(env);
  const coloured = isTerminal && (env['NO_COLOR'] ?? '') === '';
  const live = openLiveArea(process.stderr);
  process.stdout.on('error', endWithReader);
  process.stderr.on('error', () => undefined);
  const write = (stream: NodeJS.WriteStream, text: string): void =>
    live.above(() => stream.write(`${text}\n`));
  return {
    interactive,
    ...(interactive && { live }),
    out: (text) => write(process.stdout, text),
    err: (text) => write(process.stderr, text),
    style: (style, text) => (coloured ? styleText(style, text, { validateStream: false }) : text),
  };
}

/** Pipelines say that they are one. */
export const isCi = ({ CI }: NodeJS.ProcessEnv): boolean => !['', '0', 'false'].includes(CI ?? '');

/** Who reads the results has left, as `head` does: there is nothing more to say to anybody. */
function endWithReader(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
  process.exit(EXIT.brokenPipe);
}

/** Writes bytes to stdout as they are, no faster than they are taken. */
export function writeBytes(bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(bytes, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

/** Bytes for people: `1.2 MiB`. */
export function formatSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = -1;
  do {
    value /= 1024;
    unit++;
  } while (value >= 1024 && unit < units.length - 1);
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

/** Milliseconds for people: `340 ms`, `1.2 s`. */
export function formatTime(milliseconds: number): string {
  return milliseconds < 1000
    ? `${Math.round(milliseconds)} ms`
    : `${(milliseconds / 1000).toFixed(1)} s`;
}

/** A stretch of time for people: `42 s`, `3 min`, `2 h 5 min`, `4 d 7 h`. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A name that came from somebody else's bytes, without control characters that a terminal would obey. */
export function printable(text: string): string {
  return text.replaceAll(
    /\p{Cc}/gu,
    (each) => `\\x${each.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
