/**
 * The signing certificate lineage: the keys that an app has had, each certificate signed by the key
 * before it. It stands in v3 and v3.1 signers as the proof-of-rotation attribute, in source stamps, and
 * in a file of its own.
 *
 * FORMAT, each part behind its u32 length unless marked:
 * file: u32 magic, u32 version (bare), lineage
 * lineage: u32 version (bare), nodes, oldest first
 *   signed data
 *     certificate: X.509 DER
 *     u32 algorithm of the signature (bare), 0 in the first node
 *   u32 capabilities (bare)
 *   u32 algorithm with which this key signs the next node (bare), 0 in the last node
 *   signature over the signed data by the key before, empty in the first node
 *
 * @see https://source.android.com/docs/security/features/apksigning/v3#proof-of-rotation-and-self-trusted-old-certs-structs
 */

import { apkError, concat, cursor, prefixed, u32, type Cursor } from './length-prefixed.ts';

/** The attribute of v3 and v3.1 whose value is a lineage. */
export const PROOF_OF_ROTATION_ATTRIBUTE_ID = 0x3ba06f8c;

const LINEAGE_FILE_MAGIC = 0x3eff39d1;
const LINEAGE_VERSION = 1;

/** An app that rotates its key each year for two lifetimes stays below it. */
const MAX_NODES = 128;

/** A lineage as a file: that many nodes with RSA-16384 take half of it. */
export const MAX_LINEAGE_FILE_SIZE = 4 << 20;

/** What an app that is signed by a newer key still grants to one that is signed by an older key. */
export type LineageCapability =
  | 'installed-data'
  | 'shared-uid'
  | 'permission'
  | 'rollback'
  | 'auth';

const CAPABILITY_FLAGS: Readonly<Record<LineageCapability, number>> = {
  'installed-data': 1,
  'shared-uid': 2,
  permission: 4,
  rollback: 8,
  auth: 16,
};

/** In the order of their bits. */
export const lineageCapabilities = Object.keys(CAPABILITY_FLAGS) as readonly LineageCapability[];

/** What nodes have when nobody says otherwise: all but rollback, which lets old keys come back. */
export const DEFAULT_CAPABILITIES: number = 1 | 2 | 4 | 16;

export interface LineageNode {
  /** X.509 DER. */
  readonly certificate: Uint8Array;
  /** With which the key before has signed this node; signed itself. 0 in the first node. */
  readonly parentAlgorithm: number;
  /** The bits of `LineageCapability`; no signature covers them. */
  readonly capabilities: number;
  /** With which this node's key has signed the next node. 0 in the last node, as a rule. */
  readonly algorithm: number;
  /** Empty in the first node. */
  readonly signature: Uint8Array;
}

export const hasCapability = (capabilities: number, capability: LineageCapability): boolean =>
  (capabilities & CAPABILITY_FLAGS[capability]) !== 0;

/** The bits with those changed that `changes` names. */
export function changeCapabilities(
  capabilities: number,
  changes: Readonly<Partial<Record<LineageCapability, boolean>>>,
): number {
  let bits = capabilities;
  for (const capability of lineageCapabilities) {
    const wanted = changes[capability];
    if (wanted === undefined) continue;
    const flag = CAPABILITY_FLAGS[capability];
    bits = wanted ? bits | flag : bits & ~flag;
  }
  return bits >>> 0;
}

/** The bytes that the key before signs. */
export const encodeLineageSignedData = (certificate: Uint8Array, algorithm: number): Uint8Array =>
  concat([prefixed(certificate), u32(algorithm)]);

/** Encodes a lineage as the value of an attribute. */
export const encodeLineage = (nodes: readonly LineageNode[]): Uint8Array =>
  concat([
    u32(LINEAGE_VERSION),
    ...nodes.map((node) =>
      prefixed(
        prefixed(encodeLineageSignedData(node.certificate, node.parentAlgorithm)),
        u32(node.capabilities),
        u32(node.algorithm),
        prefixed(node.signature),
      ),
    ),
  ]);

/** Encodes a lineage as a file. */
export const encodeLineageFile = (nodes: readonly LineageNode[]): Uint8Array =>
  concat([u32(LINEAGE_FILE_MAGIC), u32(LINEAGE_VERSION), prefixed(encodeLineage(nodes))]);

function checkVersion(from: Cursor): void {
  const where = { offset: from.offset, field: 'version' };
  const version = from.u32('version of the lineage');
  if (version !== LINEAGE_VERSION) {
    throw apkError(
      'bad-version',
      `Cannot read lineage: version ${version}, expected ${LINEAGE_VERSION}`,
      where,
    );
  }
}

function readNode(from: Cursor): LineageNode {
  const signed = from.nested('signed data of a lineage node');
  const certificate = signed.prefixed('certificate of a lineage node');
  const parentAlgorithm = signed.u32('signature algorithm of a lineage node');
  signed.end('the signed data of a lineage node');
  const capabilities = from.u32('capabilities of a lineage node');
  const algorithm = from.u32('next signature algorithm of a lineage node');
  const signature = from.prefixed('signature of a lineage node');
  from.end('a lineage node');
  return { certificate, parentAlgorithm, capabilities, algorithm, signature };
}

function* readNodes(from: Cursor): Generator<LineageNode, void, undefined> {
  checkVersion(from);
  for (let count = 1; from.left > 0; count++) {
    if (count > MAX_NODES) {
      throw apkError('too-large', `Cannot read lineage: it has more than ${MAX_NODES} nodes`, {
        offset: from.offset,
      });
    }
    yield readNode(from.nested('lineage node'));
  }
}

/**
 * The nodes in the value of the proof-of-rotation attribute, one by one. Nothing is said of their
 * signatures.
 *
 * @param offset Where the value stands in the file, for errors.
 * @throws {FormatError} when it is of another version, a length leaves its parent, or bytes are left
 *   over, since no signature covers them.
 */
export const lineageNodes = (
  value: Uint8Array,
  offset = 0,
): Generator<LineageNode, void, undefined> => readNodes(cursor(value, offset));

/**
 * All of `lineageNodes`.
 *
 * @throws {FormatError} as they do.
 */
export const decodeLineage = (value: Uint8Array, offset = 0): readonly LineageNode[] => [
  ...lineageNodes(value, offset),
];

/** Whether a file starts as a lineage does. */
export const isLineageFile = (bytes: Uint8Array): boolean =>
  bytes.length >= 4 &&
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) === LINEAGE_FILE_MAGIC;

/**
 * Decodes a lineage file.
 *
 * @throws {FormatError} when it is none, or has no nodes, or as `decodeLineage`.
 */
export function decodeLineageFile(bytes: Uint8Array): readonly LineageNode[] {
  if (!isLineageFile(bytes)) {
    throw apkError('bad-magic', 'Cannot read lineage: it does not start with its magic', {
      offset: 0,
      field: 'magic',
    });
  }
  const file = cursor(bytes.subarray(4), 4);
  checkVersion(file);
  const lineage = file.nested('lineage');
  file.end('the lineage');
  const nodes = [...readNodes(lineage)];
  if (nodes.length === 0) {
    throw apkError('truncated', 'Cannot read lineage: it has no nodes', { offset: 16 });
  }
  return nodes;
}
