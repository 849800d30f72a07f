/** Compares two vbmeta images, of their own or behind footers, descriptor by descriptor. */

import { createHash } from 'node:crypto';
import { equalBytes, toHex } from '../../core/digest.ts';
import type { DumpNode } from '../../core/dump.ts';
import { avbAlgorithm } from '../../formats/avb/algorithm.ts';
import { dumpVbmeta } from '../../formats/avb/dump.ts';
import { AVB_FOOTER_SIZE, readVbmeta } from '../../formats/avb/footer.ts';
import { decodeVbmeta } from '../../formats/avb/vbmeta.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { namedCause } from './causes.ts';
import { compareDumps, type Meaning } from './dumps.ts';
import { compareGaps, type PartedFile } from './gaps.ts';
import type { Proof, Scope } from './recorder.ts';
import { compareResidue } from './residue.ts';

/** What follows from the images that are described. */
const DESCRIBED = new Set([
  'image_size',
  'tree_offset',
  'tree_size',
  'fec_offset',
  'fec_size',
  'root_digest',
  'original_image_size',
  'vbmeta_offset',
]);
/** What follows from what is in the vbmeta. */
const FOLLOWS = new Set([
  'hash',
  'authentication_data_block_size',
  'auxiliary_data_block_size',
  'vbmeta_size',
]);
const KEY = new Set([
  'algorithm',
  'public_key_size',
  'public_key_sha256',
  'public_key_metadata_size',
]);

/** Fields that are compared by what they say, or that are signatures: the rest is compared byte by byte. */
const TOLD =
  /(?:^\/hash tree of |\/(?:authentication_data_block_size|auxiliary_data_block_size|algorithm_type|hash_size|signature_offset|signature_size|public_key_offset|public_key_size|public_key_metadata_offset|public_key_metadata_size|hash|signature|public_key|image_size|tree_offset|tree_size|fec_offset|fec_size|root_digest|digest|original_image_size|vbmeta_offset|vbmeta_size|image)$)/;

/** The vbmeta, and what it and its footer say is elsewhere in the file. */
async function partsOf(source: ByteSource): Promise<PartedFile> {
  const { bytes, offset, footer } = await readVbmeta(source);
  const { size, descriptors } = decodeVbmeta(bytes);
  const parts = [{ offset, size }];
  if (footer !== undefined) {
    parts.push({ offset: 0, size: footer.originalImageSize });
    parts.push({ offset: source.size - AVB_FOOTER_SIZE, size: AVB_FOOTER_SIZE });
    for (const each of descriptors) {
      if (each.kind !== 'hashtree' || each.imageSize > offset) continue;
      parts.push({ offset: each.treeOffset, size: each.treeSize });
      parts.push({ offset: each.fecOffset, size: each.fecSize });
    }
  }
  return { source, parts };
}

/** Why the hash in a vbmeta is not that of what is signed. */
async function wrongHash(source: ByteSource): Promise<string | undefined> {
  const vbmeta = decodeVbmeta((await readVbmeta(source)).bytes);
  const { hash } = avbAlgorithm(vbmeta.algorithm);
  if (hash === undefined) return undefined;
  const own = createHash(hash).update(vbmeta.header).update(vbmeta.auxiliaryBlock).digest();
  return equalBytes(own, vbmeta.hash) ? undefined : `the hash of its vbmeta is not ${toHex(own)}`;
}

/** @param isAlone Nothing else is compared that its digests could follow from. */
export async function compareVbmeta(
  scope: Scope,
  a: ByteSource,
  b: ByteSource,
  isAlone = true,
): Promise<void> {
  const [x, y] = [await dumpVbmeta(a), await dumpVbmeta(b)];
  const otherKey = keyOf(x) !== keyOf(y);
  const holds: Proof = async () => {
    const [p, q] = [await wrongHash(a), await wrongHash(b)];
    return p === undefined && q === undefined
      ? undefined
      : { ...(p && { a: p }), ...(q && { b: q }) };
  };
  /** What follows from what is in this vbmeta. */
  const inside: Meaning = { nature: 'consequence', proof: scope.chain ?? holds };
  const judge = (part: string, field: string): Meaning => {
    if (part === 'vbmeta' && field === 'digest') return { ...inside, level: 'member' };
    if (part === '' && field === 'digest') return { ...inside, level: 'member' };
    if (field === 'size') return inside;
    if (KEY.has(field)) {
      const cause = namedCause('key', 'signed with another key');
      return part === 'header' || part === 'auxiliary block'
        ? { level: 'content', nature: 'signature', cause }
        : { level: 'content' };
    }
    if (field === 'signature') return otherKey ? { nature: 'signature' } : inside;
    if (FOLLOWS.has(field)) return inside;
    const isDigest = field === 'digest' || DESCRIBED.has(field);
    if (isDigest) {
      const isOrigin = isAlone && part !== 'footer';
      return {
        level: 'content',
        nature: isOrigin ? 'origin' : 'consequence',
        proof: scope.chain ?? (part === 'footer' ? holds : undefined),
      };
    }
    if (field === 'salt') {
      return {
        level: 'content',
        cause: namedCause('random-salt', 'a salt comes from a name, or from chance'),
      };
    }
    return { level: 'content' };
  };
  const before = scope.told();
  compareDumps(scope, x, y, judge);
  await compareMetadata(scope, a, b);
  await compareGaps(scope, await partsOf(a), await partsOf(b), 'padding');
  if (scope.told().origins === before.origins) {
    await compareResidue(scope, 'vbmeta', a, b, (path) => TOLD.test(path));
  }
}

/** Goes with the key: certificates, in Android's devices. */
async function compareMetadata(scope: Scope, a: ByteSource, b: ByteSource): Promise<void> {
  const of = async (source: ByteSource): Promise<string> =>
    toHex(decodeVbmeta((await readVbmeta(source)).bytes).publicKeyMetadata);
  const [x, y] = [await of(a), await of(b)];
  if (x === y) return;
  scope.found({ level: 'content', nature: 'signature', field: 'public_key_metadata', a: x, b: y });
}

/** The digest of the public key, wherever it stands. */
function keyOf(node: DumpNode): string {
  const own = node.fields.find(({ name }) => name === 'public_key_sha256');
  if (own !== undefined && node.name === 'auxiliary block') return String(own.value);
  return node.children.map(keyOf).join('');
}
