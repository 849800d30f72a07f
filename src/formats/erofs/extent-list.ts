/** Where the data of a file is: extents by the million, a few numbers each. */

/** Numbers of an extent: its length times two and one if it is plain, its blocks, the first of them. */
const NUMBERS = 3;

/** Compressed, or plain, data of consecutive bytes of a file. */
export class ExtentList {
  count = 0;
  /** Of all extents. */
  blocks = 0;
  /** Whether none is compressed. */
  isPlain = true;
  /** Of the next extent. */
  nextBlock: number;
  #numbers = new Uint32Array(16 * NUMBERS);

  constructor(firstBlock: number) {
    this.nextBlock = firstBlock;
  }

  /** Forgets all extents. */
  restart(firstBlock: number): void {
    this.count = 0;
    this.blocks = 0;
    this.isPlain = true;
    this.nextBlock = firstBlock;
  }

  /**
   * Adds an extent.
   *
   * @param length In the file, in bytes: less than 2^31.
   * @param blocks In the image, from `nextBlock` on.
   */
  add(length: number, blocks: number, isPlain: boolean): void {
    const at = this.count * NUMBERS;
    if (at === this.#numbers.length) {
      const grown = new Uint32Array(at * 2);
      grown.set(this.#numbers);
      this.#numbers = grown;
    }
    this.#numbers[at] = length * 2 + (isPlain ? 1 : 0);
    this.#numbers[at + 1] = blocks;
    this.#numbers[at + 2] = this.nextBlock;
    this.count += 1;
    this.blocks += blocks;
    this.nextBlock += blocks;
    this.isPlain &&= isPlain;
  }

  /** Two numbers of each: its length times two and one if it is plain, and its blocks. */
  toNumbers(): Uint32Array {
    const numbers = new Uint32Array(this.count * 2);
    for (let index = 0; index < this.count; index += 1) {
      numbers[index * 2] = this.#numbers[index * NUMBERS] ?? 0;
      numbers[index * 2 + 1] = this.blocksOf(index);
    }
    return numbers;
  }

  lengthOf(index: number): number {
    return (this.#numbers[index * NUMBERS] ?? 0) >>> 1;
  }
  isPlainAt(index: number): boolean {
    return ((this.#numbers[index * NUMBERS] ?? 0) & 1) === 1;
  }
  blocksOf(index: number): number {
    return this.#numbers[index * NUMBERS + 1] ?? 0;
  }
  firstBlockOf(index: number): number {
    return this.#numbers[index * NUMBERS + 2] ?? 0;
  }
}
