/** A command as a person would type it, for `--print-cmd`. */

/** Quotes each word for a POSIX shell where it must be. */
export function formatCommand(argv: readonly string[]): string {
  return argv
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}
