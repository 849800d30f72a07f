/** Prints what avbtool's info_image prints, from our decoder. */

import { createHash } from 'node:crypto';
import { toHex } from '../../../src/core/digest.ts';
import type { Descriptor } from '../../../src/formats/avb/descriptor.ts';
import { readVbmeta } from '../../../src/formats/avb/footer.ts';
import { decodeVbmeta } from '../../../src/formats/avb/vbmeta.ts';
import { bytesSource } from '../../../src/io/byte-source.ts';

const sha1 = (data: Uint8Array): string => createHash('sha1').update(data).digest('hex');

type Rows = [label: string, value: string | number | bigint][];

/** A Python `bytes` or `str` in quotes. */
const quoted = (value: Uint8Array): string => `'${Buffer.from(value).toString('utf8')}'`;

function descriptorRows(descriptor: Descriptor): { title: string; rows: Rows } {
  switch (descriptor.kind) {
    case 'property':
      return {
        title: `    Prop: ${descriptor.key} -> ${quoted(descriptor.value)}`,
        rows: [],
      };
    case 'hashtree':
      return {
        title: '    Hashtree descriptor:',
        rows: [
          ['Version of dm-verity:', descriptor.dmVerityVersion],
          ['Image Size:', `${descriptor.imageSize} bytes`],
          ['Tree Offset:', descriptor.treeOffset],
          ['Tree Size:', `${descriptor.treeSize} bytes`],
          ['Data Block Size:', `${descriptor.dataBlockSize} bytes`],
          ['Hash Block Size:', `${descriptor.hashBlockSize} bytes`],
          ['FEC num roots:', descriptor.fecNumRoots],
          ['FEC offset:', descriptor.fecOffset],
          ['FEC size:', `${descriptor.fecSize} bytes`],
          ['Hash Algorithm:', descriptor.hashAlgorithm],
          ['Partition Name:', descriptor.partitionName],
          ['Salt:', toHex(descriptor.salt)],
          ['Root Digest:', toHex(descriptor.rootDigest)],
          ['Flags:', descriptor.flags],
        ],
      };
    case 'hash':
      return {
        title: '    Hash descriptor:',
        rows: [
          ['Image Size:', `${descriptor.imageSize} bytes`],
          ['Hash Algorithm:', descriptor.hashAlgorithm],
          ['Partition Name:', descriptor.partitionName],
          ['Salt:', toHex(descriptor.salt)],
          ['Digest:', toHex(descriptor.digest)],
          ['Flags:', descriptor.flags],
        ],
      };
    case 'kernel-cmdline':
      return {
        title: '    Kernel Cmdline descriptor:',
        rows: [
          ['Flags:', descriptor.flags],
          ['Kernel Cmdline:', `'${descriptor.kernelCmdline}'`],
        ],
      };
    case 'chain-partition':
      return {
        title: '    Chain Partition descriptor:',
        rows: [
          ['Partition Name:', descriptor.partitionName],
          ['Rollback Index Location:', descriptor.rollbackIndexLocation],
          ['Public key (sha1):', sha1(descriptor.publicKey)],
          ['Flags:', descriptor.flags],
        ],
      };
    default:
      return descriptor satisfies never;
  }
}

/** Columns are compared with single spaces: their width is avbtool's taste, their content the format's. */
export const squeeze = (text: string): string => text.replace(/[ \t]+/g, ' ').replace(/ $/gm, '');

/** The lines of info_image, with single spaces. */
export async function infoImage(image: Uint8Array): Promise<string> {
  const { bytes, footer } = await readVbmeta(bytesSource(image));
  const vbmeta = decodeVbmeta(bytes);
  const lines: string[] = [];
  const row = (label: string, value: string | number | bigint): void => {
    lines.push(`${label} ${value}`);
  };
  if (footer !== undefined) {
    row('Footer version:', '1.0');
    row('Image size:', `${image.length} bytes`);
    row('Original image size:', `${footer.originalImageSize} bytes`);
    row('VBMeta offset:', footer.vbmetaOffset);
    row('VBMeta size:', `${footer.vbmetaSize} bytes`);
    lines.push('--');
  }
  row('Minimum libavb version:', `1.${vbmeta.requiredMinor}`);
  row('Header Block:', '256 bytes');
  row('Authentication Block:', `${vbmeta.authenticationBlock.length} bytes`);
  row('Auxiliary Block:', `${vbmeta.auxiliaryBlock.length} bytes`);
  if (vbmeta.publicKey.length > 0) row('Public key (sha1):', sha1(vbmeta.publicKey));
  row('Algorithm:', vbmeta.algorithm);
  row('Rollback Index:', vbmeta.rollbackIndex);
  row('Flags:', vbmeta.flags);
  row('Rollback Index Location:', vbmeta.rollbackIndexLocation);
  row('Release String:', `'${vbmeta.releaseString}'`);
  lines.push('Descriptors:');
  if (vbmeta.descriptors.length === 0) lines.push('    (none)');
  for (const descriptor of vbmeta.descriptors) {
    const { title, rows } = descriptorRows(descriptor);
    lines.push(title, ...rows.map(([label, value]) => `      ${label} ${value}`));
  }
  return `${lines.join('\n')}\n`;
}
