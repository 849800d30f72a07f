/**
 * Deflate data without any wrapping, whose decompressed size the caller knows.
 *
 * @see RFC 1951
 */

import { constants, inflateRawSync } from 'node:zlib';
import { FormatError } from '../core/errors.ts';

/** The most that one byte of input can stand for: 258 bytes in two bits, and a little. */
const MAX_RATIO = 1032;

const refuse = (code: 'bad-value' | 'too-large', why: string, cause?: unknown): Error =>
  new FormatError('deflate', code, `Cannot inflate: ${why}`, { cause });

/**
 * Decodes the first `length` bytes of a stream.
 *
 * @param isExact Whether stream and input must end with them.
 * @param limit The most that is decoded to get them, in bytes.
 * @throws {FormatError} when the stream is damaged, holds less or more than `limit`.
 */
export function inflateRawPrefix(
  input: Uint8Array,
  length: number,
  isExact = false,
  limit = Math.max(length, 16 << 20),
): Uint8Array {
  if (length === 0) return new Uint8Array(0);
  if (length > input.length * MAX_RATIO) {
    throw refuse('too-large', `${length} bytes cannot come from ${input.length}`);
  }
  const { data, used } = inflateUpTo(input, length) ??
    (isExact ? undefined : inflateUpTo(input, limit)) ?? { data: undefined, used: 0 };
  if (data === undefined) {
    throw refuse('too-large', `a stream holds more than ${isExact ? length : limit} bytes`);
  }
  if (data.length < length) {
    throw refuse('bad-value', `a stream holds ${data.length} of ${length} bytes`);
  }
  if (isExact && used !== input.length) {
    throw refuse('bad-value', `${input.length - used} bytes follow a stream`);
  }
  return new Uint8Array(data.buffer, data.byteOffset, length);
}

/** A whole stream, or undefined when it holds more than `limit`. */
function inflateUpTo(
  input: Uint8Array,
  limit: number,
): { data: Uint8Array; used: number } | undefined {
  try {
    const options = {
      maxOutputLength: limit,
      chunkSize: Math.max(limit > 1 << 20 ? 1 << 20 : limit, constants.Z_MIN_CHUNK),
      info: true,
    };
    // With `info`, which the types do not know, the counts come along.
    const result = inflateRawSync(input, options) as unknown as {
      readonly buffer: Uint8Array;
      readonly engine: { readonly bytesWritten: number };
    };
    return { data: result.buffer, used: result.engine.bytesWritten };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw refuse('bad-value', error instanceof Error ? error.message : String(error), error);
  }
}
