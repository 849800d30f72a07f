/**
 * Whether two distinguished names are the same, as Java and Android compare them: case and repeated
 * spaces of strings do not count in the attributes of RFC 2253.
 */

import { equalBytes } from '../../core/digest.ts';
import { childrenOf, isTag, TAG, type Element } from '../../formats/der/element.ts';
import { fieldsOf } from '../../formats/der/fields.ts';
import { expectTag, oidOf } from '../../formats/der/values.ts';

/** CN, C, L, ST, O, OU, STREET, DC and UID. */
const COMPARED_AS_TEXT: ReadonlySet<string> = new Set([
  '2.5.4.3',
  '2.5.4.6',
  '2.5.4.7',
  '2.5.4.8',
  '2.5.4.10',
  '2.5.4.11',
  '2.5.4.9',
  '0.9.2342.19200300.100.1.25',
  '0.9.2342.19200300.100.1.1',
]);

function canonicalAttribute(attribute: Element): string {
  const fields = fieldsOf(attribute, 'AttributeTypeAndValue');
  const oid = oidOf(fields.any('type'), 'type');
  const value = fields.any('value');
  const isText = isTag(value, TAG.UTF8_STRING) || isTag(value, TAG.PRINTABLE_STRING);
  if (!isText || !COMPARED_AS_TEXT.has(oid)) {
    return `${oid}#${Buffer.from(value.encoded).toString('hex')}`;
  }
  const text = Buffer.from(value.contents).toString('utf8').normalize('NFKD');
  return `${oid}=${text.toUpperCase().toLowerCase().trim().replaceAll(/ +/g, ' ')}`;
}

function canonicalName(name: Element): string {
  expectTag(name, TAG.SEQUENCE, 'Name');
  return JSON.stringify(
    childrenOf(name).map((part) => {
      expectTag(part, TAG.SET, 'RelativeDistinguishedName');
      return childrenOf(part).map(canonicalAttribute).toSorted();
    }),
  );
}

/** @throws {FormatError} `der` when one of them is no `Name`. */
export const isSameName = (a: Element, b: Element): boolean =>
  equalBytes(a.encoded, b.encoded) || canonicalName(a) === canonicalName(b);
