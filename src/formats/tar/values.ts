/**
 * How numbers and texts stand in the fields of a tar header.
 *
 * @see POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar, "Extensions to tar: base-256"
 */

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of bytes, or undefined when they are not UTF-8. */
export function decodeUtf8(data: Uint8Array): string | undefined {
  try {
    return utf8.decode(data);
  } catch {
    return undefined;
  }
}

/** Text up to its NUL. */
export function textOf(field: Uint8Array): Uint8Array {
  const end = field.indexOf(0);
  return end === -1 ? field : field.subarray(0, end);
}

/** A number field: octal text, or GNU's base-256 for what octal cannot hold. Not negative, at most 2^53. */
export function decodeNumber(field: Uint8Array): number | undefined {
  const first = field[0] ?? 0;
  if (first === 0x80) {
    const value = BigInt(`0x${Buffer.from(field.subarray(1)).toString('hex')}`);
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
  }
  const match = /^ *([0-7]*)[ \0]*$/.exec(Buffer.from(field).toString('latin1'));
  if (match === null) return undefined;
  return match[1] === '' ? 0 : Number.parseInt(match[1] ?? '', 8);
}

/** A time, in whole seconds since 1970. GNU tar writes earlier ones in base-256: they become 0. */
export function decodeTime(field: Uint8Array): number | undefined {
  return field[0] === 0xff ? 0 : decodeNumber(field);
}
