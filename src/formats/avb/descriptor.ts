/**
 * The five descriptors of a vbmeta image.
 *
 * A list is decoded whole or not at all: libavb's own walk ends quietly at the first descriptor that
 * does not parse, and what then is "not listed" would look like "not there".
 */

import { FormatError } from '../../core/errors.ts';
import { alignUp, toSafeNumber } from '../../core/math.ts';
import {
  AVB_DESCRIPTOR_TAG_CHAIN_PARTITION,
  AVB_DESCRIPTOR_TAG_HASH,
  AVB_DESCRIPTOR_TAG_HASHTREE,
  AVB_DESCRIPTOR_TAG_KERNEL_CMDLINE,
  AVB_DESCRIPTOR_TAG_PROPERTY,
  chainPartitionDescriptor,
  descriptorHead,
  hashDescriptor,
  hashtreeDescriptor,
  kernelCmdlineDescriptor,
  propertyDescriptor,
} from './layout.ts';
import { DescriptorReader } from './descriptor-reader.ts';
import { decodePaddedText, encodePaddedText, encodeText, plainBytes, requireZero } from './text.ts';

/** A named value, covered by the signature. */
export interface PropertyDescriptor {
  readonly kind: 'property';
  readonly key: string;
  readonly value: Uint8Array;
}

/** A dm-verity hash tree over a partition. Sizes and offsets are bytes from the start of the partition. */
export interface HashtreeDescriptor {
  readonly kind: 'hashtree';
  readonly dmVerityVersion: number;
  readonly imageSize: number;
  readonly treeOffset: number;
  readonly treeSize: number;
  readonly dataBlockSize: number;
  readonly hashBlockSize: number;
  /** Reed-Solomon roots; 0 when there is no FEC. */
  readonly fecNumRoots: number;
  readonly fecOffset: number;
  readonly fecSize: number;
  /** Name as in dm-verity: `sha1`, `sha256`, `sha512`, `blake2b-256`. */
  readonly hashAlgorithm: string;
  readonly partitionName: string;
  readonly salt: Uint8Array;
  /** Empty when the digest is kept elsewhere (`use_persistent_digest`). */
  readonly rootDigest: Uint8Array;
  /** 1: the partition has no A/B slots; 2: check every block at most once. */
  readonly flags: number;
}

/** The digest of a whole image: hash(salt, first `imageSize` bytes). */
export interface HashDescriptor {
  readonly kind: 'hash';
  readonly imageSize: number;
  readonly hashAlgorithm: string;
  readonly partitionName: string;
  readonly salt: Uint8Array;
  readonly digest: Uint8Array;
  /** 1: the partition has no A/B slots. */
  readonly flags: number;
}

/** Text for the kernel command line. */
export interface KernelCmdlineDescriptor {
  readonly kind: 'kernel-cmdline';
  /** 1: only when hash trees are not disabled; 2: only when they are. */
  readonly flags: number;
  readonly kernelCmdline: string;
}

/** Hands the trust for a partition to another key. */
export interface ChainPartitionDescriptor {
  readonly kind: 'chain-partition';
  readonly rollbackIndexLocation: number;
  readonly partitionName: string;
  /** AVB's own encoding: `decodeRsaPublicKey`. */
  readonly publicKey: Uint8Array;
  /** 1: the partition has no A/B slots. */
  readonly flags: number;
}

export type Descriptor =
  | PropertyDescriptor
  | HashtreeDescriptor
  | HashDescriptor
  | KernelCmdlineDescriptor
  | ChainPartitionDescriptor;

function size(value: bigint, field: string, offset: number): number {
  try {
    return toSafeNumber(value, field);
  } catch (cause) {
    throw new FormatError('avb', 'too-large', `Cannot read ${field}: it is ${value}`, {
      offset,
      field,
      cause,
    });
  }
}

function decodeOne(tag: bigint, data: Uint8Array, offset: number): Descriptor {
  switch (Number(tag)) {
    case AVB_DESCRIPTOR_TAG_PROPERTY: {
      const reader = new DescriptorReader('property descriptor', data, offset);
      const head = reader.fixed(propertyDescriptor);
      const key = reader.text(head.key_num_bytes, 'key');
      reader.nul('key');
      const value = reader.bytes(head.value_num_bytes, 'value');
      reader.nul('value');
      reader.end();
      return { kind: 'property', key, value };
    }
    case AVB_DESCRIPTOR_TAG_HASHTREE: {
      const reader = new DescriptorReader('hashtree descriptor', data, offset);
      const head = reader.fixed(hashtreeDescriptor);
      requireZero(head.reserved, 'hashtree descriptor.reserved', offset + 104);
      const descriptor: HashtreeDescriptor = {
        kind: 'hashtree',
        dmVerityVersion: head.dm_verity_version,
        imageSize: size(head.image_size, 'hashtree descriptor.image_size', offset + 4),
        treeOffset: size(head.tree_offset, 'hashtree descriptor.tree_offset', offset + 12),
        treeSize: size(head.tree_size, 'hashtree descriptor.tree_size', offset + 20),
        dataBlockSize: head.data_block_size,
        hashBlockSize: head.hash_block_size,
        fecNumRoots: head.fec_num_roots,
        fecOffset: size(head.fec_offset, 'hashtree descriptor.fec_offset', offset + 40),
        fecSize: size(head.fec_size, 'hashtree descriptor.fec_size', offset + 48),
        hashAlgorithm: decodePaddedText(
          head.hash_algorithm,
          'hashtree descriptor.hash_algorithm',
          offset + 56,
          false,
        ),
        partitionName: reader.text(head.partition_name_len, 'partition_name'),
        salt: reader.bytes(head.salt_len, 'salt'),
        rootDigest: reader.bytes(head.root_digest_len, 'root_digest'),
        flags: head.flags,
      };
      reader.end();
      return descriptor;
    }
    case AVB_DESCRIPTOR_TAG_HASH: {
      const reader = new DescriptorReader('hash descriptor', data, offset);
      const head = reader.fixed(hashDescriptor);
      requireZero(head.reserved, 'hash descriptor.reserved', offset + 56);
      const descriptor: HashDescriptor = {
        kind: 'hash',
        imageSize: size(head.image_size, 'hash descriptor.image_size', offset),
        hashAlgorithm: decodePaddedText(
          head.hash_algorithm,
          'hash descriptor.hash_algorithm',
          offset + 8,
          false,
        ),
        partitionName: reader.text(head.partition_name_len, 'partition_name'),
        salt: reader.bytes(head.salt_len, 'salt'),
        digest: reader.bytes(head.digest_len, 'digest'),
        flags: head.flags,
      };
      reader.end();
      return descriptor;
    }
    case AVB_DESCRIPTOR_TAG_KERNEL_CMDLINE: {
      const reader = new DescriptorReader('kernel cmdline descriptor', data, offset);
      const head = reader.fixed(kernelCmdlineDescriptor);
      const kernelCmdline = reader.text(head.kernel_cmdline_length, 'kernel_cmdline');
      reader.end();
      return { kind: 'kernel-cmdline', flags: head.flags, kernelCmdline };
    }
    case AVB_DESCRIPTOR_TAG_CHAIN_PARTITION: {
      const reader = new DescriptorReader('chain partition descriptor', data, offset);
      const head = reader.fixed(chainPartitionDescriptor);
      requireZero(head.reserved, 'chain partition descriptor.reserved', offset + 16);
      const descriptor: ChainPartitionDescriptor = {
        kind: 'chain-partition',
        rollbackIndexLocation: head.rollback_index_location,
        partitionName: reader.text(head.partition_name_len, 'partition_name'),
        publicKey: reader.bytes(head.public_key_len, 'public_key'),
        flags: head.flags,
      };
      reader.end();
      return descriptor;
    }
    default:
      throw new FormatError('avb', 'unsupported', `Cannot read descriptor: its tag is ${tag}`, {
        offset: offset - descriptorHead.size,
        field: 'descriptor.tag',
      });
  }
}

/** A descriptor with its place, for `dump`. */
export interface PlacedDescriptor {
  readonly descriptor: Descriptor;
  /** Of the descriptor's head, in bytes from where the list's own offset counts. */
  readonly offset: number;
  /** Head, fields and padding, in bytes. */
  readonly size: number;
}

/**
 * Decodes a list of descriptors that fills `input` exactly.
 *
 * @param offset Where `input` stands in the file, for errors.
 * @throws {FormatError} when any of them does not parse.
 */
export function decodeDescriptors(input: Uint8Array, offset = 0): PlacedDescriptor[] {
  const data = plainBytes(input);
  const descriptors: PlacedDescriptor[] = [];
  for (let at = 0; at < data.length;) {
    const left = data.length - at;
    if (left < descriptorHead.size) {
      throw new FormatError(
        'avb',
        'truncated',
        `Cannot read descriptor: it needs ${descriptorHead.size} bytes, found ${left}`,
        { offset: offset + at },
      );
    }
    const head = descriptorHead.decode(data, at);
    const following = head.num_bytes_following;
    if (following % 8n !== 0n || following > left - descriptorHead.size) {
      throw new FormatError(
        'avb',
        following % 8n === 0n ? 'out-of-range' : 'bad-value',
        `Cannot read descriptor: ${following} bytes follow its head, ${left - descriptorHead.size} are left` +
          ' and a multiple of 8 is needed',
        { offset: offset + at + 8, field: 'descriptor.num_bytes_following' },
      );
    }
    const start = at + descriptorHead.size;
    const end = start + Number(following);
    descriptors.push({
      descriptor: decodeOne(head.tag, data.subarray(start, end), offset + start),
      offset: offset + at,
      size: end - at,
    });
    at = end;
  }
  return descriptors;
}

function assemble(tag: number, parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const following = alignUp(length, 8);
  const out = new Uint8Array(descriptorHead.size + following);
  out.set(descriptorHead.encode({ tag: BigInt(tag), num_bytes_following: BigInt(following) }));
  let at = descriptorHead.size;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const NUL = new Uint8Array(1);
const RESERVED = new Uint8Array(60);

/**
 * Encodes one descriptor, padded to a multiple of 8 bytes.
 *
 * @throws {RangeError} when a text holds a NUL or a value does not fit its field.
 */
export function encodeDescriptor(descriptor: Descriptor): Uint8Array {
  switch (descriptor.kind) {
    case 'property': {
      const key = encodeText(descriptor.key, 'property key');
      const fixed = propertyDescriptor.encode({
        key_num_bytes: BigInt(key.length),
        value_num_bytes: BigInt(descriptor.value.length),
      });
      return assemble(AVB_DESCRIPTOR_TAG_PROPERTY, [fixed, key, NUL, descriptor.value, NUL]);
    }
    case 'hashtree': {
      const name = encodeText(descriptor.partitionName, 'partition name');
      const fixed = hashtreeDescriptor.encode({
        dm_verity_version: descriptor.dmVerityVersion,
        image_size: BigInt(descriptor.imageSize),
        tree_offset: BigInt(descriptor.treeOffset),
        tree_size: BigInt(descriptor.treeSize),
        data_block_size: descriptor.dataBlockSize,
        hash_block_size: descriptor.hashBlockSize,
        fec_num_roots: descriptor.fecNumRoots,
        fec_offset: BigInt(descriptor.fecOffset),
        fec_size: BigInt(descriptor.fecSize),
        hash_algorithm: encodePaddedText(descriptor.hashAlgorithm, 'hash algorithm', 32, false),
        partition_name_len: name.length,
        salt_len: descriptor.salt.length,
        root_digest_len: descriptor.rootDigest.length,
        flags: descriptor.flags,
        reserved: RESERVED,
      });
      return assemble(AVB_DESCRIPTOR_TAG_HASHTREE, [
        fixed,
        name,
        descriptor.salt,
        descriptor.rootDigest,
      ]);
    }
    case 'hash': {
      const name = encodeText(descriptor.partitionName, 'partition name');
      const fixed = hashDescriptor.encode({
        image_size: BigInt(descriptor.imageSize),
        hash_algorithm: encodePaddedText(descriptor.hashAlgorithm, 'hash algorithm', 32, false),
        partition_name_len: name.length,
        salt_len: descriptor.salt.length,
        digest_len: descriptor.digest.length,
        flags: descriptor.flags,
        reserved: RESERVED,
      });
      return assemble(AVB_DESCRIPTOR_TAG_HASH, [fixed, name, descriptor.salt, descriptor.digest]);
    }
    case 'kernel-cmdline': {
      const text = encodeText(descriptor.kernelCmdline, 'kernel command line');
      const fixed = kernelCmdlineDescriptor.encode({
        flags: descriptor.flags,
        kernel_cmdline_length: text.length,
      });
      return assemble(AVB_DESCRIPTOR_TAG_KERNEL_CMDLINE, [fixed, text]);
    }
    case 'chain-partition': {
      const name = encodeText(descriptor.partitionName, 'partition name');
      const fixed = chainPartitionDescriptor.encode({
        rollback_index_location: descriptor.rollbackIndexLocation,
        partition_name_len: name.length,
        public_key_len: descriptor.publicKey.length,
        flags: descriptor.flags,
        reserved: RESERVED,
      });
      return assemble(AVB_DESCRIPTOR_TAG_CHAIN_PARTITION, [fixed, name, descriptor.publicKey]);
    }
    default:
      return descriptor satisfies never;
  }
}
