/** Says whether bytes are DER all the way down, for readers that take more than that. */

import {
  childrenOf,
  CLASS_UNIVERSAL,
  derError,
  MAX_DEPTH,
  readElement,
  TAG,
  type Element,
} from './element.ts';
import { bitsOf, booleanOf, expectForm, expectNull, integerContents, oidOf } from './values.ts';

/** EXTERNAL and EMBEDDED PDV: the only other universal types that are made of parts. */
const OTHER_CONSTRUCTED: ReadonlySet<number> = new Set([8, 11]);

const UTC_TIME_FORM = /^[0-9]{12}Z$/;
/** Fractions of seconds end with a digit that is not 0. */
const GENERALIZED_TIME_FORM = /^[0-9]{14}(?:\.[0-9]*[1-9])?Z$/;

function checkTime(element: Element, form: RegExp): void {
  expectForm(element, false, 'a time');
  if (form.test(Buffer.from(element.contents).toString('latin1'))) return;
  throw derError('bad-value', 'a time is not in its one form', { offset: element.offset });
}

function checkUtf8(element: Element): void {
  expectForm(element, false, 'a string');
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(element.contents);
  } catch {
    throw derError('bad-value', 'a string is not UTF-8', { offset: element.offset });
  }
}

/** A SET or SET OF is in order, by tag or by encoding: both are the order of the encodings' bytes. */
function checkSet(children: readonly Element[]): void {
  for (const [index, child] of children.entries()) {
    const before = children[index - 1];
    if (before === undefined || before.tagNumber !== child.tagNumber) continue;
    if (before.tagClass !== child.tagClass) continue;
    if (Buffer.compare(before.encoded, child.encoded) <= 0) continue;
    throw derError('bad-value', 'the parts of a set are not in order', { offset: child.offset });
  }
}

function checkParts(element: Element, depth: number): void {
  if (depth > MAX_DEPTH) {
    throw derError('too-large', `values are nested more than ${MAX_DEPTH} deep`, {
      offset: element.offset,
    });
  }
  const children = childrenOf(element);
  if (element.tagClass === CLASS_UNIVERSAL && element.tagNumber === TAG.SET) checkSet(children);
  for (const child of children) checkElement(child, depth + 1);
}

function checkElement(element: Element, depth: number): void {
  if (element.tagClass !== CLASS_UNIVERSAL) {
    if (element.constructed) checkParts(element, depth);
    return;
  }
  switch (element.tagNumber) {
    case 0:
      throw derError('bad-value', 'an end mark stands where a value should', {
        offset: element.offset,
      });
    case TAG.BOOLEAN:
      booleanOf(element, 'a boolean');
      return;
    case TAG.INTEGER:
    case TAG.ENUMERATED:
      expectForm(element, false, 'an integer');
      integerContents(element, 'an integer');
      return;
    case TAG.BIT_STRING:
      bitsOf(element, 'a bit string');
      return;
    case TAG.NULL:
      expectNull(element, 'a null');
      return;
    case TAG.OBJECT_IDENTIFIER:
      oidOf(element, 'an object identifier');
      return;
    case TAG.UTF8_STRING:
      checkUtf8(element);
      return;
    case TAG.UTC_TIME:
      checkTime(element, UTC_TIME_FORM);
      return;
    case TAG.GENERALIZED_TIME:
      checkTime(element, GENERALIZED_TIME_FORM);
      return;
    case TAG.SEQUENCE:
    case TAG.SET:
      expectForm(element, true, 'a sequence or set');
      checkParts(element, depth);
      return;
    default:
      if (OTHER_CONSTRUCTED.has(element.tagNumber) && element.constructed) {
        checkParts(element, depth);
      } else {
        expectForm(element, false, 'a string');
      }
  }
}

/**
 * Checks that `bytes` are one value in DER, to its innermost parts. What an OCTET or BIT STRING holds
 * is not looked into: nobody can know from outside that it is DER.
 *
 * @throws {FormatError} `der`, with the offset of the first value that is not.
 */
export function assertDer(bytes: Uint8Array): void {
  checkElement(readElement(bytes), 0);
}
