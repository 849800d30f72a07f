/** Exact reads from a stream that arrives in any chunks, with back-pressure. */

import type { Duplex } from 'node:stream';
import { RpcSessionError } from './errors.ts';

/** More than this waiting to be read pauses the stream: one largest frame and some. */
const HIGH_WATER = 1 << 20;

interface Waiter {
  readonly size: number;
  resolve(bytes: Uint8Array): void;
  reject(error: Error): void;
}

/** Reads `stream` for one reader at a time. It listens for the stream's end from the moment it is made. */
export class ByteReader {
  readonly #stream: Duplex;
  readonly #chunks: Uint8Array[] = [];
  #buffered = 0;
  #waiter: Waiter | undefined;
  #end: RpcSessionError | undefined;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on('data', (chunk: Uint8Array) => this.#push(chunk));
    stream.on('end', () => this.#finish('The peer closed the connection'));
    stream.on('close', () => this.#finish('The connection is closed'));
    stream.on('error', (cause: Error) =>
      this.#finish(`The connection broke: ${cause.message}`, cause),
    );
  }

  /**
   * The next `size` bytes. Bytes that came before the end of the stream are still given out.
   *
   * @throws {RpcSessionError} `rpc-closed` when the stream ends first.
   */
  read(size: number): Promise<Uint8Array> {
    if (this.#waiter !== undefined) throw new TypeError('A ByteReader has one reader at a time');
    if (size <= this.#buffered) return Promise.resolve(this.#take(size));
    if (this.#end !== undefined) return Promise.reject(this.#end);
    this.#stream.resume();
    return new Promise((resolve, reject) => {
      this.#waiter = { size, resolve, reject };
    });
  }

  #push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    const waiter = this.#waiter;
    if (waiter !== undefined && waiter.size <= this.#buffered) {
      this.#waiter = undefined;
      waiter.resolve(this.#take(waiter.size));
    }
    if (this.#waiter === undefined && this.#buffered > HIGH_WATER) this.#stream.pause();
  }

  #finish(message: string, cause?: Error): void {
    this.#end ??= new RpcSessionError('rpc-closed', message, { cause });
    this.#waiter?.reject(this.#end);
    this.#waiter = undefined;
  }

  #take(size: number): Uint8Array {
    const out = new Uint8Array(size);
    let at = 0;
    while (at < size) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) throw new TypeError('unreachable: fewer bytes than counted');
      const part = chunk.subarray(0, size - at);
      out.set(part, at);
      at += part.length;
      if (part.length === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(part.length);
    }
    this.#buffered -= size;
    if (this.#buffered <= HIGH_WATER) this.#stream.resume();
    return out;
  }
}
