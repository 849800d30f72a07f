/** A terminal that is only remembered: what stands on it after all that was written. */

export interface TestScreen {
  columns: number;
  readonly rows: number;
  write(text: string): void;
  /** Makes it narrower: what is longer is wrapped. */
  narrow(columns: number): void;
  /** What stands there, without the empty end. */
  lines(): string[];
}

const SEQUENCE = /^\u001B\[\??([\d;]*)([A-Za-z])/; // eslint-disable-line no-control-regex

export function openScreen(columns: number, rows: number): TestScreen {
  let cells: string[][] = [[]];
  let x = 0;
  let y = 0;
  const row = (): string[] => (cells[y] ??= []);
  const put = (char: string): void => {
    if (x >= screen.columns) {
      x = 0;
      y += 1;
    }
    row()[x] = char;
    x += 1;
  };
  const screen: TestScreen = {
    columns,
    rows,
    write(text) {
      for (let at = 0; at < text.length;) {
        const [sequence, count = '', letter] = SEQUENCE.exec(text.slice(at)) ?? [];
        if (sequence !== undefined) {
          at += sequence.length;
          if (letter === 'A') y = Math.max(0, y - Number(count === '' ? 1 : count));
          if (letter === 'J') cells = [...cells.slice(0, y), row().slice(0, x)];
          continue;
        }
        const char = String.fromCodePoint(text.codePointAt(at) ?? 0);
        at += char.length;
        if (char === '\r') x = 0;
        else if (char === '\n') {
          x = 0;
          y += 1;
          row();
        } else put(char);
      }
    },
    narrow(width) {
      screen.columns = width;
      const wrapped = cells.flatMap((line) => {
        const parts: string[][] = [];
        for (let at = 0; at === 0 || at < line.length; at += width) {
          parts.push(line.slice(at, at + width));
        }
        return parts;
      });
      y += wrapped.length - cells.length;
      cells = wrapped;
    },
    lines() {
      const lines = cells.map((line) =>
        Array.from(line, (char) => char ?? ' ')
          .join('')
          .trimEnd(),
      );
      while (lines.at(-1) === '') lines.pop();
      return lines;
    },
  };
  return screen;
}
