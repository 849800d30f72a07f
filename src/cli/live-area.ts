/** The lines at the bottom of a terminal that are drawn anew while something is under way; what is written meanwhile stands above. */

import { atAbruptEnd } from '../io/abrupt-end.ts';

/** A terminal as `process.stderr` is one. */
interface Screen {
  write(text: string): unknown;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
}

export interface LiveArea {
  /** Columns that a line can fill. */
  readonly columns: () => number;
  /** Draws these lines in place of the last ones; they may have colours. What is too long is cut, what is too much is counted. */
  show(lines: readonly string[]): void;
  /** Writes complete lines above. */
  above(write: () => void): void;
}

const COLUMNS = 80;
const ROWS = 24;

export function openLiveArea(screen: Screen): LiveArea {
  let shown: readonly string[] = [];
  let release = (): void => undefined;
  // One column less than there are: terminals differ in what they do behind the last one.
  const columns = (): number => Math.max(1, (screen.columns ?? COLUMNS) - 1);

  /** A terminal that was made narrower since has wrapped what is on it. */
  const height = (): number => {
    const width = screen.columns ?? COLUMNS;
    return shown.reduce((sum, line) => sum + Math.max(1, Math.ceil(widthOf(line) / width)), 0);
  };
  // The cursor stands below: what is typed, such as ^C, goes there.
  const erasure = (): string => (shown.length === 0 ? '' : `\u001B[${height()}A\r\u001B[J`);
  const drawing = (): string => shown.map((line) => `${line}\n`).join('');
  const draw = (lines: readonly string[]): void => {
    const erased = erasure();
    if (shown.length === 0 && lines.length > 0) {
      release = atAbruptEnd(() => screen.write(erasure()));
    }
    if (shown.length > 0 && lines.length === 0) release();
    shown = lines;
    const text = erased + drawing();
    if (text !== '') screen.write(text);
  };
  return {
    columns,
    show(lines) {
      const room = Math.max(1, (screen.rows ?? ROWS) - 2);
      const rest = lines.length - room;
      const fitting = rest > 0 ? [...lines.slice(0, room - 1), `and ${rest + 1} more`] : lines;
      draw(fitting.map((line) => cutTo(line, columns())));
    },
    above(write) {
      const kept = shown;
      draw([]);
      write();
      if (kept.length > 0) draw(kept);
    },
  };
}

const ESCAPE = String.raw`\u001B\[[0-9;]*m`;
const PARTS = new RegExp(`${ESCAPE}|[^]`, 'gu');
const NARROW = /^[\u0020-\u007E\u00A0-\u02FF\u2010-\u2027\u2800-\u28FF]$/;
const NOTHING = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
const WIDE =
  /^[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\u3000-\u303F\uFF01-\uFF60\uFFE0-\uFFE6]$/u;

/** Columns of one character, or of a sequence that sets a colour. */
const columnsOf = (part: string): number =>
  NARROW.test(part) ? 1 : part.length > 2 || NOTHING.test(part) ? 0 : WIDE.test(part) ? 2 : 1;

/** How many columns a text takes. */
export function widthOf(text: string): number {
  let width = 0;
  for (const [part] of text.matchAll(PARTS)) width += columnsOf(part);
  return width;
}

/** The beginning of a text that fits, with a mark where it is cut. */
export function cutTo(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  let cut = '';
  let width = 0;
  let coloured = false;
  for (const [part] of text.matchAll(PARTS)) {
    if (width + columnsOf(part) > columns - 1) break;
    cut += part;
    width += columnsOf(part);
    coloured ||= part.length > 1 && part.startsWith('\u001B');
  }
  return `${cut}…${coloured ? '\u001B[0m' : ''}`;
}
