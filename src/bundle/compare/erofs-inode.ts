/** Compares two inodes of EROFS images that have the same path. */

import { equalBytes, toHex } from '../../core/digest.ts';
import { dataExtents, isCompressed } from '../../formats/erofs/data-map.ts';
import type { DataExtent } from '../../formats/erofs/data-extent.ts';
import type { ErofsInode } from '../../formats/erofs/inode.ts';
import { dataLayoutNames, decodeDevice } from '../../formats/erofs/layout.ts';
import type { ErofsReader } from '../../formats/erofs/reader.ts';
import { bytesSource, sliceSource, type ByteSource } from '../../io/byte-source.ts';
import { equalRange, type ImagePair } from './blocks.ts';
import { firstStreamDifference, joinedSource } from './bytes.ts';
import { modeCause, mtimeCause, ownerCause } from './causes.ts';
import type { Cause } from './finding.ts';
import type { Scope } from './recorder.ts';

export interface Sides {
  readonly a: ErofsReader;
  readonly b: ErofsReader;
  readonly pair: ImagePair;
  /** Inodes that stand elsewhere and are equal otherwise. */
  moved: number;
}

/** Larger compressed files are compared as streams: no format inside them is opened. */
const MAX_OPENED = 16 << 20;
/** A flat file is two runs at most; more are not joined. */
const MAX_RUNS = 64;

const PRIVILEGED = 0o6000;
const CAPABILITIES = 'security.capability';

/** The set-id bits and capabilities of a file as text, or undefined when it has none. */
function privilegesOf(
  inode: ErofsInode,
  xattrs: ReadonlyMap<string, Uint8Array>,
): string | undefined {
  if (inode.kind !== 'file') return undefined;
  const parts: string[] = [];
  if ((inode.mode & PRIVILEGED) !== 0) {
    parts.push(`mode 0${inode.mode.toString(8)} of ${inode.uid}:${inode.gid}`);
  }
  const capability = xattrs.get(CAPABILITIES);
  if (capability !== undefined) parts.push(`${CAPABILITIES} ${toHex(capability)}`);
  return parts.length === 0 ? undefined : parts.join(', ');
}

const octal = (mode: number): string => `0${mode.toString(8).padStart(3, '0')}`;

/** An inode that only one image has. */
export async function tellInode(
  scope: Scope,
  reader: ErofsReader,
  inode: ErofsInode,
  change: 'added' | 'removed',
): Promise<void> {
  const side = change === 'added' ? 'b' : 'a';
  const privileges = privilegesOf(inode, await reader.readXattrs(inode));
  const size = inode.kind === 'file' ? `, ${inode.size} bytes` : '';
  scope.found({
    level: 'content',
    change,
    field: '',
    [side]: `${inode.kind} ${octal(inode.mode)} ${inode.uid}:${inode.gid}${size}`,
  });
  if (privileges !== undefined) scope.privilege({ change, [side]: privileges });
}

export async function compareInodes(
  scope: Scope,
  sides: Sides,
  x: ErofsInode,
  y: ErofsInode,
): Promise<void> {
  const tell = (
    field: string,
    a: string,
    b: string,
    more: { readonly cause?: Cause | undefined; readonly level?: 'structure' } = {},
  ): void => {
    if (a === b) return;
    const { cause, level = 'content' } = more;
    scope.found({ level, field, a, b, ...(cause && { cause }) });
  };
  const { total: before } = scope.told();
  tell('kind', x.kind, y.kind);
  tell('mode', octal(x.mode), octal(y.mode), { cause: modeCause(x.mode, y.mode) });
  const owners = [`${x.uid}:${x.gid}`, `${y.uid}:${y.gid}`] as const;
  tell('owner', ...owners, { cause: ownerCause(...owners) });
  const [timeX, timeY] = [sides.a.modificationTime(x), sides.b.modificationTime(y)];
  const timeText = (time: typeof timeX): string =>
    `${time.mtime}${time.mtimeNsec === 0 ? '' : `.${String(time.mtimeNsec).padStart(9, '0')}`}`;
  tell('mtime', timeText(timeX), timeText(timeY), { cause: mtimeCause(timeX.mtime, timeY.mtime) });
  if (x.kind !== 'directory') tell('links', String(x.nlink), String(y.nlink));
  const [xattrsX, xattrsY] = [await sides.a.readXattrs(x), await sides.b.readXattrs(y)];
  for (const name of new Set([...xattrsX.keys(), ...xattrsY.keys()])) {
    const [a, b] = [xattrsX.get(name), xattrsY.get(name)];
    if (a !== undefined && b !== undefined && equalBytes(a, b)) continue;
    tell(`xattr ${name}`, a === undefined ? 'none' : toHex(a), b === undefined ? 'none' : toHex(b));
  }
  const [oldPrivileges, newPrivileges] = [privilegesOf(x, xattrsX), privilegesOf(y, xattrsY)];
  if (oldPrivileges !== newPrivileges) {
    scope.privilege({
      change:
        oldPrivileges === undefined ? 'added' : newPrivileges === undefined ? 'removed' : 'changed',
      ...(oldPrivileges !== undefined && { a: oldPrivileges }),
      ...(newPrivileges !== undefined && { b: newPrivileges }),
    });
  }
  if (x.kind === y.kind) await compareData(scope, sides, x, y, tell);
  const layout = (inode: ErofsInode): string =>
    `${inode.extended ? 'extended' : 'compact'}, ${dataLayoutNames[inode.dataLayout] ?? ''}`;
  if (scope.told().total === before) tell('layout', layout(x), layout(y), { level: 'structure' });
  if (scope.told().total === before && (x.offset !== y.offset || x.union !== y.union))
    sides.moved += 1;
}

async function compareData(
  scope: Scope,
  sides: Sides,
  x: ErofsInode,
  y: ErofsInode,
  tell: (field: string, a: string, b: string) => void,
): Promise<void> {
  switch (x.kind) {
    case 'symlink':
      tell('target', await sides.a.readSymlink(x), await sides.b.readSymlink(y));
      return;
    case 'char-device':
    case 'block-device': {
      const device = (inode: ErofsInode): string => {
        const { major, minor } = decodeDevice(inode.union);
        return `${major}:${minor}`;
      };
      tell('device', device(x), device(y));
      return;
    }
    case 'file':
      if (!(await equalData(sides, x, y, scope.signal))) await compareFiles(scope, sides, x, y);
      return;
    case 'directory':
    case 'fifo':
    case 'socket':
      return;
    default:
      x.kind satisfies never;
  }
}

/** Whether two files are made from the same bytes in the same way. False says nothing. */
async function equalData(
  { a, b, pair }: Sides,
  x: ErofsInode,
  y: ErofsInode,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (x.size !== y.size) return false;
  const [left, right] = [
    dataExtents(a.metadata, x, a.geometry)[Symbol.asyncIterator](),
    dataExtents(b.metadata, y, b.geometry)[Symbol.asyncIterator](),
  ];
  try {
    for (;;) {
      const [p, q] = [await left.next(), await right.next()];
      if (p.done === true || q.done === true) return p.done === q.done;
      const place = placeOf(p.value);
      const other = placeOf(q.value);
      if (place === undefined || place.shape !== other?.shape) return false;
      if (!(await equalRange(pair, place.offset, other.offset, place.size, signal))) return false;
    }
  } finally {
    await left.return?.(undefined);
    await right.return?.(undefined);
  }
}

/** What of an extent must be equal, and where its bytes are. */
function placeOf(extent: DataExtent): { shape: string; offset: number; size: number } | undefined {
  const { kind, start, length } = extent;
  switch (kind) {
    case 'hole':
      return { shape: `hole ${start} ${length}`, offset: 0, size: 0 };
    case 'stored':
      return { shape: `stored ${start} ${length}`, offset: extent.offset, size: length };
    case 'encoded': {
      const { encoding, isPartial, storedSize, offset } = extent;
      const shape = `${encoding} ${start} ${length} ${isPartial} ${storedSize}`;
      return { shape, offset, size: storedSize };
    }
    case 'fragment':
      // The packed inode may be another: these files are read.
      return undefined;
    default:
      return extent satisfies never;
  }
}

async function compareFiles(
  scope: Scope,
  sides: Sides,
  x: ErofsInode,
  y: ErofsInode,
): Promise<void> {
  const [a, b] = [
    await contentOf(sides.a, sides.pair.a.image, x, scope.path),
    await contentOf(sides.b, sides.pair.b.image, y, scope.path),
  ];
  if (a !== undefined && b !== undefined) {
    await scope.inside('').content(a, b);
    return;
  }
  const offset = await firstStreamDifference(
    sides.a.readData(x),
    sides.b.readData(y),
    scope.signal,
  );
  if (offset === undefined) return;
  const size = (inode: ErofsInode): string => `${inode.size} bytes`;
  scope.found({ level: 'bytes', field: 'content', a: size(x), b: size(y), offset });
}

/** The bytes of a file where they can be read at any place; undefined where they can not. */
async function contentOf(
  reader: ErofsReader,
  image: ByteSource,
  inode: ErofsInode,
  name: string,
): Promise<ByteSource | undefined> {
  if (!isCompressed(inode)) {
    const runs: ByteSource[] = [];
    for await (const extent of dataExtents(reader.metadata, inode, reader.geometry)) {
      if (extent.kind !== 'stored' || runs.length >= MAX_RUNS) return inMemory(reader, inode, name);
      runs.push(sliceSource(image, extent.offset, extent.length, name));
    }
    return joinedSource(runs, name);
  }
  return inMemory(reader, inode, name);
}

async function inMemory(
  reader: ErofsReader,
  inode: ErofsInode,
  name: string,
): Promise<ByteSource | undefined> {
  if (inode.size > MAX_OPENED) return undefined;
  const parts: Uint8Array[] = [];
  for await (const part of reader.readData(inode)) parts.push(part.slice());
  return bytesSource(Buffer.concat(parts), name);
}
