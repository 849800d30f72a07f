/**
 * Compares byte by byte what the fields of a format do not tell: reserved fields, padding, copies of names. Used
 * where nothing but signatures was told, so that nothing else can hide behind them.
 */

import type { DumpNode } from '../../core/dump.ts';
import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import { byteMapOf, hasError } from '../inspect/byte-map.ts';
import { withGaps } from '../inspect/node.ts';
import type { FileKind } from '../file-kind.ts';
import { firstDifference } from './bytes.ts';
import { isZero } from './gaps.ts';
import type { Scope } from './recorder.ts';

interface Leaf {
  /** Names of the parts and of the field, from the outside in. */
  readonly path: string;
  readonly offset: number;
  readonly size: number;
}

/** Zeros in it are as good as nothing: how many there are follows from what stands around it. */
const PADDING = /\/(?:gap|trailing bytes|padding|extra padding)(?:\/(?:bytes|value))?$/;

function* leavesOf(node: DumpNode, path: string): Generator<Leaf> {
  for (const { name, offset, size } of node.fields) {
    if (offset === undefined || size === undefined) continue;
    yield { path: `${path}/${name}`, offset, size };
  }
  for (const child of node.children) yield* leavesOf(child, `${path}/${child.name}`);
}

/**
 * @param isTold Whether a field is compared elsewhere, by its path.
 */
export async function compareResidue(
  scope: Scope,
  kind: FileKind,
  a: ByteSource,
  b: ByteSource,
  isTold: (path: string) => boolean,
): Promise<void> {
  const leaves = async (source: ByteSource): Promise<Leaf[] | undefined> => {
    const node = await withGaps(await byteMapOf(kind, source), source);
    if (hasError(node) || node.fields.some(({ name }) => name === 'gaps not shown')) {
      return undefined;
    }
    const all: Leaf[] = [];
    for (const leaf of leavesOf(node, '')) {
      if (isTold(leaf.path)) continue;
      if (PADDING.test(leaf.path) && (await isZero(source, leaf, scope.signal))) continue;
      all.push(leaf);
    }
    return all;
  };
  const [x, y] = [await leaves(a), await leaves(b)];
  const told = await differenceOf(scope, { source: a, leaves: x }, { source: b, leaves: y });
  if (told !== undefined) {
    scope.found({ level: 'bytes', field: told.path || 'layout', offset: told.offset });
  }
}

interface Side {
  readonly source: ByteSource;
  readonly leaves: readonly Leaf[] | undefined;
}

async function differenceOf(
  scope: Scope,
  a: Side,
  b: Side,
): Promise<Pick<Leaf, 'path' | 'offset'> | undefined> {
  if (a.leaves === undefined || b.leaves === undefined) {
    const offset = await firstDifference(a.source, b.source, scope.signal);
    return offset === undefined ? undefined : { path: '', offset };
  }
  for (let at = 0; at < Math.max(a.leaves.length, b.leaves.length); at += 1) {
    scope.signal?.throwIfAborted();
    const [p, q] = [a.leaves[at], b.leaves[at]];
    const where = (q ?? p) as Leaf;
    const told = { path: where.path.replace(/^\//, ''), offset: where.offset };
    if (p === undefined || q === undefined || p.path !== q.path || p.size !== q.size) return told;
    const slice = ({ source }: Side, { offset, size }: Leaf): ByteSource =>
      sliceSource(source, offset, size);
    const found = await firstDifference(slice(a, p), slice(b, q), scope.signal);
    if (found !== undefined) return { ...told, offset: told.offset + found };
  }
  return undefined;
}
