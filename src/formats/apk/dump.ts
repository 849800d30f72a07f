/** What `inspect` shows of an APK and of an idsig. */

import { toHex, sha256 } from '../../core/digest.ts';
import type { DumpField, DumpNode } from '../../core/dump.ts';
import { bytesSource, type ByteSource } from '../../io/byte-source.ts';
import { readZip, type ZipEntry } from '../zip/read.ts';
import { formatSignatureAlgorithm } from './algorithms.ts';
import { readIdsig, type HashingInfo, type SigningInfo } from './idsig.ts';
import { u32 } from './length-prefixed.ts';
import {
  decodeSignedData,
  decodeSigners,
  findAttributeName,
  type SdkRange,
  type SignerBlock,
  type SignerLayout,
} from './signer-block.ts';
import {
  APK_SIGNATURE_SCHEME_V2_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V31_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
  findApkSections,
  findBlockName,
  readSigningBlock,
  type ApkSections,
  type PlacedPair,
} from './signing-block.ts';

const hex32 = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;

const sdkFields = (sdk: SdkRange | undefined): readonly DumpField[] =>
  sdk === undefined
    ? []
    : [
        { name: 'minSdk', value: sdk.min },
        { name: 'maxSdk', value: sdk.max },
      ];

function dumpSigner(signer: SignerBlock, layout: SignerLayout, index: number): DumpNode {
  const data = decodeSignedData(signer.signedData, layout);
  return {
    name: `signer ${index}`,
    fields: [
      ...sdkFields(signer.sdk),
      { name: 'public key sha256', value: toHex(sha256(signer.publicKey)) },
      ...signer.signatures.map(({ algorithm, signature }) => ({
        name: `signature ${formatSignatureAlgorithm(algorithm)}`,
        value: toHex(signature),
      })),
    ],
    children: [
      {
        name: 'signed data',
        fields: [
          ...data.digests.map(({ algorithm, digest }) => ({
            name: `digest ${formatSignatureAlgorithm(algorithm)}`,
            value: toHex(digest),
          })),
          ...data.certificates.map((certificate, at) => ({
            name: `certificate ${at} sha256`,
            value: toHex(sha256(certificate)),
          })),
          ...sdkFields(data.sdk),
          ...data.attributes.map(({ id, value }) => ({
            name: `attribute ${findAttributeName(id) ?? hex32(id)}`,
            value: toHex(value),
          })),
        ],
        children: [],
      },
    ],
  };
}

const SIGNER_LAYOUTS: ReadonlyMap<number, SignerLayout> = new Map([
  [APK_SIGNATURE_SCHEME_V2_BLOCK_ID, 'v2'],
  [APK_SIGNATURE_SCHEME_V3_BLOCK_ID, 'v3'],
  [APK_SIGNATURE_SCHEME_V31_BLOCK_ID, 'v3'],
]);

function dumpPair({ id, value, offset }: PlacedPair): DumpNode {
  const layout = SIGNER_LAYOUTS.get(id);
  return {
    name: findBlockName(id) ?? `unknown block ${hex32(id)}`,
    fields: [
      { name: 'id', value: hex32(id), offset: offset - u32(id).length },
      { name: 'size', value: value.length, offset },
    ],
    children:
      layout === undefined
        ? []
        : decodeSigners(value, layout, offset).map((signer, index) =>
            dumpSigner(signer, layout, index),
          ),
  };
}

const dumpEntry = (entry: ZipEntry): DumpNode => ({
  name: `entry ${JSON.stringify(entry.name)}`,
  fields: [
    { name: 'local header', value: entry.localHeaderOffset, offset: entry.localHeaderOffset },
    { name: 'record', value: entry.recordSize, offset: entry.recordOffset },
    { name: 'method', value: entry.method },
    { name: 'flags', value: `0x${entry.flags.toString(16).padStart(4, '0')}` },
    { name: 'crc32', value: hex32(entry.crc32) },
    { name: 'compressedSize', value: entry.compressedSize },
    { name: 'size', value: entry.size },
    { name: 'externalAttributes', value: hex32(entry.externalAttributes) },
  ],
  children: [],
});

async function dumpSigningBlock(
  source: ByteSource,
  sections: ApkSections,
): Promise<readonly DumpNode[]> {
  if (!sections.hasSigningBlock) return [];
  const offset = sections.entriesEnd;
  const size = sections.centralDirectoryOffset - offset;
  return [
    {
      name: 'APK Signing Block',
      fields: [{ name: 'size', value: size, offset }],
      children: (await readSigningBlock(source, sections)).map(dumpPair),
    },
  ];
}

/**
 * Everything that an APK's structure says; contents of entries are not read.
 *
 * @throws {FormatError} when it does not parse.
 */
export async function dumpApk(source: ByteSource): Promise<DumpNode> {
  const sections = await findApkSections(source);
  const zip = await readZip(source);
  return {
    name: 'APK',
    fields: [
      { name: 'size', value: sections.size },
      { name: 'entries', value: zip.entries.length },
      {
        name: 'central directory',
        value: sections.centralDirectorySize,
        offset: sections.centralDirectoryOffset,
      },
      {
        name: 'end of central directory',
        value: sections.endBytes.length,
        offset: sections.endOffset,
      },
    ],
    children: [...zip.entries.map(dumpEntry), ...(await dumpSigningBlock(source, sections))],
  };
}

const dumpHashing = (hashing: HashingInfo): DumpNode => ({
  name: 'hashing info',
  fields: [
    { name: 'hash algorithm', value: hashing.hashAlgorithm },
    { name: 'log2 of block size', value: hashing.log2BlockSize },
    { name: 'salt', value: toHex(hashing.salt) },
    { name: 'raw root hash', value: toHex(hashing.rawRootHash) },
  ],
  children: [],
});

const dumpSigning = (name: string, signing: SigningInfo): DumpNode => ({
  name,
  fields: [
    { name: 'apk digest', value: toHex(signing.apkDigest) },
    {
      name: 'certificate sha256',
      value: signing.certificate.length === 0 ? 'none' : toHex(sha256(signing.certificate)),
    },
    { name: 'additional data', value: toHex(signing.additionalData) },
    {
      name: 'public key sha256',
      value: signing.publicKey.length === 0 ? 'none' : toHex(sha256(signing.publicKey)),
    },
    { name: 'signature algorithm', value: formatSignatureAlgorithm(signing.signatureAlgorithm) },
    { name: 'signature', value: toHex(signing.signature) },
  ],
  children: [],
});

/** @throws {FormatError} when the bytes are no idsig. */
export async function dumpIdsig(idsig: ByteSource | Uint8Array): Promise<DumpNode> {
  const source = idsig instanceof Uint8Array ? bytesSource(idsig, 'idsig') : idsig;
  const { hashing, signing, signingBlocks, treeOffset, treeSize } = await readIdsig(source);
  return {
    name: 'idsig',
    fields: [{ name: 'tree', value: treeSize, offset: treeOffset }],
    children: [
      dumpHashing(hashing),
      dumpSigning('signing info', signing),
      ...signingBlocks.map((block) =>
        dumpSigning(
          `signing info of ${findBlockName(block.blockId) ?? hex32(block.blockId)}`,
          block,
        ),
      ),
    ],
  };
}
