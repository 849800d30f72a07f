/** Decodes binary XML; bounded in size, depth and text, whatever the bytes. */

import type { AxmlAttribute, AxmlElement, AxmlValue } from './document.ts';
import {
  axmlError,
  RES_STRING_POOL_TYPE,
  RES_XML_CDATA_TYPE,
  RES_XML_END_ELEMENT_TYPE,
  RES_XML_END_NAMESPACE_TYPE,
  RES_XML_RESOURCE_MAP_TYPE,
  RES_XML_START_ELEMENT_TYPE,
  RES_XML_START_NAMESPACE_TYPE,
  RES_XML_TYPE,
  ResChunkHeader,
  ResXMLTreeAttrExt,
  ResXMLTreeAttribute,
  ResXMLTreeNode,
  TYPE_INT_BOOLEAN,
  TYPE_INT_DEC,
  TYPE_INT_HEX,
  TYPE_STRING,
} from './layout.ts';
import { decodeStringPool, type StringPool } from './string-pool.ts';

/** The largest manifests of real apps are below 1 MiB. */
const MAX_AXML_SIZE = 4 << 20;
const MAX_DEPTH = 64;
const NODE_HEADER_SIZE = ResChunkHeader.size + ResXMLTreeNode.size;

interface AxmlChunk {
  readonly type: number;
  readonly headerSize: number;
  readonly offset: number;
  /** The whole chunk with its header. */
  readonly bytes: Uint8Array;
}

/**
 * Splits a file into the chunks inside its outer one.
 *
 * @throws {FormatError} when a chunk is not inside the file.
 */
function decodeChunks(bytes: Uint8Array): readonly AxmlChunk[] {
  if (bytes.length > MAX_AXML_SIZE) {
    throw axmlError('too-large', `it is ${bytes.length} bytes, ${MAX_AXML_SIZE} are allowed`);
  }
  const outer = ResChunkHeader.decode(bytes);
  if (outer.type !== RES_XML_TYPE) {
    throw axmlError('bad-magic', `its first chunk has type 0x${outer.type.toString(16)}`, {
      offset: 0,
    });
  }
  if (outer.headerSize < ResChunkHeader.size || outer.size !== bytes.length) {
    throw axmlError('bad-value', `its size field is ${outer.size}, it has ${bytes.length} bytes`, {
      offset: 4,
    });
  }
  const chunks: AxmlChunk[] = [];
  for (let at = outer.headerSize; at < bytes.length;) {
    const { type, headerSize, size } = ResChunkHeader.decode(bytes, at);
    if (headerSize < ResChunkHeader.size || headerSize > size || at + size > bytes.length) {
      throw axmlError('out-of-range', `a chunk of ${size} bytes is not inside the file`, {
        offset: at,
      });
    }
    chunks.push({ type, headerSize, offset: at, bytes: bytes.subarray(at, at + size) });
    at += size;
  }
  return chunks;
}

function decodeValue(
  dataType: number,
  data: number,
  raw: string | undefined,
  strings: StringPool,
): AxmlValue {
  switch (dataType) {
    case TYPE_STRING:
      return { kind: 'string', value: raw ?? strings.get(data) };
    case TYPE_INT_DEC:
    case TYPE_INT_HEX:
      return { kind: 'integer', value: data };
    case TYPE_INT_BOOLEAN:
      return { kind: 'boolean', value: data !== 0 };
    default:
      return { kind: 'other', dataType, data };
  }
}

interface OpenElement {
  readonly name: string;
  readonly attributes: readonly AxmlAttribute[];
  readonly children: AxmlElement[];
}

function decodeStart(
  { bytes, headerSize, offset }: AxmlChunk,
  strings: StringPool,
  resourceIds: DataView,
): OpenElement {
  const element = ResXMLTreeAttrExt.decode(bytes, headerSize);
  const { attributeCount, attributeSize } = element;
  const first = headerSize + element.attributeStart;
  if (
    attributeCount > 0 &&
    (attributeSize < ResXMLTreeAttribute.size ||
      first + attributeCount * attributeSize > bytes.length)
  ) {
    throw axmlError('out-of-range', 'attributes reach beyond their element', { offset });
  }
  const attributes: AxmlAttribute[] = [];
  for (let index = 0; index < attributeCount; index++) {
    const at = ResXMLTreeAttribute.decode(bytes, first + index * attributeSize);
    const namespace = strings.find(at.ns);
    const hasId = at.name < resourceIds.byteLength / 4;
    attributes.push({
      ...(namespace !== undefined && { namespace }),
      name: strings.get(at.name),
      ...(hasId && { resourceId: resourceIds.getUint32(4 * at.name, true) }),
      value: decodeValue(at.dataType, at.data, strings.find(at.rawValue), strings),
    });
  }
  return { name: strings.get(element.name), attributes, children: [] };
}

/**
 * Decodes a document. Namespaces, text and unknown chunks are passed over.
 *
 * @throws {FormatError} when the bytes are not one well-formed tree of at most 64 levels.
 */
export function decodeAxml(bytes: Uint8Array): AxmlElement {
  let strings: StringPool | undefined;
  let resourceIds: DataView = new DataView(new ArrayBuffer(0));
  let root: AxmlElement | undefined;
  const open: OpenElement[] = [];
  for (const chunk of decodeChunks(bytes)) {
    const where = { offset: chunk.offset };
    switch (chunk.type) {
      case RES_STRING_POOL_TYPE:
        if (strings !== undefined) throw axmlError('duplicate', 'it has two string pools', where);
        strings = decodeStringPool(chunk.bytes, 4 * bytes.length);
        continue;
      case RES_XML_RESOURCE_MAP_TYPE: {
        const size = chunk.bytes.length - chunk.headerSize;
        resourceIds = new DataView(
          chunk.bytes.buffer,
          chunk.bytes.byteOffset + chunk.headerSize,
          size - (size % 4),
        );
        continue;
      }
      case RES_XML_START_ELEMENT_TYPE:
      case RES_XML_END_ELEMENT_TYPE:
        break;
      case RES_XML_START_NAMESPACE_TYPE:
      case RES_XML_END_NAMESPACE_TYPE:
      case RES_XML_CDATA_TYPE:
      default:
        continue;
    }
    if (strings === undefined) {
      throw axmlError('bad-value', 'an element comes before the string pool', where);
    }
    if (chunk.headerSize < NODE_HEADER_SIZE) {
      throw axmlError('bad-value', `a node has a header of ${chunk.headerSize} bytes`, where);
    }
    if (chunk.type === RES_XML_START_ELEMENT_TYPE) {
      if (root !== undefined) throw axmlError('bad-value', 'it has two root elements', where);
      if (open.length === MAX_DEPTH) {
        throw axmlError('too-large', `its elements nest deeper than ${MAX_DEPTH}`, where);
      }
      open.push(decodeStart(chunk, strings, resourceIds));
    } else {
      const closed = open.pop();
      if (closed === undefined) {
        throw axmlError('bad-value', 'an element ends that did not start', where);
      }
      const parent = open.at(-1);
      if (parent === undefined) root = closed;
      else parent.children.push(closed);
    }
  }
  if (root === undefined || open.length > 0) {
    throw axmlError('truncated', 'its root element is missing or does not end');
  }
  return root;
}
