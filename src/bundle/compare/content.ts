/** Compares two files of which nothing but the bytes is known: their format is told, or they are text or bytes. */

import { FormatError } from '../../core/errors.ts';
import { toHex } from '../../core/digest.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { detectKind, type FileKind } from '../file-kind.ts';
import { firstDifference } from './bytes.ts';
import { bytesCause, orderCause, textCause } from './causes.ts';
import { comparers } from './comparers.ts';
import { tellDamage } from './damage.ts';
import type { ContentOptions, Scope } from './recorder.ts';
import { asText, diffLines } from './text.ts';

/** Formats inside formats: an APK in an image on a disk in a bundle, and a library in it. */
const MAX_DEPTH = 8;
const MAX_TEXT = 1 << 20;
/** Formats of which every byte is compared, but those of keys, signatures and what follows from these. */
const ACCOUNTED: ReadonlySet<FileKind> = new Set([
  'apk',
  'idsig',
  'vbmeta',
  'kernel',
  'erofs',
  'gpt',
  'initrd',
]);
const WINDOW = 512;
const SHOWN = 16;

/** Compares two files. A difference is never silent: what no format explains is told as bytes. */
export async function compareContent(
  scope: Scope,
  a: ByteSource,
  b: ByteSource,
  options: ContentOptions = {},
): Promise<void> {
  const { nature, proof } = options;
  const own = nature === undefined ? scope : scope.as(nature, proof);
  const offset = await firstDifference(a, b, scope.signal);
  if (offset === undefined) return;
  const [kindA, kindB] = [options.as ?? (await kindOf(a)), options.as ?? (await kindOf(b))];
  if (kindA !== kindB) {
    const names = { ...(kindA && { a: kindA }), ...(kindB && { b: kindB }) };
    own.found({ level: 'content', field: 'format', ...names, offset });
    return;
  }
  const before = scope.told();
  if (kindA !== undefined && scope.depth < MAX_DEPTH) {
    const compare = comparers[kindA];
    try {
      await compare(own, a, b);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      await tellDamage(own, compare, { a, b }, error);
      await compareRaw(own, a, b, offset);
      return;
    }
  }
  // What follows from nothing is no explanation; and signatures are one only where the rest was compared, too.
  const after = scope.told();
  const isExplained =
    kindA !== undefined && ACCOUNTED.has(kindA)
      ? after.explained > before.explained
      : after.origins > before.origins;
  if (!isExplained) await compareRaw(own, a, b, offset);
}

async function kindOf(source: ByteSource): Promise<FileKind | undefined> {
  try {
    return await detectKind(source);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/** Both as text where they are, else what stands around the first byte that differs. */
async function compareRaw(
  scope: Scope,
  a: ByteSource,
  b: ByteSource,
  offset: number,
): Promise<void> {
  if (a.size <= MAX_TEXT && b.size <= MAX_TEXT) {
    const [x, y] = [asText(await a.read(0, a.size)), asText(await b.read(0, b.size))];
    if (x !== undefined && y !== undefined) {
      const excerpt = diffLines(x, y);
      const line = (mark: string): string =>
        excerpt.find((each) => each.startsWith(mark))?.slice(1) ?? '';
      const cause = lineEndings(x, y) ?? orderCause(x, y) ?? textCause(line('-'), line('+'));
      scope.found({
        level: 'content',
        field: 'content',
        a: `${a.size} bytes`,
        b: `${b.size} bytes`,
        offset,
        excerpt,
        ...(cause && { cause }),
      });
      return;
    }
  }
  const from = Math.max(0, offset - WINDOW);
  const window = async (source: ByteSource): Promise<Uint8Array> =>
    source.read(Math.min(from, source.size), Math.max(0, Math.min(2 * WINDOW, source.size - from)));
  const [x, y] = [await window(a), await window(b)];
  const isGzip = await startsAsGzip(a);
  const cause = bytesCause(x, y, offset - from, { offset, isGzip });
  const shown = (bytes: Uint8Array): string =>
    toHex(bytes.subarray(offset - from, offset - from + SHOWN)) || 'its end';
  scope.found({
    level: 'bytes',
    field: 'content',
    a: a.size === b.size ? shown(x) : `${a.size} bytes; ${shown(x)}`,
    b: a.size === b.size ? shown(y) : `${b.size} bytes; ${shown(y)}`,
    offset,
    ...(cause && { cause }),
  });
}

function lineEndings(a: string, b: string): ReturnType<typeof textCause> {
  return a.replaceAll('\r\n', '\n') === b.replaceAll('\r\n', '\n') ? textCause(a, b) : undefined;
}

async function startsAsGzip(source: ByteSource): Promise<boolean> {
  if (source.size < 10) return false;
  return toHex(await source.read(0, 2)) === '1f8b';
}
