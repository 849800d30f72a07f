/** The lines in which two short texts differ. */

/** Longer texts would take too long to align; what is common at both ends is cut off first. */
const MAX_LINES = 400;
const MAX_SHOWN = 16;
const MAX_WIDTH = 160;

/** Tab, line feed, form feed, carriage return, escape: what texts have of control characters. */
const LAYOUT = new Set([9, 10, 12, 13, 27]);

/** Whether bytes are a text that can be shown: UTF-8 without control characters. */
export function asText(bytes: Uint8Array): string | undefined {
  if (bytes.some((byte) => byte < 0x20 && !LAYOUT.has(byte))) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** A long line from a little before the place where it begins to differ. */
function cut(line: string, from: number): string {
  if (line.length <= MAX_WIDTH) return line;
  const start = Math.max(0, Math.min(from - MAX_WIDTH / 4, line.length - MAX_WIDTH));
  const shown = line.slice(start, start + MAX_WIDTH);
  return start === 0 ? `${shown}…` : `${line.slice(0, 1)}…${shown}…`;
}

/** Where the first line of the one and the first of the other begin to differ, mark included. */
function differenceIn(lines: readonly string[]): number {
  const [x = '', y = ''] = ['-', '+'].map((mark) => lines.find((line) => line.startsWith(mark)));
  let at = 1;
  while (at < x.length && x[at] === y[at]) at += 1;
  return at;
}

/** Lines that only one has, with `-` or `+` before them, in the order in which they stand. */
export function diffLines(a: string, b: string): string[] {
  let [x, y] = [a.split('\n'), b.split('\n')];
  let start = 0;
  while (start < x.length && start < y.length && x[start] === y[start]) start += 1;
  let end = 0;
  while (
    end < x.length - start &&
    end < y.length - start &&
    x[x.length - 1 - end] === y[y.length - 1 - end]
  ) {
    end += 1;
  }
  x = x.slice(start, x.length - end);
  y = y.slice(start, y.length - end);
  const lines =
    x.length > MAX_LINES || y.length > MAX_LINES
      ? [
          ...x.slice(0, MAX_SHOWN).map((line) => `-${line}`),
          ...y.slice(0, MAX_SHOWN).map((line) => `+${line}`),
        ]
      : alignLines(x, y);
  const from = differenceIn(lines);
  const shown = lines.slice(0, MAX_SHOWN).map((line) => cut(line, from));
  const rest =
    (x.length > MAX_LINES || y.length > MAX_LINES ? x.length + y.length : lines.length) -
    shown.length;
  return rest > 0 ? [...shown, `  … ${rest} more lines`] : shown;
}

/** By the longest common subsequence. */
function alignLines(x: readonly string[], y: readonly string[]): string[] {
  const width = y.length + 1;
  const lengths = new Uint16Array((x.length + 1) * width);
  for (let i = x.length - 1; i >= 0; i -= 1) {
    for (let j = y.length - 1; j >= 0; j -= 1) {
      lengths[i * width + j] =
        x[i] === y[j]
          ? (lengths[(i + 1) * width + j + 1] ?? 0) + 1
          : Math.max(lengths[(i + 1) * width + j] ?? 0, lengths[i * width + j + 1] ?? 0);
    }
  }
  const lines: string[] = [];
  let [i, j] = [0, 0];
  while (i < x.length || j < y.length) {
    if (i < x.length && j < y.length && x[i] === y[j]) {
      i += 1;
      j += 1;
    } else if (
      j >= y.length ||
      (i < x.length && (lengths[(i + 1) * width + j] ?? 0) >= (lengths[i * width + j + 1] ?? 0))
    ) {
      lines.push(`-${x[i] ?? ''}`);
      i += 1;
    } else {
      lines.push(`+${y[j] ?? ''}`);
      j += 1;
    }
  }
  return lines;
}
