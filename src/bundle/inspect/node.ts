/** How `inspect` takes formats apart: as far as they go, with what no part claims. */

import { toHex } from '../../core/digest.ts';
import type { DumpField, DumpNode } from '../../core/dump.ts';
import { FormatError } from '../../core/errors.ts';
import type { Field } from '../../formats/struct.ts';
import { streamOf, type ByteSource } from '../../io/byte-source.ts';

type Fields = Readonly<Record<string, Field<unknown>>>;

/** What a `struct` declares. */
export interface RecordLayout {
  readonly name: string;
  readonly size: number;
  readonly fields: Fields;
}

/** Bytes as text where every one is printable ASCII but zeros behind it, as hexadecimal elsewhere. */
export function showBytes(value: Uint8Array): string {
  let end = value.length;
  while (end > 0 && value[end - 1] === 0) end -= 1;
  const text = value.subarray(0, end);
  if (end === 0) return value.length === 0 ? '' : `${value.length} zeros`;
  const isText = text.every((byte) => byte >= 0x20 && byte < 0x7f);
  return isText ? Buffer.from(text).toString('latin1') : `0x${toHex(value)}`;
}

export const hex = (value: number | bigint, digits = 0): string =>
  `0x${value.toString(16).padStart(digits, '0')}`;

export const field = (
  name: string,
  value: DumpField['value'],
  offset?: number,
  size?: number,
): DumpField => ({
  name,
  value,
  ...(offset !== undefined && { offset }),
  ...(size !== undefined && { size }),
});

export const errorOf = (error: FormatError): NonNullable<DumpNode['error']> => ({
  code: error.code,
  message: error.message,
  ...(error.offset !== undefined && { offset: error.offset }),
});

/** The fields of a record, those that are there. */
export function recordFields(layout: RecordLayout, bytes: Uint8Array, offset: number): DumpField[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const shown: DumpField[] = [];
  let at = 0;
  for (const [name, member] of Object.entries(layout.fields)) {
    if (at + member.size > bytes.length) break;
    let value: DumpField['value'];
    try {
      const read = member.read(view, at);
      value = read instanceof Uint8Array ? showBytes(read) : (read as number | bigint);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      value = `${showBytes(bytes.subarray(at, at + member.size))} (${error.message})`;
    }
    shown.push(field(name, value, offset + at, member.size));
    at += member.size;
  }
  return shown;
}

/** A record as a part; cut off, it says so. */
export async function recordNode(
  source: ByteSource,
  layout: RecordLayout,
  offset: number,
  name = layout.name,
): Promise<DumpNode> {
  const size = Math.max(0, Math.min(layout.size, source.size - offset));
  const bytes = size === 0 ? new Uint8Array(0) : await source.read(offset, size);
  return {
    name,
    offset,
    size,
    fields: recordFields(layout, bytes, offset),
    children: [],
    ...(size < layout.size && {
      error: {
        code: 'truncated',
        message: `${layout.name} needs ${layout.size} bytes, ${size} are there`,
        offset,
      },
    }),
  };
}

/** What a part is put together from, while it is read. */
export interface Parts {
  readonly fields: DumpField[];
  readonly children: DumpNode[];
}

/**
 * A part that is shown as far as it can be read: what `build` added before an error stays.
 *
 * @param about Name and place; the place may become known while it is built.
 */
export async function partNode(
  about: Pick<DumpNode, 'name' | 'offset' | 'size'>,
  build: (parts: Parts) => Promise<void> | void,
): Promise<DumpNode> {
  const parts: Parts = { fields: [], children: [] };
  try {
    await build(parts);
    return { ...about, ...parts };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return { ...about, ...parts, error: errorOf(error) };
  }
}

/** A node whose places count from `base` bytes later. */
export function shifted(node: DumpNode, base: number): DumpNode {
  if (base === 0) return node;
  const move = <T extends { readonly offset?: number }>(each: T): T =>
    each.offset === undefined ? each : { ...each, offset: each.offset + base };
  return {
    ...move(node),
    ...(node.error && { error: move(node.error) }),
    fields: node.fields.map(move),
    children: node.children.map((child) => shifted(child, base)),
  };
}

interface Range {
  readonly offset: number;
  readonly size: number;
}

/** What is shown of a node with its place, innermost. */
function claimedBy(node: DumpNode, into: Range[]): void {
  const before = into.length;
  for (const { offset, size } of node.fields) {
    if (offset !== undefined && size !== undefined) into.push({ offset, size });
  }
  for (const child of node.children) claimedBy(child, into);
  const { offset, size } = node;
  if (into.length === before && offset !== undefined && size !== undefined) {
    into.push({ offset, size });
  }
}

/** More gaps are counted, not shown. */
const MAX_GAPS = 1000;
const SHOWN = 16;

/** Adds what no part claims of the bytes `[from, to)`: gaps, and what follows the last part. */
export async function withGaps(
  node: DumpNode,
  source: ByteSource,
  from = 0,
  to = source.size,
): Promise<DumpNode> {
  const claimed: Range[] = [];
  for (const child of [node]) claimedBy(child, claimed);
  claimed.sort((a, b) => a.offset - b.offset);
  const gaps: DumpNode[] = [];
  let count = 0;
  let at = from;
  for (const { offset, size } of [...claimed, { offset: to, size: 0 }]) {
    const end = Math.min(offset, to);
    if (end > at) {
      count += 1;
      if (gaps.length < MAX_GAPS) gaps.push(await gapNode(source, at, end, end === to));
    }
    at = Math.max(at, offset + size);
  }
  const rest = count - gaps.length;
  return {
    ...node,
    fields: rest > 0 ? [...node.fields, field('gaps not shown', rest)] : node.fields,
    children: [...node.children, ...gaps],
  };
}

async function gapNode(
  source: ByteSource,
  from: number,
  to: number,
  isLast: boolean,
): Promise<DumpNode> {
  let zeros = true;
  for await (const chunk of streamOf(source, from, to - from)) {
    if (chunk.every((byte) => byte === 0)) continue;
    zeros = false;
    break;
  }
  const size = to - from;
  const start = zeros ? 'zeros' : `0x${toHex(await source.read(from, Math.min(size, SHOWN)))}`;
  const rest = !zeros && size > SHOWN ? '…' : '';
  return {
    name: isLast ? 'trailing bytes' : 'gap',
    offset: from,
    size,
    fields: [field('bytes', `${start}${rest}`, from, size)],
    children: [],
  };
}
