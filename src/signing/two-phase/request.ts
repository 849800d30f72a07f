/**
 * `request.json`: what is to be signed elsewhere, and the job that waits for it. People and programs
 * read it, and the same job reads it again when the signatures are attached.
 *
 * It holds no secret: keys by what may be printed of their references, and their public halves.
 */

import {
  count,
  hex,
  list,
  matching,
  nullable,
  oneOf,
  readStrictJson,
  record,
  text,
  wrongField,
} from '../strict-json.ts';
import type { SignatureHash, SignaturePurpose, SignatureScheme } from '../signer.ts';

/** The name of the file in its folder. */
export const REQUEST_FILE = 'request.json';

/** A file that the job reads; the same bytes must be there when signatures are attached. */
export interface JobInput {
  /** As the command line names it; a file of a folder with the folder before it. */
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

/** The command line that is run again to attach. */
export interface SigningJobDescription {
  /** The words that name the command: `['sign', 'apk']`. */
  readonly command: readonly string[];
  /** The words behind them, without secrets and without where requests are written. */
  readonly arguments: readonly string[];
  /** Folder that relative paths start from. */
  readonly directory: string;
  readonly inputs: readonly JobInput[];
}

/** A key whose signatures are asked for. */
export interface RequestedKey {
  /** SHA-256 of the SubjectPublicKeyInfo, in hex. */
  readonly id: string;
  /** The reference as the job names it, without secrets; null where only a certificate was given. */
  readonly reference: string | null;
  /** The file of the certificate as the job names it. */
  readonly certificate: string | null;
  /** SubjectPublicKeyInfo, PEM. */
  readonly publicKey: string;
  /** X.509, PEM, the key's own first. */
  readonly certificates: readonly string[];
}

/** One signature that is asked for. */
export interface SignatureRequest {
  /** Depends on what is signed only: `apk-v3-1f0c8a5be2d94c07`. */
  readonly id: string;
  /** What carries the signature, as the job names it. */
  readonly artefact: string;
  readonly purpose: SignaturePurpose | null;
  readonly scheme: SignatureScheme;
  readonly hash: SignatureHash;
  /** The same in the words of those who sign such things: `SHA256_RSA4096`, `SHA256withECDSA`. */
  readonly algorithm: string;
  /** `id` of the key. */
  readonly key: string;
  /** The hash of the bytes, in hex; null for Ed25519, which signs the bytes themselves. */
  readonly digest: string | null;
  /** File of the bytes to be signed, its size, and its SHA-256. */
  readonly data: string;
  readonly dataSize: number;
  readonly dataSha256: string;
  /** File of `digest` in binary, for those who sign hashes only; null as `digest` is. */
  readonly digestFile: string | null;
  /** File in which the signature is expected. */
  readonly signature: string;
  /** Which run asked for it, from 1: later signatures may cover earlier ones. */
  readonly round: number;
  readonly state: 'needed' | 'attached';
}

export interface RequestDocument {
  readonly schemaVersion: 1;
  readonly job: SigningJobDescription;
  readonly keys: readonly RequestedKey[];
  readonly requests: readonly SignatureRequest[];
}

/** The text of a request: fixed order of keys, one newline at the end. */
export const formatRequest = (document: RequestDocument): string =>
  `${JSON.stringify(document, undefined, 2)}\n`;

/** A request of a bundle has a dozen signatures; a file beyond this is something else. */
export const MAX_REQUEST_SIZE: number = 16 << 20;

const digest = matching(/^(?:[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/, 'a digest');

/** No folder, no hidden file: nothing outside the folder of the request is ever named. */
const fileName = matching(/^[a-z0-9][a-z0-9.-]{0,100}$/, 'the name of a file in the folder');

const PURPOSES = [
  'jar',
  'apk-v2',
  'apk-v3',
  'apk-v3.1',
  'apk-v4',
  'source-stamp',
  'lineage',
  'vbmeta',
  'root-hash',
  'fs-verity',
  'dsse',
  'certificate',
] as const satisfies readonly SignaturePurpose[];

const readDocument = record<RequestDocument>({
  schemaVersion: oneOf(1),
  job: record<SigningJobDescription>({
    command: list(matching(/^[a-z][a-z0-9_-]{0,40}$/, 'the name of a command')),
    arguments: list(text),
    directory: text,
    inputs: list(record<JobInput>({ path: text, size: count, sha256: hex(32) })),
  }),
  keys: list(
    record<RequestedKey>({
      id: hex(32),
      reference: nullable(text),
      certificate: nullable(text),
      publicKey: text,
      certificates: list(text),
    }),
  ),
  requests: list(
    record<SignatureRequest>({
      id: matching(/^[a-z0-9.-]{1,80}$/, 'an id'),
      artefact: text,
      purpose: nullable(oneOf(...PURPOSES)),
      scheme: oneOf('rsa-pkcs1', 'rsa-pss', 'ecdsa', 'dsa', 'ed25519'),
      hash: oneOf('sha1', 'sha256', 'sha384', 'sha512'),
      algorithm: text,
      key: hex(32),
      digest: nullable(digest),
      data: fileName,
      dataSize: count,
      dataSha256: hex(32),
      digestFile: nullable(fileName),
      signature: fileName,
      round: count,
      state: oneOf('needed', 'attached'),
    }),
  ),
});

/** @throws {FormatError} `signature-request`, naming the field. */
export function parseRequest(json: string): RequestDocument {
  return readStrictJson(
    json,
    (value, field) => {
      const document = readDocument(value, field);
      const ids = document.requests.map(({ id }) => id);
      if (new Set(ids).size !== ids.length) {
        wrongField('requests', 'free of requests of the same id');
      }
      const keys = new Set(document.keys.map(({ id }) => id));
      const lost = document.requests.findIndex(({ key }) => !keys.has(key));
      if (lost >= 0) wrongField(`requests[${lost}].key`, 'one of the keys');
      return document;
    },
    'signature-request',
    REQUEST_FILE,
    'Prepare the job again, in another folder',
  );
}
