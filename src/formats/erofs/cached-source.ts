/** A source that keeps the pages it read last: inodes are 32 bytes, and a system call for each is slow. */

import type { ByteSource } from '../../io/byte-source.ts';

const PAGE = 1 << 16;

/** Small reads come from cached pages of 64 KiB, at most as many as told; large ones pass by. */
export function cachedSource(source: ByteSource, limit = 64): ByteSource {
  const pages = new Map<number, Promise<Uint8Array>>();

  const pageAt = (index: number): Promise<Uint8Array> => {
    const start = index * PAGE;
    const page = pages.get(index) ?? source.read(start, Math.min(PAGE, source.size - start));
    // The newest stand last.
    pages.delete(index);
    pages.set(index, page);
    if (pages.size > limit) pages.delete(pages.keys().next().value ?? index);
    return page;
  };

  return {
    name: source.name,
    size: source.size,
    async read(offset, length) {
      const first = Math.floor(offset / PAGE);
      const last = Math.floor((offset + length - 1) / PAGE);
      const inside = offset >= 0 && length > 0 && offset + length <= source.size;
      if (!inside || last - first > 1) return source.read(offset, length);
      const page = await pageAt(first);
      const at = offset - first * PAGE;
      if (first === last) return page.subarray(at, at + length);
      const joined = new Uint8Array(length);
      joined.set(page.subarray(at));
      joined.set((await pageAt(last)).subarray(0, length - (page.length - at)), page.length - at);
      return joined;
    },
    close: () => source.close(),
  };
}
