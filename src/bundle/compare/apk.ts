/** Compares two APKs: the entries, the signing block, and what stands between them. */

import type { DumpNode } from '../../core/dump.ts';
import { FormatError, VerificationError } from '../../core/errors.ts';
import { dumpApk } from '../../formats/apk/dump.ts';
import {
  APK_SIGNATURE_SCHEME_V2_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V31_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
  findApkSections,
  findBlockName,
} from '../../formats/apk/signing-block.ts';
import {
  SOURCE_STAMP_V1_BLOCK_ID,
  SOURCE_STAMP_V2_BLOCK_ID,
} from '../../formats/apk/source-stamp.ts';
import { readLocalHeader } from '../../formats/zip/entry.ts';
import { readZip } from '../../formats/zip/read.ts';
import { verifyPayload } from '../../signing/apk/verify.ts';
import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import { zipEntries } from '../entries/archives.ts';
import { firstDifference } from './bytes.ts';
import { namedCause } from './causes.ts';
import { compareDumps, type Meaning } from './dumps.ts';
import { compareEntries } from './entries.ts';
import type { Nature } from './finding.ts';
import { compareGaps, type Part, type PartedFile } from './gaps.ts';
import type { Proof, Scope } from './recorder.ts';
import { compareResidue } from './residue.ts';

const PLACES = ['localHeaderOffset'];

/** Signatures of scheme v1. */
const SIGNATURE = /^META-INF\/(?:[^/]+\.(?:RSA|DSA|EC|SF)|MANIFEST\.MF|SIG-[^/]+)$/i;
const natureOf = (name: string): Nature => (SIGNATURE.test(name) ? 'signature' : 'origin');

export async function compareZips(scope: Scope, a: ByteSource, b: ByteSource): Promise<void> {
  await compareEntries(scope, zipEntries(a), zipEntries(b), { places: PLACES });
  await compareComments(scope, a, b);
  await compareGaps(scope, await partsOf(a), await partsOf(b), 'between entries');
}

async function compareComments(scope: Scope, a: ByteSource, b: ByteSource): Promise<void> {
  const comment = async (source: ByteSource): Promise<string> => {
    const { end, endOffset } = await readZip(source);
    if (endOffset + 22 + end.commentLength > source.size) return '';
    return Buffer.from(await source.read(endOffset + 22, end.commentLength)).toString('latin1');
  };
  const [x, y] = [await comment(a), await comment(b)];
  if (x !== y) scope.found({ level: 'structure', field: 'comment', a: x, b: y });
}

/** Bit 3 of the flags: sizes and checksum stand behind the data, in 16 bytes with their signature or in 12. */
const HAS_DESCRIPTOR = 8;
const DESCRIPTOR_SIGNATURE = '504b0708';

/** The entries with their headers, the signing block, the directory and its end. */
async function partsOf(source: ByteSource): Promise<PartedFile> {
  const { entries, end, endOffset } = await readZip(source);
  const directory = end.centralDirectoryOffset;
  const parts: Part[] = [
    { offset: directory, size: end.centralDirectorySize },
    { offset: endOffset, size: 22 + end.commentLength },
  ];
  try {
    const { entriesEnd } = await findApkSections(source);
    parts.push({ offset: entriesEnd, size: directory - entriesEnd });
  } catch (error) {
    // No APK: it has no signing block.
    if (!(error instanceof FormatError)) throw error;
  }
  for (const entry of entries) {
    const { dataOffset } = await readLocalHeader(source, entry);
    let to = dataOffset + entry.compressedSize;
    if ((entry.flags & HAS_DESCRIPTOR) !== 0 && to + 12 <= source.size) {
      const start = Buffer.from(await source.read(to, 4)).toString('hex');
      to += start === DESCRIPTOR_SIGNATURE ? 16 : 12;
    }
    parts.push({ offset: entry.localHeaderOffset, size: to - entry.localHeaderOffset });
  }
  return { source, parts };
}

const SIGNING_BLOCK = 'APK Signing Block';

/** Blocks of which all is a signature, or what is signed by it. */
const SIGNED_BLOCKS = new Set(
  [
    APK_SIGNATURE_SCHEME_V2_BLOCK_ID,
    APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
    APK_SIGNATURE_SCHEME_V31_BLOCK_ID,
    SOURCE_STAMP_V1_BLOCK_ID,
    SOURCE_STAMP_V2_BLOCK_ID,
  ].map(findBlockName),
);

/** What is compared by what it says, or is a signature: of pairs that nobody knows nothing is. */
function isTold(path: string): boolean {
  const [, part = '', inner = '', field = ''] = path.split('/');
  if (part === SIGNING_BLOCK) {
    // Of padding that is not zeros the value stays.
    return field === '' ? inner.startsWith('size') : SIGNED_BLOCKS.has(inner) || field === 'size';
  }
  const [, name = ''] = /^\/(?:entry|record) "(.*)"\/[^/]*$/.exec(path) ?? [];
  return (
    SIGNATURE.test(name) || /\/(?:localHeaderOffset|centralDirectory(?:Size|Offset))$/.test(path)
  );
}

/** Why an APK is not the one that its signer signed. */
async function wrongSignature(source: ByteSource): Promise<string | undefined> {
  try {
    await verifyPayload(source);
    return undefined;
  } catch (error) {
    if (error instanceof VerificationError || error instanceof FormatError) return error.message;
    throw error;
  }
}

/** @throws {FormatError} when one is no archive. */
export async function compareApks(scope: Scope, a: ByteSource, b: ByteSource): Promise<void> {
  const before = scope.told();
  await compareEntries(scope, zipEntries(a), zipEntries(b), { places: PLACES, natureOf });
  await compareComments(scope, a, b);
  await compareGaps(scope, await partsOf(a), await partsOf(b), 'between entries');
  await compareSigningBlocks(scope.at('signing block'), a, b);
  const after = scope.told();
  if (after.explained > before.explained && after.origins === before.origins) {
    await compareResidue(scope, 'apk', a, b, isTold);
  }
}

async function compareSigningBlocks(scope: Scope, a: ByteSource, b: ByteSource): Promise<void> {
  const none: DumpNode = { name: SIGNING_BLOCK, fields: [], children: [] };
  const block = async (source: ByteSource): Promise<DumpNode | string> => {
    try {
      return (await dumpApk(source)).children.find(({ name }) => name === SIGNING_BLOCK) ?? none;
    } catch (error) {
      if (error instanceof FormatError) return error.message;
      throw error;
    }
  };
  const [x, y] = [await block(a), await block(b)];
  if (typeof x === 'string' || typeof y === 'string') {
    // Nothing can be said of the block, so nothing that differs is known to be in it.
    if (await isSameTail(scope, a, b)) return;
    scope.found({
      level: 'structure',
      field: 'damage',
      ...(typeof x === 'string' && { a: x }),
      ...(typeof y === 'string' && { b: y }),
    });
    return;
  }
  const holds: Proof = async () => {
    const [p, q] = [await wrongSignature(a), await wrongSignature(b)];
    return p === undefined && q === undefined
      ? undefined
      : { ...(p && { a: p }), ...(q && { b: q }) };
  };
  const follows: Meaning = { nature: 'consequence', proof: scope.chain ?? holds };
  const judge = (part: string, field: string): Meaning => {
    if (field.startsWith('digest ') || field === 'size') return follows;
    // Whom else it is for, and what is asked of those: said by the signer, but of no key.
    if (/^(?:min|max)Sdk$/.test(field)) return { level: 'content' };
    if (field.startsWith('attribute ')) {
      return field === 'attribute proof of rotation'
        ? { nature: 'signature' }
        : { level: 'content' };
    }
    if (field === '' && !/^(?:signer |signed data|padding$)/.test(part)) {
      return SIGNED_BLOCKS.has(part) ? { nature: 'signature' } : {};
    }
    const isKey = field.startsWith('certificate') || field.startsWith('public key');
    const cause = isKey ? namedCause('key', 'signed with another key') : undefined;
    return { nature: 'signature', ...(cause && { cause }) };
  };
  compareDumps(scope, x, y, judge);
}

/** Whether all is equal that stands behind the entries. */
async function isSameTail(scope: Scope, a: ByteSource, b: ByteSource): Promise<boolean> {
  const tail = async (source: ByteSource): Promise<ByteSource> => {
    const { entries } = await readZip(source);
    const last = entries.reduce((at, entry) => Math.max(at, entry.localHeaderOffset), 0);
    return sliceSource(source, last, source.size - last);
  };
  return (await firstDifference(await tail(a), await tail(b), scope.signal)) === undefined;
}
