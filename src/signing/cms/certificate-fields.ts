/** Parts of a certificate that say nothing about a signature, and still have to be what RFC 5280 says. */

import { childrenOf, derError, isTag, TAG, type Element } from '../../formats/der/element.ts';
import { fieldsOf } from '../../formats/der/fields.ts';
import {
  booleanOf,
  expectForm,
  expectTag,
  oidOf,
  smallIntegerOf,
} from '../../formats/der/values.ts';

/** RFC 5280, 4.1.2.5: both to the second and in UTC. */
const DER_TIMES = {
  utc: /^(?<year>\d\d)(?<month>\d\d)(?<day>\d\d)(?<hour>\d\d)(?<minute>\d\d)(?<second>\d\d)Z$/,
  generalized:
    /^(?<year>\d{4})(?<month>\d\d)(?<day>\d\d)(?<hour>\d\d)(?<minute>\d\d)(?<second>\d\d)Z$/,
};

/** What X.680 has besides, and old certificates too: no seconds, or parts of them, or a time zone. */
const BER_TIMES = {
  utc: /^(?<year>\d\d)(?<month>\d\d)(?<day>\d\d)(?<hour>\d\d)(?<minute>\d\d)(?<second>\d\d)?(?:Z|[+-]\d{4})$/,
  generalized:
    /^(?<year>\d{4})(?<month>\d\d)(?<day>\d\d)(?<hour>\d\d)(?<minute>\d\d)(?:(?<second>\d\d)(?:[.,]\d{1,3})?)?(?:Z|[+-]\d{4})$/,
};

function checkTime(element: Element, field: string): void {
  expectForm(element, false, field);
  const times = element.rules === 'der' ? DER_TIMES : BER_TIMES;
  const isUtc = isTag(element, TAG.UTC_TIME);
  const form = isUtc || isTag(element, TAG.GENERALIZED_TIME) ? times : undefined;
  const text = Buffer.from(element.contents).toString('latin1');
  const parts = form?.[isUtc ? 'utc' : 'generalized'].exec(text)?.groups;
  const { month = '', day = '', hour = '', minute = '', second = '0' } = parts ?? {};
  const isDate = Number(month) >= 1 && Number(month) <= 12 && Number(day) >= 1 && Number(day) <= 31;
  const isTime = Number(hour) < 24 && Number(minute) < 60 && Number(second) < 60;
  if (parts !== undefined && isDate && isTime) return;
  throw derError('bad-value', `${field} is no time`, { offset: element.offset, field });
}

/** A `Validity`. Whether it is over does not matter: Android never looks. */
export function checkValidity(element: Element): void {
  const fields = fieldsOf(element, 'Validity');
  checkTime(fields.any('notBefore'), 'notBefore');
  checkTime(fields.any('notAfter'), 'notAfter');
  fields.end();
}

/** A `Name`. @returns how many attributes it has. */
export function checkName(element: Element, field: string): number {
  expectTag(element, TAG.SEQUENCE, field);
  let count = 0;
  for (const part of childrenOf(element)) {
    expectTag(part, TAG.SET, 'RelativeDistinguishedName');
    for (const attribute of childrenOf(part)) {
      const fields = fieldsOf(attribute, 'AttributeTypeAndValue');
      oidOf(fields.any('type'), 'type');
      fields.any('value');
      fields.end();
      count += 1;
    }
  }
  return count;
}

const OID_BASIC_CONSTRAINTS = '2.5.29.19';
const OID_EXTENDED_KEY_USAGE = '2.5.29.37';

/**
 * A critical extension must be understood, and so be readable at all.
 *
 * @param value Of the extension.
 */
export function checkCriticalExtension(oid: string, value: Element): void {
  if (oid === OID_BASIC_CONSTRAINTS) {
    const fields = fieldsOf(value, 'BasicConstraints');
    const isAuthority = fields.optional(TAG.BOOLEAN, 'cA');
    if (isAuthority !== undefined) booleanOf(isAuthority, 'cA');
    const length = fields.optional(TAG.INTEGER, 'pathLenConstraint');
    if (length !== undefined) smallIntegerOf(length, 'pathLenConstraint');
    fields.end();
  } else if (oid === OID_EXTENDED_KEY_USAGE) {
    expectTag(value, TAG.SEQUENCE, 'ExtKeyUsageSyntax');
    for (const purpose of childrenOf(value)) oidOf(purpose, 'KeyPurposeId');
  }
}
