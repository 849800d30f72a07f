/**
 * The folder of a job that is signed elsewhere: `request.json`, and for each signature the bytes to be
 * signed (`ID.tbs`), their hash (`ID.digest`), and the place of the signature (`ID.sig`).
 *
 * Only its owner may change it: whoever writes there says which keys the job is signed with.
 */

import { createPublicKey } from 'node:crypto';
import { chmod, constants, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fromHex } from '../../core/digest.ts';
import { UsageError, VerificationError } from '../../core/errors.ts';
import { writeDirectoryAtomic, writeFileAtomic, writeFileSynced } from '../../io/atomic-output.ts';
import { checkSignature, MAX_SIGNATURE_SIZE } from './check-signature.ts';
import {
  formatRequest,
  MAX_REQUEST_SIZE,
  parseRequest,
  REQUEST_FILE,
  type RequestDocument,
  type RequestedKey,
  type SignatureRequest,
} from './request.ts';
import type { FindSignature, NeededSignature } from './signers.ts';

/**
 * Writes a new request. Nothing that is there is overwritten.
 *
 * @throws {UsageError} `output` when the folder holds anything.
 */
export async function writeRequestFolder(
  folder: string,
  document: RequestDocument,
  needed: readonly NeededSignature[],
): Promise<void> {
  await requireEmpty(folder);
  await writeDirectoryAtomic(folder, async (temporary) => {
    await chmod(temporary, 0o700);
    for (const [name, data] of filesOf(needed)) {
      await writeFileSynced(join(temporary, name), data, 0o600);
    }
    await writeFileSynced(join(temporary, REQUEST_FILE), formatRequest(document), 0o600);
  });
}

/** @throws {UsageError} `output` when the folder holds anything. */
export async function requireEmpty(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === 'ENOENT') return [];
    if (error.code !== 'ENOTDIR') throw error;
    throw new UsageError('output', `Cannot prepare in ${folder}: it is not a folder`);
  });
  if (names.length === 0) return;
  throw new UsageError(
    'output',
    names.includes(REQUEST_FILE)
      ? `Cannot prepare in ${folder}: it holds another job`
      : `Cannot prepare in ${folder}: it is not empty`,
    { hint: 'Choose another folder, or remove that one' },
  );
}

const filesOf = (needed: readonly NeededSignature[]): [string, Uint8Array][] =>
  needed.flatMap(({ request, data }) => {
    const { digest, digestFile } = request;
    const files: [string, Uint8Array][] = [[request.data, data]];
    if (digest !== null && digestFile !== null) files.push([digestFile, fromHex(digest)]);
    return files;
  });

/** A folder that was prepared before. */
export interface RequestFolder {
  readonly document: RequestDocument;
  readonly find: FindSignature;
  /** Adds what is asked for in a later round. */
  add(needed: readonly NeededSignature[], keys: readonly RequestedKey[]): Promise<void>;
  /** Notes that the signatures that were found are part of the outputs. */
  finish(): Promise<void>;
}

/**
 * Opens a folder to attach its signatures.
 *
 * @throws {UsageError} `input` when it is no such folder, or others may change it.
 * @throws {FormatError} `signature-request` when its request is damaged.
 * @throws {VerificationError} `signature` when it holds a signature that nobody asked for.
 */
export async function openRequestFolder(folder: string): Promise<RequestFolder> {
  let document = await readRequest(folder);
  await refuseUnknown(folder, document);
  const found = new Set<string>();
  const write = (next: RequestDocument): Promise<void> => {
    document = next;
    return writeFileAtomic(join(folder, REQUEST_FILE), formatRequest(next), 0o600);
  };
  return {
    get document() {
      return document;
    },
    async find(id, publicKey, data, options) {
      const request = document.requests.find((each) => each.id === id);
      if (request === undefined) return undefined;
      const signature = await readOrMissing(join(folder, request.signature), MAX_SIGNATURE_SIZE);
      if (signature === undefined) return undefined;
      const checked = await checkSignature(request, publicKey, data, options, signature, {
        folder,
        read: (name) => readOrMissing(join(folder, name), MAX_REQUEST_SIZE),
        others: document.requests.filter((each) => each !== request),
        keys: document.keys.map((key) => ({ ...key, publicKey: createPublicKey(key.publicKey) })),
      });
      found.add(id);
      return checked;
    },
    async add(needed, added) {
      const known = new Set(document.requests.map(({ id }) => id));
      const fresh = needed.filter(({ request }) => !known.has(request.id));
      if (fresh.length === 0) return;
      for (const [name, data] of filesOf(fresh)) {
        await writeFileAtomic(join(folder, name), data, 0o600);
      }
      const requests = [...document.requests, ...fresh.map(({ request }) => request)];
      const keys = [...document.keys, ...added];
      await write({ ...document, keys, requests });
    },
    async finish() {
      const requests = document.requests.map((each): SignatureRequest =>
        found.has(each.id) ? { ...each, state: 'attached' } : each,
      );
      await write({ ...document, requests });
    },
  };
}

/** Reads the request of a folder, for those who need nothing else of it. */
export async function readRequest(folder: string): Promise<RequestDocument> {
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory() !== true) {
    throw new UsageError('input', `Cannot attach from ${folder}: there is no such folder`, {
      hint: 'Name the folder that was given to --prepare',
    });
  }
  if ((found.mode & 0o022) !== 0) {
    throw new UsageError('input', `Cannot attach from ${folder}: others may change what is in it`, {
      hint: `Look at what it asks for, then run: chmod go-w ${folder}`,
    });
  }
  const bytes = await readOrMissing(join(folder, REQUEST_FILE), MAX_REQUEST_SIZE);
  if (bytes === undefined) {
    throw new UsageError('input', `Cannot attach from ${folder}: it has no ${REQUEST_FILE}`, {
      hint: 'Name the folder that was given to --prepare',
    });
  }
  return parseRequest(Buffer.from(bytes).toString('utf8'));
}

async function refuseUnknown(folder: string, { requests }: RequestDocument): Promise<void> {
  const known = new Set(requests.map(({ signature }) => signature));
  const unknown = (await readdir(folder))
    .sort()
    .find((name) => isSignature(name) && !known.has(name));
  if (unknown === undefined) return;
  throw new VerificationError(
    'signature',
    'unknown-signature',
    `Cannot attach ${join(folder, unknown)}: no signature of this name was asked for`,
    { hint: `Name it as "signature" of its request in ${REQUEST_FILE} says, or remove it` },
  );
}

const isSignature = (name: string): boolean => name.endsWith('.sig') && !name.startsWith('.');

async function readOrMissing(path: string, limit: number): Promise<Uint8Array | undefined> {
  let handle;
  try {
    // Not blocking: to open a pipe would wait for its writer.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const stats = await handle.stat();
    if (!stats.isFile() || stats.size > limit) {
      throw new UsageError('input', `Cannot use ${path}: it is no file of ${limit} bytes at most`);
    }
    return new Uint8Array(await handle.readFile());
  } finally {
    await handle.close();
  }
}
