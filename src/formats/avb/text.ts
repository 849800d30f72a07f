/** Text fields of AVB: UTF-8 that must be valid, and NUL-padded fixed fields. */

import { FormatError } from '../../core/errors.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Decodes UTF-8 strictly; a NUL inside is refused, because C readers would stop there. */
export function decodeText(data: Uint8Array, field: string, offset: number): string {
  let text: string;
  try {
    text = utf8.decode(data);
  } catch (cause) {
    throw new FormatError('avb', 'bad-value', `Cannot read ${field}: it is not UTF-8`, {
      offset,
      field,
      cause,
    });
  }
  if (text.includes('\0')) {
    throw new FormatError('avb', 'bad-value', `Cannot read ${field}: it holds a NUL`, {
      offset,
      field,
    });
  }
  return text;
}

/** Decodes a fixed field that holds text, at least one NUL if `terminated`, and nothing but NULs behind the text. */
export function decodePaddedText(
  data: Uint8Array,
  field: string,
  offset: number,
  terminated: boolean,
): string {
  const end = data.indexOf(0);
  if (end === -1 && terminated) {
    throw new FormatError('avb', 'bad-value', `Cannot read ${field}: it has no final NUL`, {
      offset,
      field,
    });
  }
  const text = end === -1 ? data : data.subarray(0, end);
  requireZero(data.subarray(text.length), field, offset + text.length);
  return decodeText(text, field, offset);
}

/** Encodes text for a field of `size` bytes. */
export function encodePaddedText(
  text: string,
  field: string,
  size: number,
  terminated: boolean,
): Uint8Array {
  const data = encodeText(text, field);
  if (data.length > (terminated ? size - 1 : size)) {
    throw new RangeError(
      `Cannot store ${field} "${text}": at most ${terminated ? size - 1 : size} bytes fit`,
    );
  }
  return data;
}

/** Encodes text as UTF-8; a NUL is refused. */
export function encodeText(text: string, field: string): Uint8Array {
  if (text.includes('\0')) throw new RangeError(`Cannot store ${field}: it holds a NUL`);
  return new TextEncoder().encode(text);
}

/** Reserved and padding bytes must be zero, so that each value has one encoding. */
export function requireZero(data: Uint8Array, field: string, offset: number): void {
  const at = data.findIndex((byte) => byte !== 0);
  if (at === -1) return;
  throw new FormatError('avb', 'bad-value', `Cannot read ${field}: padding is not zero`, {
    offset: offset + at,
    field,
  });
}

/**
 * The same bytes without the methods of a Buffer, whose `slice` gives a view where others copy: what is
 * decoded must not change with its input, nor the input with it.
 */
export function plainBytes(data: Uint8Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.length);
}
