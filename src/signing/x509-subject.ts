/**
 * Distinguished names as text: `CN=Release, O=Example` (RFC 4514), or only a common name.
 *
 * The parts are written to the certificate in the order in which they are given.
 */

import { UsageError } from '../core/errors.ts';

/** Names of the parts, with the longest values that RFC 5280, appendix A, allows. */
const LONGEST = {
  CN: 64,
  O: 64,
  OU: 64,
  C: 2,
  ST: 128,
  L: 128,
  emailAddress: 255,
} as const;

/** One value of a distinguished name, by its short name. */
export interface SubjectAttribute {
  readonly name: keyof typeof LONGEST;
  readonly value: string;
}

const isName = (name: string): name is SubjectAttribute['name'] => Object.hasOwn(LONGEST, name);

const fail = (message: string): never => {
  throw new UsageError('usage', `Cannot use subject: ${message}`, {
    hint: `Write 'CN=Release key, O=Example'; names are ${Object.keys(LONGEST).join(', ')}; \\, is a comma`,
  });
};

/** Parts of a text between commas that no backslash stands before. */
const PART = /(?:[^\\,]|\\.)+/gs;

/**
 * @throws {UsageError} `usage` when it is no such name.
 */
export function parseSubject(text: string): readonly SubjectAttribute[] {
  if (text.trim() === '') return fail('it is empty');
  if (!text.includes('=')) return [attribute('CN', text)];
  return (text.match(PART) ?? []).map((part) => {
    const at = part.indexOf('=');
    if (at === -1) return fail(`${part.trim()} has no name`);
    return attribute(part.slice(0, at), part.slice(at + 1));
  });
}

function attribute(nameText: string, valueText: string): SubjectAttribute {
  const given = nameText.trim();
  const name =
    Object.keys(LONGEST).find((each) => each.toLowerCase() === given.toLowerCase()) ?? given;
  if (!isName(name)) return fail(`${given} is no name of a part`);
  const value = valueText.trim().replaceAll(/\\(.)/gs, '$1');
  // Lengths are counted in characters, not in units of UTF-16.
  const size = Array.from(value).length;
  if (size === 0 || size > LONGEST[name]) {
    return fail(`${name} must have 1 to ${LONGEST[name]} characters`);
  }
  if (/\p{Cc}/u.test(value)) return fail(`${name} holds control characters`);
  if (name === 'C' && !/^[A-Z]{2}$/.test(value)) return fail('C must be two capital letters');
  if (name === 'emailAddress' && /[^\x20-\x7e]/.test(value)) {
    return fail('emailAddress must be ASCII');
  }
  return { name, value };
}
