/** Encodes an element tree as binary XML, in the shape that Android's own tools give it. */

import {
  ANDROID_NAMESPACE,
  type AxmlAttribute,
  type AxmlElement,
  type AxmlValue,
} from './document.ts';
import {
  NO_STRING,
  RES_VALUE_SIZE,
  RES_XML_END_ELEMENT_TYPE,
  RES_XML_END_NAMESPACE_TYPE,
  RES_XML_RESOURCE_MAP_TYPE,
  RES_XML_START_ELEMENT_TYPE,
  RES_XML_START_NAMESPACE_TYPE,
  RES_XML_TYPE,
  ResChunkHeader,
  ResXMLTreeAttrExt,
  ResXMLTreeAttribute,
  ResXMLTreeEndElementExt,
  ResXMLTreeNamespaceExt,
  ResXMLTreeNode,
  TYPE_INT_BOOLEAN,
  TYPE_INT_DEC,
  TYPE_STRING,
} from './layout.ts';
import { encodeStringPool } from './string-pool.ts';

const NODE_HEADER_SIZE = ResChunkHeader.size + ResXMLTreeNode.size;

function chunk(type: number, headerSize: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const size = ResChunkHeader.size + parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([ResChunkHeader.encode({ type, headerSize, size }), ...parts]);
}

const node = (type: number, ...parts: readonly Uint8Array[]): Uint8Array =>
  chunk(
    type,
    NODE_HEADER_SIZE,
    ResXMLTreeNode.encode({ lineNumber: 1, comment: NO_STRING }),
    ...parts,
  );

/** The platform searches attributes by ascending resource id; those without one come last. */
const sorted = (attributes: readonly AxmlAttribute[]): readonly AxmlAttribute[] =>
  [...attributes].sort((a, b) => (a.resourceId ?? NO_STRING) - (b.resourceId ?? NO_STRING));

interface Strings {
  readonly all: readonly string[];
  readonly resourceIds: readonly number[];
  attributeName(attribute: AxmlAttribute): number;
  index(text: string): number;
}

/** Names with a resource id come first: the resource map gives the ids of the first strings. */
function collectStrings(root: AxmlElement): Strings {
  const withId = new Map<number, string>();
  const others = new Set<string>(['android', ANDROID_NAMESPACE]);
  const visit = (element: AxmlElement): void => {
    others.add(element.name);
    for (const attribute of element.attributes) {
      if (attribute.resourceId === undefined) others.add(attribute.name);
      else withId.set(attribute.resourceId, attribute.name);
      if (attribute.namespace !== undefined) others.add(attribute.namespace);
      if (attribute.value.kind === 'string') others.add(attribute.value.value);
    }
    for (const child of element.children) visit(child);
  };
  visit(root);
  const named = [...withId.entries()].sort(([a], [b]) => a - b);
  const resourceIds = named.map(([id]) => id);
  const rest = [...others];
  const byText = new Map(rest.map((text, index) => [text, named.length + index]));
  const byId = new Map(resourceIds.map((id, index) => [id, index]));
  const index = (text: string): number => byText.get(text) ?? NO_STRING;
  return {
    all: [...named.map(([, name]) => name), ...rest],
    resourceIds,
    index,
    attributeName: ({ name, resourceId }) =>
      resourceId === undefined ? index(name) : (byId.get(resourceId) ?? NO_STRING),
  };
}

function typedValue(
  value: AxmlValue,
  strings: Strings,
): { rawValue: number; dataType: number; data: number } {
  switch (value.kind) {
    case 'string': {
      const index = strings.index(value.value);
      return { rawValue: index, dataType: TYPE_STRING, data: index };
    }
    case 'integer':
      return { rawValue: NO_STRING, dataType: TYPE_INT_DEC, data: value.value };
    case 'boolean':
      return {
        rawValue: NO_STRING,
        dataType: TYPE_INT_BOOLEAN,
        data: value.value ? 0xffffffff : 0,
      };
    case 'other':
      return { rawValue: NO_STRING, dataType: value.dataType, data: value.data };
  }
}

function encodeElement(element: AxmlElement, strings: Strings, into: Uint8Array[]): void {
  const name = strings.index(element.name);
  const attributes = sorted(element.attributes).map((attribute) =>
    ResXMLTreeAttribute.encode({
      ns: attribute.namespace === undefined ? NO_STRING : strings.index(attribute.namespace),
      name: strings.attributeName(attribute),
      ...typedValue(attribute.value, strings),
      valueSize: RES_VALUE_SIZE,
      res0: 0,
    }),
  );
  const start = ResXMLTreeAttrExt.encode({
    ns: NO_STRING,
    name,
    attributeStart: ResXMLTreeAttrExt.size,
    attributeSize: ResXMLTreeAttribute.size,
    attributeCount: attributes.length,
    idIndex: 0,
    classIndex: 0,
    styleIndex: 0,
  });
  into.push(node(RES_XML_START_ELEMENT_TYPE, start, ...attributes));
  for (const child of element.children) encodeElement(child, strings, into);
  const end = ResXMLTreeEndElementExt.encode({ ns: NO_STRING, name });
  into.push(node(RES_XML_END_ELEMENT_TYPE, end));
}

/**
 * Encodes a document whose root declares the prefix `android`.
 *
 * @throws {RangeError} when a string or integer does not fit its field.
 */
export function encodeAxml(root: AxmlElement): Uint8Array {
  const strings = collectStrings(root);
  const ids = new Uint8Array(4 * strings.resourceIds.length);
  const view = new DataView(ids.buffer);
  for (const [index, id] of strings.resourceIds.entries()) view.setUint32(4 * index, id, true);
  const namespace = ResXMLTreeNamespaceExt.encode({
    prefix: strings.index('android'),
    uri: strings.index(ANDROID_NAMESPACE),
  });
  const elements: Uint8Array[] = [];
  encodeElement(root, strings, elements);
  const file = chunk(
    RES_XML_TYPE,
    ResChunkHeader.size,
    encodeStringPool(strings.all),
    chunk(RES_XML_RESOURCE_MAP_TYPE, ResChunkHeader.size, ids),
    node(RES_XML_START_NAMESPACE_TYPE, namespace),
    ...elements,
    node(RES_XML_END_NAMESPACE_TYPE, namespace),
  );
  return Uint8Array.from(file);
}
