/**
 * In-toto statements, which envelopes carry as their payload: what is said (the predicate) of which artefacts
 * (the subjects, by their digests).
 *
 * @see https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
 */

import { FormatError } from '../../core/errors.ts';
import { parseStrictJson } from './strict-json.ts';

/** What envelopes call a statement. */
export const STATEMENT_PAYLOAD_TYPE = 'application/vnd.in-toto+json';
export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
/** Predicates: where something came from, and what it consists of. */
export const PROVENANCE_PREDICATE = 'https://slsa.dev/provenance/v1';
export const SBOM_PREDICATE = 'https://cyclonedx.org/bom';

/** Digests by algorithm, in lower-case hexadecimal: `{ sha256: '...' }`. */
export type DigestSet = Readonly<Record<string, string>>;

/** An artefact, or what something was made of. */
export interface ResourceDescriptor {
  readonly name?: string;
  readonly uri?: string;
  readonly digest?: DigestSet;
  readonly downloadLocation?: string;
  readonly mediaType?: string;
  readonly annotations?: Readonly<Record<string, unknown>>;
}

/** A subject has a digest always: it is what a statement is bound to. */
export interface StatementSubject {
  readonly name: string;
  readonly digest: DigestSet;
}

export interface Statement {
  readonly subject: readonly StatementSubject[];
  /** URI that says how to read the predicate. */
  readonly predicateType: string;
  readonly predicate: Readonly<Record<string, unknown>>;
}

const MAX_SUBJECTS = 100_000;

/** One form for each statement: the order of fields is that of the specification, and there is no space. */
export function encodeStatement({ subject, predicateType, predicate }: Statement): Uint8Array {
  const value = {
    _type: STATEMENT_TYPE,
    subject: subject.map(({ name, digest }) => ({ name, digest })),
    predicateType,
    predicate,
  };
  return new TextEncoder().encode(JSON.stringify(value));
}

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

function refuse(field: string, why: string): never {
  throw new FormatError('in-toto', 'bad-value', `Cannot read statement: ${field} ${why}`, {
    field,
  });
}

const own = (fields: Fields, name: string): unknown =>
  Object.hasOwn(fields, name) ? fields[name] : undefined;

function textOf(fields: Fields, name: string, field: string): string {
  const value = own(fields, name);
  return typeof value === 'string' && value !== '' ? value : refuse(field, 'is not a text');
}

function digestsOf(value: unknown, field: string): DigestSet {
  if (!isFields(value)) return refuse(field, 'is not a set of digests');
  const entries = Object.entries(value);
  if (entries.length === 0) refuse(field, 'is empty');
  for (const [algorithm, digest] of entries) {
    if (typeof digest !== 'string' || digest === '')
      refuse(`${field}.${algorithm}`, 'is no digest');
  }
  return value as DigestSet;
}

/**
 * Reads a statement. Fields that it does not know are left alone, as the specification wants.
 *
 * @throws {FormatError} `in-toto` when it is not exactly one statement of version 1.
 */
export function decodeStatement(bytes: Uint8Array): Statement {
  const fields = parseStrictJson(bytes, 'in-toto');
  if (!isFields(fields)) return refuse('it', 'is not an object');
  if (own(fields, '_type') !== STATEMENT_TYPE) refuse('_type', `is not ${STATEMENT_TYPE}`);
  const list = own(fields, 'subject');
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_SUBJECTS) {
    return refuse('subject', 'is not a list of at least one');
  }
  const subject = list.map((each: unknown, index): StatementSubject => {
    const field = `subject[${index}]`;
    if (!isFields(each)) return refuse(field, 'is not an object');
    return {
      name: textOf(each, 'name', `${field}.name`),
      digest: digestsOf(own(each, 'digest'), `${field}.digest`),
    };
  });
  const predicate = own(fields, 'predicate');
  if (!isFields(predicate)) return refuse('predicate', 'is not an object');
  return { subject, predicateType: textOf(fields, 'predicateType', 'predicateType'), predicate };
}
