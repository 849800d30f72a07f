/**
 * Signers that do not sign. One records what is to be signed elsewhere; the other answers with the
 * signatures that came from there, and records what is still missing.
 *
 * Both reject with `SignaturesNeeded` where there is no signature yet. A job asks for all signatures
 * that do not depend on each other before it awaits any, so that one round holds them all; what depends
 * on them follows in the next.
 */

import { createHash, type KeyObject } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { sha256, toHex } from '../../core/digest.ts';
import { MicrobuildError } from '../../core/errors.ts';
import { publicKeyDigest } from '../keys/development.ts';
import type { SignatureOptions, Signer } from '../signer.ts';
import { algorithmName } from './algorithm.ts';
import type { SignatureRequest } from './request.ts';

/** The bytes are known, their signature is not: it is made elsewhere. */
export class SignaturesNeeded extends MicrobuildError {
  readonly code = 'signatures-needed';
}

/** What one run of a job asks for. */
export interface NeededSignature {
  readonly request: SignatureRequest;
  /** The bytes to be signed. */
  readonly data: Uint8Array;
}

/** Collects what is to be signed; the same bytes for the same key are asked for once. */
export interface Recorder {
  /** In an order that depends on what is signed only. */
  needed(): readonly NeededSignature[];
  add(artefact: string, publicKey: KeyObject, data: Uint8Array, options: SignatureOptions): void;
}

/** @param round Which run of the job this is, from 1. */
export function createRecorder(round: number): Recorder {
  const all = new Map<string, NeededSignature>();
  return {
    needed: () => [...all.values()].sort((a, b) => order(a.request, b.request)),
    add(artefact, publicKey, data, options) {
      const request = describe(artefact, publicKey, data, options, round);
      // Copied: whoever asks may use its buffer again.
      if (!all.has(request.id)) all.set(request.id, { request, data: Uint8Array.from(data) });
    },
  };
}

const order = (a: SignatureRequest, b: SignatureRequest): number => {
  const [left, right] = [a, b].map(({ artefact, id }) => `${artefact}\0${id}`);
  return (left ?? '') < (right ?? '') ? -1 : 1;
};

/** Names what is signed, by which key and how: equal for equal requests, different for others. */
export function requestId(
  publicKey: KeyObject,
  data: Uint8Array,
  { purpose, scheme, hash }: SignatureOptions,
): string {
  const how = Buffer.from(`${scheme}\0${hash}\0`);
  const digest = sha256(how, publicKeyDigest(publicKey), sha256(data));
  return `${purpose ?? 'signature'}-${toHex(digest.subarray(0, 8))}`;
}

function describe(
  artefact: string,
  publicKey: KeyObject,
  data: Uint8Array,
  options: SignatureOptions,
  round: number,
): SignatureRequest {
  const id = requestId(publicKey, data, options);
  const { scheme, hash, purpose = null } = options;
  // Ed25519 hashes in a way of its own, in which the key takes part.
  const hasDigest = scheme !== 'ed25519';
  return {
    id,
    artefact,
    purpose,
    scheme,
    hash,
    algorithm: algorithmName(publicKey, options),
    key: toHex(publicKeyDigest(publicKey)),
    digest: hasDigest ? createHash(hash).update(data).digest('hex') : null,
    data: `${id}.tbs`,
    dataSize: data.length,
    dataSha256: toHex(sha256(data)),
    digestFile: hasDigest ? `${id}.digest` : null,
    signature: `${id}.sig`,
    round,
    state: 'needed',
  };
}

async function refuse(): Promise<never> {
  // What is asked for at the same time is recorded before anybody learns that it is not there.
  await setImmediate();
  throw new SignaturesNeeded('The signature is made elsewhere', {
    hint: 'Sign what the request names, and attach it',
  });
}

/** A signer that records everything. */
export function preparedSigner(publicKey: KeyObject, artefact: string, recorder: Recorder): Signer {
  return {
    publicKey,
    sign(data, options) {
      recorder.add(artefact, publicKey, data, options);
      return refuse();
    },
  };
}

/** Looks up a signature that came back: checked, or undefined where it is not there yet. */
export type FindSignature = (
  id: string,
  publicKey: KeyObject,
  data: Uint8Array,
  options: SignatureOptions,
) => Promise<Uint8Array | undefined>;

/** A signer that answers with signatures that were made elsewhere. */
export function attachingSigner(
  publicKey: KeyObject,
  artefact: string,
  find: FindSignature,
  recorder: Recorder,
): Signer {
  return {
    publicKey,
    async sign(data, options) {
      const id = requestId(publicKey, data, options);
      const signature = await find(id, publicKey, data, options);
      if (signature !== undefined) return signature;
      recorder.add(artefact, publicKey, data, options);
      return refuse();
    },
  };
}
