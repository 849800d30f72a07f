/** A guest's bytes on stdout: as they are into a pipe, made harmless on a terminal. */

import { writeBytes } from './terminal.ts';

/** Control characters that only lay out text; others could do more to a terminal than be seen. */
const LAYOUT: ReadonlySet<string> = new Set(['\n', '\r', '\t']);

/** @returns what is given each chunk, and to be awaited before the next. */
export function guestOutput(): (chunk: Uint8Array) => Promise<void> {
  if (!process.stdout.isTTY) return (chunk) => writeBytes(chunk);
  const decoder = new TextDecoder();
  return (chunk) => writeBytes(Buffer.from(harmless(decoder.decode(chunk, { stream: true }))));
}

export const harmless = (text: string): string =>
  text.replaceAll(/\p{Cc}/gu, (each) => (LAYOUT.has(each) ? each : '\ufffd'));
