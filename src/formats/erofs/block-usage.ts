/** Who uses which bytes of an image: what must not be used twice, and what nobody uses. */

/** A growing set of numbers that come in runs; memory grows with what is in it, 32768 at a time. */
export interface BitSet {
  has(bit: number): boolean;
  /** Adds `[first, first + count)`. @returns the first that was there already. */
  add(first: number, count: number): number | undefined;
}

const PAGE_BITS = 1 << 15;

export function createBitSet(): BitSet {
  const pages = new Map<number, Uint8Array>();
  const has = (bit: number): boolean => {
    const page = pages.get(Math.floor(bit / PAGE_BITS));
    const at = bit % PAGE_BITS;
    return page !== undefined && ((page[at >> 3] ?? 0) & (1 << (at & 7))) !== 0;
  };
  return {
    has,
    add(first, count) {
      let twice: number | undefined;
      for (let bit = first; bit < first + count;) {
        const number = Math.floor(bit / PAGE_BITS);
        const page = pages.get(number) ?? new Uint8Array(PAGE_BITS / 8);
        pages.set(number, page);
        const end = Math.min(first + count, (number + 1) * PAGE_BITS);
        for (; bit < end; bit += 1) {
          const at = bit % PAGE_BITS;
          const byte = page[at >> 3] ?? 0;
          if ((byte & (1 << (at & 7))) !== 0) twice ??= bit;
          page[at >> 3] = byte | (1 << (at & 7));
        }
      }
      return twice;
    },
  };
}

export interface BlockUsage {
  /**
   * Claims bytes for metadata: inodes, attributes, indexes, inline data.
   *
   * @returns the offset of the first byte that something else has claimed.
   */
  claimMetadata(offset: number, size: number): number | undefined;
  /**
   * Claims the blocks of data.
   *
   * @param isShareable Whether other shareable data may use them, too.
   * @returns as `claimMetadata`.
   */
  claimData(offset: number, size: number, isShareable: boolean): number | undefined;
  /** Whether the byte is in a block of data. */
  isData(offset: number): boolean;
  /** Whether metadata is at the byte, or within three bytes of it. */
  isMetadata(offset: number): boolean;
}

/** All metadata starts at multiples of this. */
const UNIT = 4;

export function createBlockUsage(blockSize: number): BlockUsage {
  const metadata = createBitSet();
  const metadataBlocks = createBitSet();
  const own = createBitSet();
  const shareable = createBitSet();

  /** The offset of the first block of a run that one of `sets` has. */
  const firstIn = (first: number, count: number, sets: readonly BitSet[]): number | undefined => {
    for (let block = first; block < first + count; block += 1) {
      if (sets.some((set) => set.has(block))) return block * blockSize;
    }
    return undefined;
  };
  const runOf = (offset: number, size: number, unit: number): [first: number, count: number] => {
    const first = Math.floor(offset / unit);
    return [first, Math.ceil((offset + size) / unit) - first];
  };

  return {
    claimMetadata(offset, size) {
      const twice = metadata.add(...runOf(offset, size, UNIT));
      const blocks = runOf(offset, size, blockSize);
      metadataBlocks.add(...blocks);
      return twice === undefined ? firstIn(...blocks, [own, shareable]) : twice * UNIT;
    },
    claimData(offset, size, isShareable) {
      const blocks = runOf(offset, size, blockSize);
      const other = firstIn(
        ...blocks,
        isShareable ? [own, metadataBlocks] : [metadataBlocks, shareable],
      );
      const twice = (isShareable ? shareable : own).add(...blocks);
      if (other !== undefined || isShareable || twice === undefined) return other;
      return twice * blockSize;
    },
    isData(offset) {
      const block = Math.floor(offset / blockSize);
      return own.has(block) || shareable.has(block);
    },
    isMetadata: (offset) => metadata.has(Math.floor(offset / UNIT)),
  };
}
