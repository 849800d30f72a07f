/**
 * Binary XML as Android's package parser reads it: element by element, each string when it is needed,
 * and with what it passes over passed over. Manifests that only look broken are a way to hide from
 * stricter readers, and a verdict on Android's behalf must not fall for it.
 *
 * @see frameworks/base libs/androidfw/ResourceTypes.cpp
 */

import type { FormatError } from '../../../core/errors.ts';
import {
  axmlError,
  NO_STRING,
  RES_STRING_POOL_TYPE,
  RES_XML_END_ELEMENT_TYPE,
  RES_XML_RESOURCE_MAP_TYPE,
  RES_XML_START_ELEMENT_TYPE,
  RES_XML_TYPE,
  ResXMLTreeAttribute,
  STRING_POOL_UTF8,
  TYPE_INT_BOOLEAN,
  TYPE_INT_DEC,
  TYPE_INT_HEX,
  TYPE_STRING,
} from '../../../formats/axml/layout.ts';

export type ScannedValue =
  | { readonly kind: 'integer'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'other' };

export interface ScannedElement {
  readonly name: string;
  readonly hasNamespace: boolean;
  /** 1 for the root. */
  readonly depth: number;
  /**
   * The value of the first attribute with this resource id.
   *
   * @throws {FormatError} when the attributes are malformed.
   */
  attribute(resourceId: number): ScannedValue | undefined;
}

interface Chunk {
  readonly type: number;
  readonly header: DataView;
  readonly contents: DataView;
}

const CHUNK_HEADER = 8;
const POOL_HEADER = 28;
const START_ELEMENT = 20;
const END_ELEMENT = 8;
/** Of all strings together: they may overlap, so that a small file could hold any amount of text. */
const STRING_BUDGET = 16 << 20;

const malformed = (message: string, offset?: number): FormatError =>
  axmlError('bad-value', message, offset === undefined ? {} : { offset });

const part = (view: DataView, offset: number, size: number): DataView =>
  new DataView(view.buffer, view.byteOffset + offset, size);

/** The chunks one behind the other. One that is cut off is the end, as it is for Android. */
function* chunksOf(view: DataView): Generator<Chunk> {
  for (let at = 0; view.byteLength - at >= CHUNK_HEADER;) {
    const headerSize = view.getUint16(at + 2, true);
    const size = view.getUint32(at + 4, true);
    if (size > view.byteLength - at) return;
    if (headerSize < CHUNK_HEADER || headerSize > size) {
      throw malformed(`a chunk of ${size} bytes has a header of ${headerSize}`, at);
    }
    yield {
      type: view.getUint16(at, true),
      header: part(view, at, headerSize),
      contents: part(view, at + headerSize, size - headerSize),
    };
    at += size;
  }
}

type Strings = (index: number) => string;

/** Offsets of the file lead reads beyond their part, which is what a view checks. */
function inside<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) throw malformed('a value reaches beyond its part');
    throw error;
  }
}

/** One or two bytes, or 16-bit units: the first says by its top bit that there is a second. */
function readLength(view: DataView, at: number, isUtf8: boolean): readonly [number, number] {
  const size = isUtf8 ? 1 : 2;
  const unit = (offset: number): number =>
    isUtf8 ? view.getUint8(offset) : view.getUint16(offset, true);
  const mark = isUtf8 ? 0x80 : 0x8000;
  const first = unit(at);
  if ((first & mark) === 0) return [first, at + size];
  const factor = isUtf8 ? 0x100 : 0x10000;
  return [(first & (mark - 1)) * factor + unit(at + size), at + 2 * size];
}

function readPool({ header, contents }: Chunk): Strings {
  if (header.byteLength < POOL_HEADER) throw malformed('a string pool has a short header');
  const count = header.getUint32(8, true);
  const styleCount = header.getUint32(12, true);
  const isUtf8 = (header.getUint32(16, true) & STRING_POOL_UTF8) !== 0;
  const start = header.getUint32(20, true) - header.byteLength;
  const end = styleCount > 0 ? header.getUint32(24, true) - header.byteLength : contents.byteLength;
  if (count > 0 && (start < 0 || end < start || end > contents.byteLength)) {
    throw malformed('the strings are not inside their pool');
  }
  const strings = count > 0 ? part(contents, start, end - start) : part(contents, 0, 0);
  const decoder = new TextDecoder(isUtf8 ? 'utf-8' : 'utf-16le', { ignoreBOM: true });
  const known = new Map<number, string>();
  let spent = 0;
  const decode = (index: number): string => {
    const [length, after] = isUtf8
      ? // The length in UTF-16 units stands before the one in bytes.
        readLength(strings, readLength(strings, contents.getUint32(4 * index, true), true)[1], true)
      : readLength(strings, contents.getUint32(4 * index, true), false);
    const size = isUtf8 ? length : 2 * length;
    spent += size;
    if (spent > STRING_BUDGET) throw axmlError('too-large', 'its strings are too long');
    const isEnded = isUtf8
      ? strings.getUint8(after + size) === 0
      : strings.getUint16(after + size, true) === 0;
    if (!isEnded) throw malformed(`string ${index} does not end with zero`);
    return decoder.decode(part(strings, after, size));
  };
  return (index) => {
    if (index >= count) throw malformed(`string ${index} of ${count} is referred to`);
    const text = known.get(index) ?? inside(() => decode(index));
    known.set(index, text);
    return text;
  };
}

function valueOf(type: number, data: number, strings: Strings): ScannedValue {
  switch (type) {
    case TYPE_STRING:
      return { kind: 'string', value: strings(data) };
    case TYPE_INT_DEC:
    case TYPE_INT_HEX:
      // Signed, as all numbers of manifests.
      return { kind: 'integer', value: data | 0 };
    case TYPE_INT_BOOLEAN:
    default:
      return { kind: 'other' };
  }
}

/** An attribute is read as it is laid out, in however many bytes each takes. */
function readStart(
  contents: DataView,
  depth: number,
  strings: Strings,
  resourceIds: DataView | undefined,
): ScannedElement {
  if (contents.byteLength < START_ELEMENT) throw malformed('an element is cut off');
  const namespace = contents.getUint32(0, true);
  const start = contents.getUint16(8, true);
  const size = contents.getUint16(10, true);
  const count = contents.getUint16(12, true);
  if (start + size * count > contents.byteLength) {
    throw malformed('attributes reach beyond their element');
  }
  const idOf = (name: number): number =>
    resourceIds !== undefined && name < Math.floor(resourceIds.byteLength / 4)
      ? resourceIds.getUint32(4 * name, true)
      : 0;
  if (namespace !== NO_STRING) strings(namespace);
  return {
    name: strings(contents.getUint32(4, true)),
    hasNamespace: namespace !== NO_STRING && strings(namespace) !== '',
    depth,
    attribute(resourceId) {
      if (count > 0 && size < ResXMLTreeAttribute.size) throw malformed('attributes are cut off');
      for (let index = 0; index < count; index++) {
        const at = start + index * size;
        if (idOf(contents.getUint32(at + 4, true)) !== resourceId) continue;
        return valueOf(contents.getUint8(at + 15), contents.getUint32(at + 16, true), strings);
      }
      return undefined;
    },
  };
}

/**
 * The elements of a document in their order.
 *
 * @throws {FormatError} at the first part that Android could not read.
 */
export function* scanManifest(bytes: Uint8Array): Generator<ScannedElement> {
  const file = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let document: DataView | undefined;
  for (const { type, contents } of chunksOf(file)) {
    if (type !== RES_XML_TYPE) continue;
    document = contents;
    break;
  }
  if (document === undefined) throw malformed('it holds no XML');
  let strings: Strings | undefined;
  let resourceIds: DataView | undefined;
  let depth = 0;
  for (const chunk of chunksOf(document)) {
    const { type, contents } = chunk;
    if (type === RES_STRING_POOL_TYPE) {
      if (strings !== undefined) throw malformed('it has two string pools');
      strings = readPool(chunk);
    } else if (type === RES_XML_RESOURCE_MAP_TYPE) {
      if (resourceIds !== undefined) throw malformed('it has two resource maps');
      resourceIds = contents;
    } else if (type === RES_XML_START_ELEMENT_TYPE) {
      if (strings === undefined) throw malformed('an element comes before the strings');
      depth++;
      yield readStart(contents, depth, strings, resourceIds);
    } else if (type === RES_XML_END_ELEMENT_TYPE) {
      if (strings === undefined) throw malformed('an element comes before the strings');
      if (contents.byteLength < END_ELEMENT) throw malformed('the end of an element is cut off');
      strings(contents.getUint32(4, true));
      depth--;
    }
  }
}
