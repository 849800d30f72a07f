/**
 * The partition `payload-metadata`: what the payload disk holds and what to start.
 *
 * FORMAT: u32be size, protobuf message `Metadata`, zeros to the end of the partition.
 *
 * @see metadata.proto of AOSP Virtualization, libmicrodroid_payload_metadata
 */

import { FormatError } from '../../core/errors.ts';
import type { DumpNode } from '../../core/dump.ts';
import { be } from '../struct.ts';
import { decodeFields, encodeBytes, encodeNumber, type WireField } from './protobuf.ts';

const METADATA_VERSION = 1;
/** One that names hundreds of APEXes is far below this. */
const MAX_SIZE = 1 << 20;

export interface ApexPayload {
  readonly name: string;
  readonly partitionName: string;
  readonly publicKey: Uint8Array;
  readonly rootDigest: Uint8Array;
  /** Seconds since 1970, 0..2^64-1. */
  readonly lastUpdateSeconds: bigint;
  readonly isFactory: boolean;
  /** -2^63..2^63-1. */
  readonly manifestVersion: bigint;
  readonly manifestName: string;
}

export interface ApkPayload {
  readonly name: string;
  readonly payloadPartitionName: string;
  readonly idsigPartitionName: string;
}

/** What the guest starts: a configuration file inside the APK, or a library by name. */
export type PayloadStart =
  | { readonly kind: 'config-path'; readonly path: string }
  | {
      readonly kind: 'config';
      readonly payloadBinaryName: string;
      readonly extraApkCount: number;
    };

export interface PayloadMetadata {
  /** 1. */
  readonly version: number;
  readonly apexes: readonly ApexPayload[];
  readonly apk: ApkPayload | undefined;
  readonly payload: PayloadStart | undefined;
}

/** The metadata of a payload disk with one APK, as microbuild writes it. */
export function payloadMetadata(payload: PayloadStart): PayloadMetadata {
  return {
    version: METADATA_VERSION,
    apexes: [],
    apk: {
      name: 'apk',
      payloadPartitionName: 'microdroid-apk',
      idsigPartitionName: 'microdroid-apk-idsig',
    },
    payload,
  };
}

const concat = (...parts: readonly Uint8Array[]): Uint8Array =>
  new Uint8Array(Buffer.concat(parts));

function encodeApex(apex: ApexPayload): Uint8Array {
  return concat(
    encodeBytes(1, apex.name),
    encodeBytes(2, apex.partitionName),
    encodeBytes(3, apex.publicKey),
    encodeBytes(4, apex.rootDigest),
    encodeNumber(5, apex.lastUpdateSeconds),
    encodeNumber(6, apex.isFactory ? 1n : 0n),
    encodeNumber(7, apex.manifestVersion),
    encodeBytes(8, apex.manifestName),
  );
}

function encodePayload(payload: PayloadStart): Uint8Array {
  if (payload.kind === 'config-path') return encodeBytes(4, payload.path, true);
  const config = concat(
    encodeBytes(1, payload.payloadBinaryName),
    encodeNumber(2, BigInt(payload.extraApkCount)),
  );
  return encodeBytes(5, config, true);
}

/**
 * Encodes size and message; fields stand in the order of their numbers. The partition is padded by who
 * writes the disk.
 */
export function encodePayloadMetadata(metadata: PayloadMetadata): Uint8Array {
  const { apk, payload } = metadata;
  const message = concat(
    encodeNumber(1, BigInt(metadata.version)),
    ...metadata.apexes.map((apex) => encodeBytes(2, encodeApex(apex), true)),
    ...(apk === undefined
      ? []
      : [
          encodeBytes(
            3,
            concat(
              encodeBytes(1, apk.name),
              encodeBytes(2, apk.payloadPartitionName),
              encodeBytes(3, apk.idsigPartitionName),
            ),
            true,
          ),
        ]),
    ...(payload === undefined ? [] : [encodePayload(payload)]),
  );
  const out = new Uint8Array(4 + message.length);
  be.u32.write(new DataView(out.buffer), 0, message.length);
  out.set(message, 4);
  return out;
}

function refuse(
  code:
    | 'truncated'
    | 'bad-value'
    | 'bad-version'
    | 'too-large'
    | 'duplicate'
    | 'unsupported'
    | 'trailing-data',
  why: string,
  offset?: number,
): never {
  throw new FormatError('payload-metadata', code, `Cannot read payload metadata: ${why}`, {
    ...(offset !== undefined && { offset }),
  });
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The fields of one message by number, each at most once unless it is repeated. */
class Message {
  readonly #name: string;
  readonly #fields = new Map<number, WireField[]>();

  constructor(name: string, data: Uint8Array, base: number, known: number, repeated?: number) {
    this.#name = name;
    for (const field of decodeFields(data, base)) {
      const { number, offset } = field;
      if (number > known) refuse('unsupported', `${name} has an unknown field ${number}`, offset);
      const list = this.#fields.get(number) ?? [];
      if (list.length > 0 && number !== repeated) {
        refuse('duplicate', `${name} has field ${number} twice`, offset);
      }
      list.push(field);
      this.#fields.set(number, list);
    }
  }

  all(number: number): { data: Uint8Array; offset: number }[] {
    return (this.#fields.get(number) ?? []).map(({ value, offset }) =>
      typeof value === 'bigint'
        ? refuse('bad-value', `${this.#name}: field ${number} is a number`, offset)
        : { data: value, offset },
    );
  }

  message(number: number): { data: Uint8Array; offset: number } | undefined {
    return this.all(number)[0];
  }

  bytes(number: number): Uint8Array {
    return this.message(number)?.data ?? new Uint8Array(0);
  }

  text(number: number): string {
    const found = this.message(number);
    if (found === undefined) return '';
    try {
      return utf8.decode(found.data);
    } catch {
      return refuse('bad-value', `${this.#name}: field ${number} is not UTF-8`, found.offset);
    }
  }

  number(number: number, max: bigint): bigint {
    const field = this.#fields.get(number)?.[0];
    if (field === undefined) return 0n;
    if (typeof field.value !== 'bigint' || field.value > max) {
      return refuse('bad-value', `${this.#name}: field ${number} is out of range`, field.offset);
    }
    return field.value;
  }
}

const U32 = 0xffff_ffffn;
const U64 = 0xffff_ffff_ffff_ffffn;

function decodeApex(data: Uint8Array, offset: number): ApexPayload {
  const message = new Message('ApexPayload', data, offset, 8);
  return {
    name: message.text(1),
    partitionName: message.text(2),
    publicKey: message.bytes(3),
    rootDigest: message.bytes(4),
    lastUpdateSeconds: message.number(5, U64),
    isFactory: message.number(6, 1n) === 1n,
    manifestVersion: BigInt.asIntN(64, message.number(7, U64)),
    manifestName: message.text(8),
  };
}

function decodeStart(message: Message): PayloadStart | undefined {
  const path = message.message(4);
  const config = message.message(5);
  if (path !== undefined && config !== undefined) {
    refuse('duplicate', 'it has both a config path and a payload config', config.offset);
  }
  if (path !== undefined) return { kind: 'config-path', path: message.text(4) };
  if (config === undefined) return undefined;
  const fields = new Message('PayloadConfig', config.data, config.offset, 2);
  return {
    kind: 'config',
    payloadBinaryName: fields.text(1),
    extraApkCount: Number(fields.number(2, U32)),
  };
}

/**
 * Decodes the partition: size, message, and zeros behind it.
 *
 * @throws {FormatError} when it does not parse, has unknown fields, or fields twice.
 */
export function decodePayloadMetadata(data: Uint8Array): PayloadMetadata {
  if (data.length < 4) refuse('truncated', `it has ${data.length} bytes`);
  const size = be.u32.read(new DataView(data.buffer, data.byteOffset, 4), 0);
  if (size > MAX_SIZE) refuse('too-large', `it announces ${size} bytes`, 0);
  if (size > data.length - 4) refuse('truncated', `it announces ${size} bytes, less are there`, 0);
  const tail = data.subarray(4 + size).findIndex((byte) => byte !== 0);
  if (tail !== -1) refuse('trailing-data', 'bytes follow it that are not zero', 4 + size + tail);
  const message = new Message('Metadata', data.subarray(4, 4 + size), 4, 5, 2);
  const version = Number(message.number(1, U32));
  if (version !== METADATA_VERSION) refuse('bad-version', `its version is ${version}`);
  const apk = message.message(3);
  const fields = apk === undefined ? undefined : new Message('ApkPayload', apk.data, apk.offset, 3);
  return {
    version,
    apexes: message.all(2).map((apex) => decodeApex(apex.data, apex.offset)),
    apk:
      fields === undefined
        ? undefined
        : {
            name: fields.text(1),
            payloadPartitionName: fields.text(2),
            idsigPartitionName: fields.text(3),
          },
    payload: decodeStart(message),
  };
}

/** What `inspect` shows of the partition. */
export function dumpPayloadMetadata(data: Uint8Array): DumpNode {
  const { version, apexes, apk, payload } = decodePayloadMetadata(data);
  const children: DumpNode[] = apexes.map((apex) => ({
    name: `apex "${apex.name}"`,
    fields: [
      { name: 'partition_name', value: apex.partitionName },
      { name: 'last_update_seconds', value: apex.lastUpdateSeconds },
      { name: 'is_factory', value: apex.isFactory },
      { name: 'manifest_version', value: apex.manifestVersion },
      { name: 'manifest_name', value: apex.manifestName },
    ],
    children: [],
  }));
  if (apk !== undefined) {
    children.push({
      name: `apk "${apk.name}"`,
      fields: [
        { name: 'payload_partition_name', value: apk.payloadPartitionName },
        { name: 'idsig_partition_name', value: apk.idsigPartitionName },
      ],
      children: [],
    });
  }
  if (payload?.kind === 'config-path') {
    children.push({
      name: 'payload',
      fields: [{ name: 'config_path', value: payload.path }],
      children: [],
    });
  } else if (payload !== undefined) {
    children.push({
      name: 'payload',
      fields: [
        { name: 'payload_binary_name', value: payload.payloadBinaryName },
        { name: 'extra_apk_count', value: payload.extraApkCount },
      ],
      children: [],
    });
  }
  const size = be.u32.read(new DataView(data.buffer, data.byteOffset, 4), 0);
  return {
    name: 'payload metadata',
    fields: [
      { name: 'size', value: size, offset: 0 },
      { name: 'version', value: version },
    ],
    children,
  };
}
