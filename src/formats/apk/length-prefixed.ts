/** Values behind their u32 length, nested: how APK signatures are written. */

import { FormatError, type FormatErrorCode } from '../../core/errors.ts';

export const apkError = (
  code: FormatErrorCode,
  message: string,
  where: { offset?: number; field?: string; cause?: unknown } = {},
): FormatError => new FormatError('apk', code, message, where);

export function u32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value, true);
  return out;
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The length of the parts together, then the parts. */
export const prefixed = (...parts: readonly Uint8Array[]): Uint8Array => {
  const value = concat(parts);
  return concat([u32(value.length), value]);
};

/** Reads one value after the other; every read is checked against what is left. */
export interface Cursor {
  /** Bytes that are left. */
  readonly left: number;
  /** Where in the file the next byte stands. */
  readonly offset: number;
  u8(field: string): number;
  u32(field: string): number;
  bytes(length: number, field: string): Uint8Array;
  /** A length and that many bytes. */
  prefixed(field: string): Uint8Array;
  /** The same, to be read further. */
  nested(field: string): Cursor;
  /** The rest. */
  rest(): Uint8Array;
  /** @throws {FormatError} `trailing-data` when something is left. */
  end(field: string): void;
}

/** @param base Where `data` stands in the file, for errors. */
export function cursor(data: Uint8Array, base = 0): Cursor {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  let at = 0;
  const take = (length: number, field: string): number => {
    if (length > data.length - at) {
      throw apkError(
        'truncated',
        `Cannot read ${field}: it takes ${length} bytes, ${data.length - at} are left`,
        { offset: base + at, field },
      );
    }
    const start = at;
    at += length;
    return start;
  };
  const self: Cursor = {
    get left() {
      return data.length - at;
    },
    get offset() {
      return base + at;
    },
    u8: (field) => view.getUint8(take(1, field)),
    u32: (field) => view.getUint32(take(4, field), true),
    bytes(length, field) {
      const start = take(length, field);
      return data.subarray(start, start + length);
    },
    prefixed(field) {
      return self.bytes(self.u32(`length of ${field}`), field);
    },
    nested(field) {
      const value = self.prefixed(field);
      return cursor(value, base + at - value.length);
    },
    rest() {
      return self.bytes(data.length - at, 'rest');
    },
    end(field) {
      if (at !== data.length) {
        throw apkError('trailing-data', `${data.length - at} bytes follow ${field}`, {
          offset: base + at,
          field,
        });
      }
    },
  };
  return self;
}

/** Reads length-prefixed elements until nothing is left; more than `limit` are refused. */
export function readSequence<T>(
  from: Cursor,
  field: string,
  limit: number,
  read: (element: Cursor) => T,
): readonly T[] {
  const values: T[] = [];
  while (from.left > 0) {
    if (values.length === limit) {
      throw apkError('too-large', `More than ${limit} ${field} elements`, {
        offset: from.offset,
        field,
      });
    }
    values.push(read(from.nested(field)));
  }
  return values;
}
