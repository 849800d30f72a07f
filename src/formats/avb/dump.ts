/** What `inspect` shows of an image with a vbmeta: footer, header, blocks, every descriptor. */

import { sha256, toHex } from '../../core/digest.ts';
import type { DumpField, DumpNode } from '../../core/dump.ts';
import { bytesSource, type ByteSource } from '../../io/byte-source.ts';
import type { PlacedDescriptor } from './descriptor.ts';
import { AVB_FOOTER_SIZE, readVbmeta } from './footer.ts';
import { descriptorHead, vbmetaHeader } from './layout.ts';
import { decodeVbmeta, type Vbmeta } from './vbmeta.ts';

/** Bytes as text where every one is printable ASCII, as hexadecimal elsewhere. */
function showBytes(value: Uint8Array): string {
  const printable = value.every((byte) => byte >= 0x20 && byte < 0x7f);
  return printable ? Buffer.from(value).toString('latin1') : `0x${toHex(value)}`;
}

function dumpDescriptor({ descriptor, offset, size }: PlacedDescriptor, base: number): DumpNode {
  const at = base + offset;
  const body = at + descriptorHead.size;
  const common: DumpField[] = [{ name: 'size', value: size, offset: at }];
  const node = (name: string, fields: readonly DumpField[]): DumpNode => ({
    name,
    fields: [...common, ...fields],
    children: [],
  });
  switch (descriptor.kind) {
    case 'property':
      return node(`property descriptor "${descriptor.key}"`, [
        { name: 'key', value: descriptor.key, offset: body + 16 },
        { name: 'value', value: showBytes(descriptor.value) },
      ]);
    case 'hashtree':
      return node(`hashtree descriptor "${descriptor.partitionName}"`, [
        { name: 'dm_verity_version', value: descriptor.dmVerityVersion, offset: body },
        { name: 'image_size', value: descriptor.imageSize, offset: body + 4 },
        { name: 'tree_offset', value: descriptor.treeOffset, offset: body + 12 },
        { name: 'tree_size', value: descriptor.treeSize, offset: body + 20 },
        { name: 'data_block_size', value: descriptor.dataBlockSize, offset: body + 28 },
        { name: 'hash_block_size', value: descriptor.hashBlockSize, offset: body + 32 },
        { name: 'fec_num_roots', value: descriptor.fecNumRoots, offset: body + 36 },
        { name: 'fec_offset', value: descriptor.fecOffset, offset: body + 40 },
        { name: 'fec_size', value: descriptor.fecSize, offset: body + 48 },
        { name: 'hash_algorithm', value: descriptor.hashAlgorithm, offset: body + 56 },
        { name: 'salt', value: toHex(descriptor.salt) },
        { name: 'root_digest', value: toHex(descriptor.rootDigest) },
        { name: 'flags', value: descriptor.flags, offset: body + 100 },
      ]);
    case 'hash':
      return node(`hash descriptor "${descriptor.partitionName}"`, [
        { name: 'image_size', value: descriptor.imageSize, offset: body },
        { name: 'hash_algorithm', value: descriptor.hashAlgorithm, offset: body + 8 },
        { name: 'salt', value: toHex(descriptor.salt) },
        { name: 'digest', value: toHex(descriptor.digest) },
        { name: 'flags', value: descriptor.flags, offset: body + 52 },
      ]);
    case 'kernel-cmdline':
      return node('kernel cmdline descriptor', [
        { name: 'flags', value: descriptor.flags, offset: body },
        { name: 'kernel_cmdline', value: descriptor.kernelCmdline, offset: body + 8 },
      ]);
    case 'chain-partition':
      return node(`chain partition descriptor "${descriptor.partitionName}"`, [
        { name: 'rollback_index_location', value: descriptor.rollbackIndexLocation, offset: body },
        { name: 'public_key_sha256', value: toHex(sha256(descriptor.publicKey)) },
        { name: 'flags', value: descriptor.flags, offset: body + 12 },
      ]);
    default:
      return descriptor satisfies never;
  }
}

function dumpStruct(vbmeta: Vbmeta, base: number): DumpNode {
  const auxiliary = base + vbmetaHeader.size + vbmeta.authenticationBlock.length;
  return {
    name: 'vbmeta',
    fields: [
      { name: 'size', value: vbmeta.size, offset: base },
      {
        name: 'digest',
        value: toHex(sha256(vbmeta.header, vbmeta.authenticationBlock, vbmeta.auxiliaryBlock)),
      },
    ],
    children: [
      {
        name: 'header',
        fields: [
          {
            name: 'required_libavb_version',
            value: `${vbmeta.requiredMajor}.${vbmeta.requiredMinor}`,
            offset: base + 4,
          },
          {
            name: 'authentication_data_block_size',
            value: vbmeta.authenticationBlock.length,
            offset: base + 12,
          },
          {
            name: 'auxiliary_data_block_size',
            value: vbmeta.auxiliaryBlock.length,
            offset: base + 20,
          },
          { name: 'algorithm', value: vbmeta.algorithm, offset: base + 28 },
          { name: 'rollback_index', value: vbmeta.rollbackIndex, offset: base + 112 },
          { name: 'flags', value: vbmeta.flags, offset: base + 120 },
          {
            name: 'rollback_index_location',
            value: vbmeta.rollbackIndexLocation,
            offset: base + 124,
          },
          { name: 'release_string', value: vbmeta.releaseString, offset: base + 128 },
        ],
        children: [],
      },
      {
        name: 'authentication block',
        fields: [
          { name: 'hash', value: toHex(vbmeta.hash), offset: base + vbmetaHeader.size },
          { name: 'signature', value: toHex(vbmeta.signature) },
        ],
        children: [],
      },
      {
        name: 'auxiliary block',
        fields: [
          { name: 'size', value: vbmeta.auxiliaryBlock.length, offset: auxiliary },
          { name: 'public_key_size', value: vbmeta.publicKey.length },
          { name: 'public_key_sha256', value: toHex(sha256(vbmeta.publicKey)) },
          { name: 'public_key_metadata_size', value: vbmeta.publicKeyMetadata.length },
        ],
        children: vbmeta.placedDescriptors.map((placed) => dumpDescriptor(placed, base)),
      },
    ],
  };
}

/**
 * Describes a vbmeta image, or the footer and vbmeta of a partition image.
 *
 * @throws {FormatError} when the image has no vbmeta that decodes.
 */
export async function dumpVbmeta(
  image: ByteSource | Uint8Array,
  options: { readonly anyVersion?: boolean } = {},
): Promise<DumpNode> {
  const source = image instanceof Uint8Array ? bytesSource(image) : image;
  const { bytes, offset, footer } = await readVbmeta(source);
  const vbmeta = dumpStruct(decodeVbmeta(bytes, options), offset);
  if (footer === undefined) return vbmeta;
  const at = source.size - AVB_FOOTER_SIZE;
  return {
    name: 'AVB image',
    fields: [{ name: 'size', value: source.size }],
    children: [
      vbmeta,
      {
        name: 'footer',
        fields: [
          { name: 'original_image_size', value: footer.originalImageSize, offset: at + 12 },
          { name: 'vbmeta_offset', value: footer.vbmetaOffset, offset: at + 20 },
          { name: 'vbmeta_size', value: footer.vbmetaSize, offset: at + 28 },
        ],
        children: [],
      },
    ],
  };
}
