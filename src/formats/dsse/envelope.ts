/**
 * DSSE, the envelope of in-toto and Sigstore: bytes, what they are, and signatures over both.
 *
 * What is signed is the pre-authentication encoding of type and payload, never the envelope's JSON.
 *
 * @see https://github.com/secure-systems-lab/dsse/blob/master/protocol.md (1.0.2) and envelope.md
 */

import { FormatError } from '../../core/errors.ts';
import { parseStrictJson } from './strict-json.ts';

export interface DsseSignature {
  /** A hint which key it may be, not signed by anybody; empty for none. */
  readonly keyid: string;
  readonly signature: Uint8Array;
}

export interface DsseEnvelope {
  /** Media type or URI that says how to read the payload. */
  readonly payloadType: string;
  readonly payload: Uint8Array;
  readonly signatures: readonly DsseSignature[];
}

/** An envelope is read into memory. In bytes. */
export const DSSE_MAX_SIZE: number = 32 << 20;
/** Each of them may cost a public key operation for each trusted key. */
const MAX_SIGNATURES = 64;
const MAX_TEXT = 1024;

/** What signatures are over: `DSSEv1`, the type and the payload, each behind its length in bytes. */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = Buffer.from(payloadType, 'utf8');
  const head = Buffer.concat([
    Buffer.from(`DSSEv1 ${type.length} `),
    type,
    Buffer.from(` ${payload.length} `),
  ]);
  const encoded = new Uint8Array(head.length + payload.length);
  encoded.set(head);
  encoded.set(payload, head.length);
  return encoded;
}

const base64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');

/** Writes an envelope as one line of JSON, in the standard base64 alphabet. */
export function encodeEnvelope({ payloadType, payload, signatures }: DsseEnvelope): string {
  const listed = signatures.map(({ keyid, signature }) => ({
    ...(keyid !== '' && { keyid }),
    sig: base64(signature),
  }));
  return `${JSON.stringify({ payload: base64(payload), payloadType, signatures: listed })}\n`;
}

function refuse(code: 'bad-value' | 'too-large', field: string, why: string): never {
  throw new FormatError('dsse', code, `Cannot read DSSE envelope: ${field} ${why}`, { field });
}

/** Decodes base64 with padding, in either alphabet but not in both, of which there is one encoding. */
function decodeBase64(text: string, field: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64');
  const standard = bytes.toString('base64');
  if (text !== standard && text !== standard.replaceAll('+', '-').replaceAll('/', '_')) {
    refuse('bad-value', field, 'is not base64');
  }
  return new Uint8Array(bytes);
}

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown, field: string): Fields =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
    ? (value as Fields)
    : refuse('bad-value', field, 'is not an object');

function textOf(fields: Fields, name: string, field: string): string {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  return typeof value === 'string' ? value : refuse('bad-value', field, 'is not a text');
}

/**
 * Reads an envelope; says nothing about who signed it. Fields that it does not know are left alone, as the
 * specification wants.
 *
 * @throws {FormatError} when it is not exactly one envelope.
 */
export function decodeEnvelope(bytes: Uint8Array): DsseEnvelope {
  if (bytes.length > DSSE_MAX_SIZE) refuse('too-large', 'it', `has ${bytes.length} bytes`);
  const fields = fieldsOf(parseStrictJson(bytes, 'dsse'), 'it');
  const payloadType = textOf(fields, 'payloadType', 'payloadType');
  if (payloadType === '' || payloadType.length > MAX_TEXT) {
    refuse('bad-value', 'payloadType', `has ${payloadType.length} characters`);
  }
  const payload = decodeBase64(textOf(fields, 'payload', 'payload'), 'payload');
  const list = Object.hasOwn(fields, 'signatures') ? fields['signatures'] : undefined;
  if (!Array.isArray(list) || list.length === 0) {
    return refuse('bad-value', 'signatures', 'is not a list of at least one');
  }
  if (list.length > MAX_SIGNATURES) {
    refuse('too-large', 'signatures', `are ${list.length}, at most ${MAX_SIGNATURES} are taken`);
  }
  const signatures = list.map((each: unknown, index): DsseSignature => {
    const field = `signatures[${index}]`;
    const entry = fieldsOf(each, field);
    const keyid = Object.hasOwn(entry, 'keyid') ? textOf(entry, 'keyid', `${field}.keyid`) : '';
    if (keyid.length > MAX_TEXT) refuse('too-large', `${field}.keyid`, 'is too long');
    return { keyid, signature: decodeBase64(textOf(entry, 'sig', `${field}.sig`), `${field}.sig`) };
  });
  return { payloadType, payload, signatures };
}
