/** Takes the parts of one AVB descriptor in order, never beyond the descriptor's own end. */

import { FormatError } from '../../core/errors.ts';
import { decodeText, requireZero } from './text.ts';

export class DescriptorReader {
  readonly #data: Uint8Array;
  readonly #offset: number;
  readonly #name: string;
  #at = 0;

  /** @param offset Where `data` stands in the input, for errors. */
  constructor(name: string, data: Uint8Array, offset: number) {
    this.#name = name;
    this.#data = data;
    this.#offset = offset;
  }

  get offset(): number {
    return this.#offset + this.#at;
  }

  fixed<V>(record: {
    readonly name: string;
    readonly size: number;
    decode(data: Uint8Array): V;
  }): V {
    return record.decode(this.#take(record.size, record.name));
  }

  bytes(length: number | bigint, field: string): Uint8Array {
    return this.#take(length, field).slice();
  }

  text(length: number | bigint, field: string): string {
    const at = this.offset;
    return decodeText(this.#take(length, field), `${this.#name}.${field}`, at);
  }

  nul(field: string): void {
    const at = this.offset;
    requireZero(this.#take(1, field), `${this.#name}.${field}`, at);
  }

  /** What is left must be the zeros that align the next descriptor. */
  end(): void {
    const rest = this.#data.subarray(this.#at);
    if (rest.length >= 8) {
      throw new FormatError(
        'avb',
        'trailing-data',
        `Cannot read ${this.#name}: ${rest.length} bytes follow its last field`,
        { offset: this.offset },
      );
    }
    requireZero(rest, `${this.#name}.padding`, this.offset);
  }

  #take(length: number | bigint, field: string): Uint8Array {
    const left = this.#data.length - this.#at;
    if (length > left) {
      throw new FormatError(
        'avb',
        'truncated',
        `Cannot read ${this.#name}: ${field} is ${length} bytes, ${left} are left`,
        { offset: this.offset, field: `${this.#name}.${field}` },
      );
    }
    const taken = this.#data.subarray(this.#at, this.#at + Number(length));
    this.#at += taken.length;
    return taken;
  }
}
