/**
 * Compares two archives entry by entry: names, attributes, order, and of entries that differ the contents.
 * What is kept is proportional to the number of entries.
 */

import { createHash } from 'node:crypto';
import { bytesSource, streamOf } from '../../io/byte-source.ts';
import type { Entry, EntryData, EntryList } from '../entries/entry.ts';
import { firstDifference, firstStreamDifference } from './bytes.ts';
import { modeCause, mtimeCause, namedCause, ownerCause } from './causes.ts';
import type { Cause, Level, Nature } from './finding.ts';
import { createNamer } from './names.ts';
import type { Proof, Scope } from './recorder.ts';

/** Larger entries are compared as streams: no format inside them is opened. */
const MAX_OPENED = 16 << 20;
/** Of entries that come in another order and cannot be found again, in bytes. */
const MAX_WAITING = 64 << 20;

interface Listed {
  readonly entry: Entry;
  /** Of the data, of formats that have no checksum or place. */
  readonly sha256?: string;
}

export interface EntryOptions {
  /** Storage fields that only say where things stand. */
  readonly places: readonly string[];
  /** What an entry's difference is of, by its name: of all that is said of it, or of its data only. Default `origin`. */
  natureOf?(name: string): Nature;
  dataOf?(
    name: string,
  ): { readonly nature: Nature; readonly proof?: Proof | undefined } | undefined;
}

async function list(of: EntryList, scope: Scope): Promise<Map<string, Listed>> {
  const all = new Map<string, Listed>();
  const nameOf = createNamer();
  for await (const { entry, data } of of.entries()) {
    scope.signal?.throwIfAborted();
    const name = nameOf(entry.name);
    if (entry.stored !== undefined || entry.kind !== 'file') all.set(name, { entry });
    else {
      const hash = createHash('sha256');
      for await (const chunk of data) {
        scope.signal?.throwIfAborted();
        hash.update(chunk);
      }
      all.set(name, { entry, sha256: hash.digest('hex') });
    }
  }
  return all;
}

export async function compareEntries(
  scope: Scope,
  a: EntryList,
  b: EntryList,
  options: EntryOptions,
): Promise<void> {
  const [x, y] = [await list(a, scope), await list(b, scope)];
  compareOrder(
    scope,
    [...x.keys()].filter((name) => y.has(name)),
    y,
  );
  const wanted = new Set<string>();
  for (const name of new Set([...x.keys(), ...y.keys()])) {
    const nature = options.natureOf?.(name) ?? 'origin';
    const [left, right] = [x.get(name), y.get(name)];
    const inner = scope.at(name);
    if (left === undefined || right === undefined) {
      const only = left ?? right;
      inner.found({
        level: 'member',
        nature,
        change: left === undefined ? 'added' : 'removed',
        field: '',
        [left === undefined ? 'b' : 'a']: `${only?.entry.kind}, ${only?.entry.size} bytes`,
      });
      continue;
    }
    compareAttributes(inner, left.entry, right.entry, nature, options);
    if (await differ(scope, left, right)) wanted.add(name);
  }
  if (wanted.size > 0) await compareData(scope, a, b, wanted, options);
}

/** Entries that are in both must come in the same order. */
function compareOrder(
  scope: Scope,
  names: readonly string[],
  y: ReadonlyMap<string, Listed>,
): void {
  const order = new Map([...y.keys()].map((name, index) => [name, index]));
  let last = -1;
  for (const [index, name] of names.entries()) {
    const at = order.get(name) ?? 0;
    if (at < last) {
      const before = names[index - 1] ?? '';
      scope.found({
        level: 'structure',
        field: 'order',
        a: `${before} before ${name}`,
        b: `${name} before ${before}`,
        cause: namedCause('order', `the same entries in another order, from ${name} on`),
      });
      return;
    }
    last = at;
  }
}

/** Whether the data may differ: it is compared where it is stored, else by digests. */
async function differ(scope: Scope, left: Listed, right: Listed): Promise<boolean> {
  const [a, b] = [left.entry, right.entry];
  if (a.kind !== 'file' || b.kind !== 'file') return false;
  if (a.size !== b.size || a.checksum !== b.checksum) return true;
  if (left.sha256 !== undefined) return left.sha256 !== right.sha256;
  if (a.stored === undefined || b.stored === undefined) return true;
  return (await firstDifference(a.stored, b.stored, scope.signal)) !== undefined;
}

function compareAttributes(
  scope: Scope,
  a: Entry,
  b: Entry,
  nature: Nature,
  { places }: EntryOptions,
): void {
  const tell = (
    field: string,
    x: string | number | undefined,
    y: string | number | undefined,
    more: { readonly level?: Level; readonly cause?: Cause | undefined; readonly nature?: Nature },
  ): void => {
    if (x === y) return;
    const { cause, ...rest } = more;
    scope.found({
      level: 'content',
      ...rest,
      nature: nature === 'origin' ? (rest.nature ?? nature) : nature,
      ...(cause && { cause }),
      field,
      ...(x !== undefined && { a: String(x) }),
      ...(y !== undefined && { b: String(y) }),
    });
  };
  tell('kind', a.kind, b.kind, {});
  tell('target', a.target, b.target, {});
  const octal = (mode: number | undefined): string | undefined =>
    mode === undefined ? undefined : `0${mode.toString(8)}`;
  tell('mode', octal(a.mode), octal(b.mode), { cause: modeCause(a.mode ?? 0, b.mode ?? 0) });
  for (const field of ['uid', 'gid'] as const) {
    tell(field, a[field], b[field], { cause: ownerCause(String(a[field]), String(b[field])) });
  }
  tell('mtime', a.mtime, b.mtime, { cause: mtimeCause(a.mtime ?? 0, b.mtime ?? 0) });
  for (const field of new Set([...Object.keys(a.storage), ...Object.keys(b.storage)])) {
    if (places.includes(field)) continue;
    const isContent = field.startsWith('xattr ') || field === 'device';
    tell(field, a.storage[field], b.storage[field], {
      level: isContent ? 'content' : 'structure',
      ...storageMeaning(field, a, b),
    });
  }
}

function storageMeaning(
  field: string,
  a: Entry,
  b: Entry,
): { readonly cause?: Cause; readonly nature?: Nature } {
  if (field === 'compressedSize') {
    const same = a.checksum === b.checksum && a.size === b.size;
    return same
      ? { cause: namedCause('compression-level', 'the same bytes, compressed to another size') }
      : { nature: 'consequence' };
  }
  if (field === 'flags' || field === 'method') {
    return { cause: namedCause('compression-level', `${field} of the compressor`) };
  }
  if (field === 'versionMadeBy' || field === 'versionNeeded') {
    return { cause: namedCause('toolchain', 'another program wrote the archive') };
  }
  if (field === 'alignment') return { cause: namedCause('alignment', 'zipalign or its like') };
  return {};
}

/** One more pass over both, in which the data of the entries that differ is read. */
async function compareData(
  scope: Scope,
  a: EntryList,
  b: EntryList,
  wanted: ReadonlySet<string>,
  options: EntryOptions,
): Promise<void> {
  const y = pick(b, wanted);
  // Where both come in the same order nothing waits; what comes early does, if there is room.
  const waiting = new Map<string, EntryData | Uint8Array | undefined>();
  let room = MAX_WAITING;
  const find = async (wantedName: string): Promise<EntryData | Uint8Array | undefined> => {
    if (waiting.has(wantedName)) {
      const found = waiting.get(wantedName);
      waiting.delete(wantedName);
      if (found instanceof Uint8Array) room += found.length;
      return found;
    }
    for (;;) {
      const next = await y.next();
      if (next.done === true) return undefined;
      const [name, right] = next.value;
      if (name === wantedName) return right;
      if (right.entry.stored !== undefined) waiting.set(name, right);
      else if (right.entry.size <= room) {
        room -= right.entry.size;
        waiting.set(name, await bytesOf(right));
      } else waiting.set(name, undefined);
    }
  };
  try {
    for await (const [name, left] of pick(a, wanted)) {
      const { nature, proof } = options.dataOf?.(name) ?? {
        nature: options.natureOf?.(name) ?? 'origin',
      };
      await compareOne(scope.inside(name).as(nature, proof), left, await find(name));
    }
  } finally {
    await y.return(undefined);
  }
}

async function* pick(
  of: EntryList,
  wanted: ReadonlySet<string>,
): AsyncGenerator<[string, EntryData], undefined, undefined> {
  const nameOf = createNamer();
  for await (const each of of.entries()) {
    const name = nameOf(each.entry.name);
    if (wanted.has(name)) yield [name, each];
  }
  return undefined;
}

async function bytesOf({ data }: EntryData): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of data) parts.push(chunk.slice());
  return Buffer.concat(parts);
}

async function compareOne(
  scope: Scope,
  left: EntryData,
  right: EntryData | Uint8Array | undefined,
): Promise<void> {
  if (right === undefined) {
    scope.found({ level: 'content', field: 'content' });
    return;
  }
  const isBytes = right instanceof Uint8Array;
  const size = isBytes ? right.length : right.entry.size;
  if (left.entry.size <= MAX_OPENED && size <= MAX_OPENED) {
    const a = bytesSource(await bytesOf(left), left.entry.name);
    const b = bytesSource(isBytes ? right : await bytesOf(right), left.entry.name);
    await scope.content(a, b);
    return;
  }
  const data = isBytes ? streamOf(bytesSource(right)) : right.data;
  const offset = await firstStreamDifference(left.data, data, scope.signal);
  // Their digests differ, or how they are stored: one that says so and is not has another's checksum.
  if (offset === undefined) return;
  scope.found({
    level: 'bytes',
    field: 'content',
    a: `${left.entry.size} bytes`,
    b: `${size} bytes`,
    offset,
  });
}
