/** What `inspect` shows of binary XML: the element tree with every attribute. */

import type { DumpNode } from '../../core/dump.ts';
import { decodeAxml } from './decode.ts';
import {
  ANDROID_NAMESPACE,
  type AxmlAttribute,
  type AxmlElement,
  type AxmlValue,
} from './document.ts';
import { TYPE_REFERENCE } from './layout.ts';

function formatValue(value: AxmlValue): string | number | boolean {
  if (value.kind !== 'other') return value.value;
  const data = `0x${value.data.toString(16).padStart(8, '0')}`;
  return value.dataType === TYPE_REFERENCE
    ? `@${data}`
    : `${data} (type 0x${value.dataType.toString(16)})`;
}

function formatName({ name, namespace }: AxmlAttribute): string {
  if (namespace === undefined) return name;
  return namespace === ANDROID_NAMESPACE ? `android:${name}` : `{${namespace}}${name}`;
}

const dumpElement = (element: AxmlElement): DumpNode => ({
  name: `<${element.name}>`,
  fields: element.attributes.map((attribute) => ({
    name: formatName(attribute),
    value: formatValue(attribute.value),
  })),
  children: element.children.map(dumpElement),
});

/** @throws {FormatError} when the bytes are no binary XML. */
export const dumpAxml = (bytes: Uint8Array): DumpNode => dumpElement(decodeAxml(bytes));
