/** Compares the superblocks of two EROFS images: what they say of the image as a whole. */

import { toHex } from '../../core/digest.ts';
import { superBlockFields } from '../../formats/erofs/layout.ts';
import type { ErofsReader } from '../../formats/erofs/reader.ts';
import { uuidText } from '../../verity/uuid.ts';
import { mtimeCause, namedCause } from './causes.ts';
import type { Cause, Nature } from './finding.ts';
import type { Scope } from './recorder.ts';

/** What follows from the files in the image. */
const CONSEQUENCES = new Set([
  'checksum',
  'blocks',
  'inos',
  'root_nid',
  'meta_blkaddr',
  'xattr_blkaddr',
  'xattr_prefix_start',
  'packed_nid',
]);

export function compareSuperblocks(scope: Scope, a: ErofsReader, b: ErofsReader): void {
  const inner = scope.at('superblock');
  for (const field of Object.keys(superBlockFields) as (keyof typeof superBlockFields)[]) {
    const [x, y] = [a.superblock[field], b.superblock[field]];
    const show = (value: typeof x): string => {
      if (!(value instanceof Uint8Array)) return String(value);
      return field === 'uuid' ? uuidText(value) : toHex(value);
    };
    if (show(x) === show(y)) continue;
    const nature: Nature = CONSEQUENCES.has(field) ? 'consequence' : 'origin';
    let cause: Cause | undefined;
    if (field === 'uuid') {
      cause = namedCause(
        'random-uuid',
        'the UUID comes from the name of the partition, or from chance',
      );
    }
    if (field === 'build_time') cause = mtimeCause(Number(x), Number(y));
    if (field.startsWith('feature_') || field === 'available_compr_algs') {
      cause = namedCause('toolchain', 'another writer, or other options');
    }
    inner.found({
      level: 'structure',
      nature,
      field,
      a: show(x),
      b: show(y),
      ...(cause && { cause }),
    });
  }
}
