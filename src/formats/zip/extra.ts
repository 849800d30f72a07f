/** Extra fields: a sequence of (u16 id, u16 size, data), and Android's one for aligned data. */

import { EXTRA_ANDROID_ALIGNMENT } from './layout.ts';

interface ExtraField {
  readonly id: number;
  readonly data: Uint8Array;
}

interface ExtraFields {
  readonly fields: readonly ExtraField[];
  /** What follows the last whole field. zipalign fills with zeros that form no field. */
  readonly rest: Uint8Array;
}

const NOTHING: ExtraFields = { fields: [], rest: new Uint8Array(0) };

/** Splits extra data into fields; never fails, `rest` holds what is not a field. */
export function decodeExtra(extra: Uint8Array): ExtraFields {
  if (extra.length === 0) return NOTHING;
  const view = new DataView(extra.buffer, extra.byteOffset, extra.length);
  const fields: ExtraField[] = [];
  let at = 0;
  while (at + 4 <= extra.length) {
    const id = view.getUint16(at, true);
    const size = view.getUint16(at + 2, true);
    if (at + 4 + size > extra.length) break;
    fields.push({ id, data: extra.subarray(at + 4, at + 4 + size) });
    at += 4 + size;
  }
  return { fields, rest: extra.subarray(at) };
}

/** Id, size and the alignment itself: what the field takes without padding. */
const ALIGNMENT_FIELD_SIZE = 6;

/**
 * Extra data that makes an entry's data start at a multiple of `alignment`: the given one, without
 * earlier alignment (Android's field, or zipalign's zeros), and Android's field at the end.
 *
 * @param extraOffset Where the extra data will start in the archive, in bytes.
 */
export function alignedExtra(
  extra: Uint8Array,
  extraOffset: number,
  alignment: number,
): Uint8Array {
  const kept = decodeExtra(extra).fields.filter(
    ({ id, data }) => id !== EXTRA_ANDROID_ALIGNMENT && !(id === 0 && data.length === 0),
  );
  const keptSize = kept.reduce((sum, { data }) => sum + 4 + data.length, 0);
  const unpadded = extraOffset + keptSize + ALIGNMENT_FIELD_SIZE;
  const padding = (alignment - (unpadded % alignment)) % alignment;
  const out = new Uint8Array(keptSize + ALIGNMENT_FIELD_SIZE + padding);
  const view = new DataView(out.buffer);
  let at = 0;
  for (const { id, data } of kept) {
    view.setUint16(at, id, true);
    view.setUint16(at + 2, data.length, true);
    out.set(data, at + 4);
    at += 4 + data.length;
  }
  view.setUint16(at, EXTRA_ANDROID_ALIGNMENT, true);
  view.setUint16(at + 2, 2 + padding, true);
  view.setUint16(at + 4, alignment, true);
  return out;
}

/** The alignment that an entry's extra data asks for, or undefined. */
export function declaredAlignment(extra: Uint8Array): number | undefined {
  const field = decodeExtra(extra).fields.find(({ id }) => id === EXTRA_ANDROID_ALIGNMENT);
  if (field === undefined || field.data.length < 2) return undefined;
  return new DataView(field.data.buffer, field.data.byteOffset).getUint16(0, true);
}
