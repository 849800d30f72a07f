/** Paths that two sources claim with different files, as far as the recipe itself tells them. */

import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RecipePath } from '../../recipe/issues.ts';
import { describeSource, type PartitionSource } from '../../recipe/source-schema.ts';
import type { CheckContext } from './context.ts';

/** A path of the image that one source names. */
interface Claim {
  readonly at: RecipePath;
  readonly source: PartitionSource;
  readonly path: string;
  readonly kind: 'file' | 'symlink' | 'folder';
}

/** Larger files are compared when they are built. */
const MAX_COMPARED = 1 << 20;

export async function checkDuplicates(context: CheckContext): Promise<void> {
  for (const [name, { contents, rules }] of Object.entries(context.recipe.data.partitions)) {
    const at = ['partitions', name, 'contents'];
    const claims = contents.flatMap((source, index): Claim[] => {
      const claim = claimOf(source);
      // A rule may move or remove what is claimed.
      const isPlain = source.rules.length === 0 && context.isSound([...at, index]);
      return claim === undefined || !isPlain ? [] : [{ ...claim, source, at: [...at, index] }];
    });
    const seen = new Map<string, Claim>();
    for (const claim of claims) {
      const known = seen.get(claim.path);
      if (known === undefined) seen.set(claim.path, claim);
      else if (!(await isSame(context, known, claim))) tellBoth(context, claim, known);
      for (const above of foldersAbove(claim.path)) {
        const blocking = seen.get(above);
        if (blocking !== undefined && blocking.kind !== 'folder')
          tellBoth(context, claim, blocking);
      }
    }
    if (rules.some(({ remove }) => remove === true)) continue;
    await checkFolders(context, at, [...seen.values()]);
  }
}

function claimOf(source: PartitionSource): Pick<Claim, 'path' | 'kind'> | undefined {
  if ('file' in source || 'inline' in source) return { path: source.to, kind: 'file' };
  if ('symlink' in source) return { path: source.to, kind: 'symlink' };
  if ('folder' in source) return { path: source.folder, kind: 'folder' };
  return undefined;
}

function* foldersAbove(path: string): Generator<string> {
  for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
    yield path.slice(0, at);
  }
}

function tellBoth(context: CheckContext, claim: Claim, known: Claim): void {
  const { file, line } = context.recipe.positionOf(known.at);
  const index = known.at.at(-1);
  context.tell(
    claim.at,
    `${known.path} is in the image already`,
    `contents[${index}] (${describeSource(known.source)}, ${file}:${line}) put it there: leave one of them out`,
  );
}

/** Whether two sources put the same there: then it does not matter which one does. */
async function isSame(context: CheckContext, a: Claim, b: Claim): Promise<boolean> {
  if (a.kind !== b.kind) return false;
  if (a.kind === 'folder') return true;
  if ('symlink' in a.source && 'symlink' in b.source) {
    return a.source.symlink === b.source.symlink && isSameOwner(a.source, b.source);
  }
  const isFile = (source: PartitionSource): source is Extract<PartitionSource, { mode: string }> =>
    'file' in source || 'inline' in source;
  if (!isFile(a.source) || !isFile(b.source)) return false;
  if (Number.parseInt(a.source.mode, 8) !== Number.parseInt(b.source.mode, 8)) return false;
  if (!isSameOwner(a.source, b.source)) return false;
  const [one, other] = await Promise.all([contentOf(context, a), contentOf(context, b)]);
  return one === undefined || other === undefined || one.equals(other);
}

const isSameOwner = (
  a: { readonly uid: number; readonly gid: number },
  b: { readonly uid: number; readonly gid: number },
): boolean => a.uid === b.uid && a.gid === b.gid;

/** Undefined where it is not known. */
async function contentOf(
  context: CheckContext,
  { at, source }: Claim,
): Promise<Buffer | undefined> {
  if ('inline' in source) return Buffer.from(source.inline);
  const real = context.realPath([...at, 'file']);
  if (real === undefined || (await lstat(real)).size > MAX_COMPARED) return undefined;
  return readFile(real);
}

/** What stands in a folder of the recipe goes to the image as it is. */
async function checkFolders(
  context: CheckContext,
  at: RecipePath,
  claims: readonly Claim[],
): Promise<void> {
  const [, name = ''] = at;
  const { contents } = context.recipe.data.partitions[name] ?? { contents: [] };
  for (const [index, source] of contents.entries()) {
    const here = [...at, index];
    const real = context.realPath([...here, 'dir']);
    if (!('dir' in source) || real === undefined) continue;
    if (source.include !== undefined || source.exclude !== undefined) continue;
    if (source.rules.length > 0) continue;
    const prefix = source.to === '/' ? '/' : `${source.to}/`;
    for (const claim of claims) {
      if (!claim.path.startsWith(prefix)) continue;
      const found = await lstat(join(real, claim.path.slice(prefix.length))).catch(() => undefined);
      // Files may be equal; that is seen when both are read.
      if (found === undefined || (found.isFile() && claim.kind === 'file')) continue;
      if (found.isSymbolicLink() && claim.kind === 'symlink') continue;
      if (found.isDirectory() && claim.kind === 'folder') continue;
      const dir: Claim = { at: here, source, path: claim.path, kind: 'folder' };
      const isFirst = Number(claim.at.at(-1)) < index;
      if (isFirst) tellBoth(context, dir, claim);
      else tellBoth(context, claim, dir);
    }
  }
}
