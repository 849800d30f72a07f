/** A command line as bash has it in COMP_LINE, cut into words as bash does it: quotes and backslashes, no more. */

/** @returns all words, the last of them being the one that is typed; empty behind a space. */
export function splitLine(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < line.length; at += 1) {
    const char = line[at] ?? '';
    const next = line[at + 1] ?? '';
    if (quote === "'" ? char === "'" : quote === '"' && char === '"') {
      quote = '';
    } else if (char === '\\' && quote === '') {
      word = (word ?? '') + next;
      at += 1;
    } else if (char === '\\' && quote === '"' && /["\\$`]/.test(next)) {
      word = (word ?? '') + next;
      at += 1;
    } else if (quote === '' && (char === "'" || char === '"')) {
      quote = char;
      word ??= '';
    } else if (quote === '' && /\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? '') + char;
    }
  }
  return [...words, word ?? ''];
}
