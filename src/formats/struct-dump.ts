/** A record as `inspect` shows it: every field by its specification's name, with its offset and size. */

import { toHex } from '../core/digest.ts';
import type { DumpField } from '../core/dump.ts';
import type { Field } from './struct.ts';

/** What a record's members decode to. */
type FieldValue = number | bigint | Uint8Array;

/**
 * The fields of a record that stands at `offset` of the file; byte fields are shown in hexadecimal.
 *
 * @param fields The declaration that the record's `struct` was made from.
 */
export function dumpFields<K extends string>(
  fields: Readonly<Record<K, Pick<Field<unknown>, 'size'>>>,
  values: Readonly<Record<K, FieldValue>>,
  offset: number,
): DumpField[] {
  let at = offset;
  return (Object.keys(fields) as K[]).map((name) => {
    const value: FieldValue = values[name];
    const { size } = fields[name];
    const shown = value instanceof Uint8Array ? toHex(value) : value;
    const field = { name, value: shown, offset: at, size };
    at += size;
    return field;
  });
}
