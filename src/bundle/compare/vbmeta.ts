/** Compares two vbmeta images, of their own or behind footers, descriptor by descriptor. */

import { dumpVbmeta } from '../../formats/avb/dump.ts';
import type { DumpNode } from '../../core/dump.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { namedCause } from './causes.ts';
import { compareDumps, type Meaning } from './dumps.ts';
import type { Scope } from './recorder.ts';

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

/** @param isAlone Nothing else is compared that its digests could follow from. */
export async function compareVbmeta(
  scope: Scope,
  a: ByteSource,
  b: ByteSource,
  isAlone = true,
): Promise<void> {
  const [x, y] = [await dumpVbmeta(a), await dumpVbmeta(b)];
  const otherKey = keyOf(x) !== keyOf(y);
  const judge = (part: string, field: string): Meaning => {
    if (part === 'vbmeta' && field === 'digest') return { level: 'member', nature: 'consequence' };
    if (field === 'size') return { nature: 'consequence' };
    if (KEY.has(field)) {
      const cause = namedCause('key', 'signed with another key');
      return part === 'header' || part === 'auxiliary block'
        ? { level: 'content', nature: 'signature', cause }
        : { level: 'content' };
    }
    if (field === 'signature') return { nature: otherKey ? 'signature' : 'consequence' };
    if (FOLLOWS.has(field)) return { nature: 'consequence' };
    const isDigest = field === 'digest' || DESCRIBED.has(field);
    if (isDigest) return { level: 'content', nature: isAlone ? 'origin' : 'consequence' };
    if (field === 'salt') {
      return {
        level: 'content',
        cause: namedCause('random-salt', 'a salt comes from a name, or from chance'),
      };
    }
    return { level: 'content' };
  };
  compareDumps(scope, x, y, judge);
}

/** The digest of the public key, wherever it stands. */
function keyOf(node: DumpNode): string {
  const own = node.fields.find(({ name }) => name === 'public_key_sha256');
  if (own !== undefined && node.name === 'auxiliary block') return String(own.value);
  return node.children.map(keyOf).join('');
}
