/**
 * The text of avbtool's `info_image`, to the byte: other tools parse it.
 *
 * Control characters of names and texts are shown as `\xNN`, where avbtool would send them to the
 * terminal.
 */

import { createHash } from 'node:crypto';
import { toHex } from '../../core/digest.ts';
import { decodeCertificateMetadata, type AvbCertificate } from './certificate.ts';
import type { Descriptor } from './descriptor.ts';
import type { AvbFooter } from './footer.ts';
import { vbmetaHeader } from './layout.ts';
import type { Vbmeta } from './vbmeta.ts';

export interface ImageInfo {
  readonly vbmeta: Vbmeta;
  readonly footer: AvbFooter | undefined;
  /** Of the image, in bytes: of what a sparse image stands for. */
  readonly imageSize: number;
  readonly isSparse: boolean;
}

type Row = readonly [label: string, value: string | number | bigint];

/** Values of this many bytes or more are not shown. */
const LONG_VALUE = 256;

const sha1 = (data: Uint8Array): string => createHash('sha1').update(data).digest('hex');

const escape = (code: number): string => `\\x${code.toString(16).padStart(2, '0')}`;

const shown = (text: string): string =>
  text.replaceAll(/\p{Cc}/gu, (each) => escape(each.charCodeAt(0)));

/** Bytes as Python writes them; what it writes as `b'...'` avbtool prints without the `b`. */
function pythonBytes(value: Uint8Array): string {
  const quote = value.includes(0x27) && !value.includes(0x22) ? '"' : "'";
  const named: Record<number, string> = { 9: '\\t', 10: '\\n', 13: '\\r', 92: '\\\\' };
  let text = '';
  for (const byte of value) {
    const char = String.fromCharCode(byte);
    if (char === quote) text += `\\${quote}`;
    else text += named[byte] ?? (byte < 0x20 || byte >= 0x7f ? escape(byte) : char);
  }
  return `${quote === '"' ? 'b' : ''}${quote}${text}${quote}`;
}

const rowsOf = (rows: readonly Row[], indent: string, width: number): string[] =>
  rows.map(([label, value]) => `${indent}${label.padEnd(width)}${value}`);

function descriptorLines(descriptor: Descriptor): string[] {
  const table = (title: string, rows: readonly Row[], width = 23): string[] => [
    `    ${title} descriptor:`,
    ...rowsOf(rows, '      ', width),
  ];
  switch (descriptor.kind) {
    case 'property': {
      const { key, value } = descriptor;
      const text = value.length < LONG_VALUE ? pythonBytes(value) : `(${value.length} bytes)`;
      return [`    Prop: ${shown(key)} -> ${text}`];
    }
    case 'hashtree':
      return table('Hashtree', [
        ['Version of dm-verity:', descriptor.dmVerityVersion],
        ['Image Size:', `${descriptor.imageSize} bytes`],
        ['Tree Offset:', descriptor.treeOffset],
        ['Tree Size:', `${descriptor.treeSize} bytes`],
        ['Data Block Size:', `${descriptor.dataBlockSize} bytes`],
        ['Hash Block Size:', `${descriptor.hashBlockSize} bytes`],
        ['FEC num roots:', descriptor.fecNumRoots],
        ['FEC offset:', descriptor.fecOffset],
        ['FEC size:', `${descriptor.fecSize} bytes`],
        ['Hash Algorithm:', shown(descriptor.hashAlgorithm)],
        ['Partition Name:', shown(descriptor.partitionName)],
        ['Salt:', toHex(descriptor.salt)],
        ['Root Digest:', toHex(descriptor.rootDigest)],
        ['Flags:', descriptor.flags],
      ]);
    case 'hash':
      return table('Hash', [
        ['Image Size:', `${descriptor.imageSize} bytes`],
        ['Hash Algorithm:', shown(descriptor.hashAlgorithm)],
        ['Partition Name:', shown(descriptor.partitionName)],
        ['Salt:', toHex(descriptor.salt)],
        ['Digest:', toHex(descriptor.digest)],
        ['Flags:', descriptor.flags],
      ]);
    case 'kernel-cmdline':
      return table('Kernel Cmdline', [
        ['Flags:', descriptor.flags],
        ['Kernel Cmdline:', `'${shown(descriptor.kernelCmdline)}'`],
      ]);
    case 'chain-partition':
      return table(
        'Chain Partition',
        [
          ['Partition Name:', shown(descriptor.partitionName)],
          ['Rollback Index Location:', descriptor.rollbackIndexLocation],
          ['Public key (sha1):', sha1(descriptor.publicKey)],
          ['Flags:', descriptor.flags],
        ],
        25,
      );
    default:
      return descriptor satisfies never;
  }
}

function certificateLines(metadata: Uint8Array): string[] {
  const { version, intermediate, signing } = decodeCertificateMetadata(metadata);
  const one = (title: string, { publicKey, subject, usage, keyVersion }: AvbCertificate) => [
    `    Product ${title} Key:`,
    ...rowsOf(
      [
        ['Version:', version],
        ['Public key (sha1):', sha1(publicKey)],
        ['Subject:', toHex(subject)],
        ['Usage:', toHex(usage)],
        ['Key version:', keyVersion],
      ],
      '      ',
      23,
    ),
  ];
  return [
    'avb_cert certificate:',
    ...rowsOf([['Metadata version:', version]], '    ', 25),
    ...one('Intermediate', intermediate),
    ...one('Signing', signing),
  ];
}

/**
 * The lines of `info_image`, each with its newline.
 *
 * @param certificates Whether to show the certificates in the public key metadata (`--cert`).
 * @throws {FormatError} when the metadata is there and holds no certificates.
 */
export function infoText(info: ImageInfo, certificates = false): string {
  const { vbmeta, footer, imageSize, isSparse } = info;
  const lines: string[] = [];
  if (footer !== undefined) {
    lines.push(
      ...rowsOf(
        [
          ['Footer version:', `1.${footer.versionMinor ?? 0}`],
          ['Image size:', `${imageSize} bytes`],
          ['Original image size:', `${footer.originalImageSize} bytes`],
          ['VBMeta offset:', footer.vbmetaOffset],
          ['VBMeta size:', `${footer.vbmetaSize} bytes`],
        ],
        '',
        26,
      ),
      '--',
    );
  }
  const version = `${vbmeta.requiredMajor}.${vbmeta.requiredMinor}${isSparse ? ' (Sparse)' : ''}`;
  const hasKey = vbmeta.publicKey.length > 0;
  lines.push(
    ...rowsOf(
      [
        ['Minimum libavb version:', version],
        ['Header Block:', `${vbmetaHeader.size} bytes`],
        ['Authentication Block:', `${vbmeta.authenticationBlock.length} bytes`],
        ['Auxiliary Block:', `${vbmeta.auxiliaryBlock.length} bytes`],
        ...(hasKey ? [['Public key (sha1):', sha1(vbmeta.publicKey)] as const] : []),
        ['Algorithm:', vbmeta.algorithm],
        ['Rollback Index:', vbmeta.rollbackIndex],
        ['Flags:', vbmeta.flags],
        ['Rollback Index Location:', vbmeta.rollbackIndexLocation],
        ['Release String:', `'${shown(vbmeta.releaseString)}'`],
      ],
      '',
      26,
    ),
    'Descriptors:',
    ...vbmeta.descriptors.flatMap(descriptorLines),
  );
  if (vbmeta.descriptors.length === 0) lines.push('    (none)');
  if (certificates && vbmeta.publicKeyMetadata.length > 0) {
    lines.push(...certificateLines(vbmeta.publicKeyMetadata));
  }
  return `${lines.join('\n')}\n`;
}
