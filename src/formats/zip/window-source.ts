/**
 * Small reads in nearly ascending order, as of local headers, served from larger ones: a call of the
 * system for each of 60,000 headers takes longer than reading all that is between them.
 */

import type { ByteSource } from '../../io/byte-source.ts';

/** What is read beyond what was asked for, where nothing else is known. */
const MIN_WINDOW = 4 << 10;
/** Reading this much takes about as long as the call for it. */
const MAX_WINDOW = 256 << 10;
/** Up to this, what lies between two reads costs less than a call. */
const MAX_GAP = 64 << 10;

/**
 * The same bytes. The window grows while reads go on near its end, and shrinks when they jump: entries
 * that are large are not read for their headers.
 *
 * What `read` returns is valid as long as anything: windows are not used again.
 */
export function windowSource(source: ByteSource): ByteSource {
  let window: Uint8Array = new Uint8Array(0);
  let start = 0;
  let wanted = MIN_WINDOW;
  return {
    name: source.name,
    size: source.size,
    async read(offset, length) {
      const from = offset - start;
      if (from >= 0 && from + length <= window.length) return window.subarray(from, from + length);
      const gap = offset - (start + window.length);
      const isNear = gap >= -window.length && gap <= MAX_GAP;
      wanted = isNear
        ? Math.min(wanted * 2, MAX_WINDOW)
        : Math.max(Math.floor(wanted / 2), MIN_WINDOW);
      // Ranges that are not in the source are for the source to refuse.
      if (length >= wanted || offset < 0 || length < 0 || offset + length > source.size) {
        return source.read(offset, length);
      }
      window = await source.read(offset, Math.min(wanted, source.size - offset));
      start = offset;
      return window.subarray(0, length);
    },
    close: () => Promise.resolve(),
  };
}
