/** Bits from the lowest of the first byte on, as DEFLATE and Zstandard write them. */

export class BitWriter {
  #out: Uint8Array;
  #at = 0;
  #bits = 0;
  #count = 0;

  /** @param room How many bytes are expected; more make it grow. */
  constructor(room: number) {
    this.#out = new Uint8Array(room);
  }

  /** @param count 0 to 24; `value` has no more bits. */
  put(value: number, count: number): void {
    // At most 7 bits are left over: all of them fit 32.
    this.#bits |= value << this.#count;
    this.#count += count;
    while (this.#count >= 8) this.#flushByte();
  }

  /** What was written, its last byte filled with zeros. */
  finish(): Uint8Array {
    if (this.#count > 0) this.#flushByte();
    this.#count = 0;
    return this.#out.subarray(0, this.#at);
  }

  #flushByte(): void {
    if (this.#at === this.#out.length) {
      const grown = new Uint8Array(this.#out.length * 2 + 64);
      grown.set(this.#out);
      this.#out = grown;
    }
    this.#out[this.#at++] = this.#bits & 0xff;
    this.#bits >>>= 8;
    this.#count -= 8;
  }
}
