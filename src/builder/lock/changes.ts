/** What differs between two locks, and which line of the recipe or which package asks for it. */

import type { Lock, LockedDeb } from '../../recipe/lockfile.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { Want } from './wants.ts';

const SECTIONS = ['debs', 'archives', 'files', 'oci', 'git'] as const;
type Section = (typeof SECTIONS)[number] | 'kernel' | 'tools';

/** What a lock says of one input. */
interface Pinned {
  /** For people: `musl 1.2.3-1`, a commit, a release; a short digest where there is no version. */
  readonly label: string;
  /** Stands for the bytes. */
  readonly digest: string;
  /** In bytes, where it is known. */
  readonly size: number | undefined;
  /** Where a mirror has it. */
  readonly path: string | undefined;
}

/** A pin that changed, for the report. */
export interface LockChange {
  readonly section: Section;
  readonly name: string;
  /** Undefined when it was not pinned before. */
  readonly before: string | undefined;
  /** Undefined when nothing asks for it any more. */
  readonly after: string | undefined;
  /** In bytes. */
  readonly size: { readonly before: number | undefined; readonly after: number | undefined };
  /** What asks for it: relations of packages first, the line of the recipe last. Empty when nothing does. */
  readonly askedBy: readonly Asking[];
  /** The bytes are the same: only the path below the mirror is another. */
  readonly moved: boolean;
}

/** A line of the recipe, or a relation of a package. */
export type Asking = RecipeLine | { readonly package: string; readonly relation: string };

/** A line of one of the recipe's files, and the value there: `partitions.system.contents[1].deb`. */
export interface RecipeLine {
  readonly file: string;
  readonly line: number;
  readonly at: string;
}

/** The changes from one lock to another, by section and name. */
export function changesBetween(
  before: Lock,
  after: Lock,
  recipe: Recipe,
  wants: readonly Want[],
): LockChange[] {
  const names = (section: Section): string[] => {
    if (section === 'kernel' || section === 'tools') return [section];
    const both = new Set([...Object.keys(before[section]), ...Object.keys(after[section])]);
    return [...both].sort((a, b) => (a < b ? -1 : 1));
  };
  return [...SECTIONS, 'kernel' as const, 'tools' as const].flatMap((section) =>
    names(section).flatMap((name): LockChange[] => {
      const [old, now] = [before, after].map((lock) => pinnedAs(lock, section, name));
      if (old?.digest === now?.digest && old?.path === now?.path) return [];
      return [
        {
          section,
          name,
          before: old?.label,
          after: now?.label,
          size: { before: old?.size, after: now?.size },
          askedBy: askedBy(now === undefined ? before : after, section, name, recipe, wants),
          moved: old !== undefined && old.digest === now?.digest,
        },
      ];
    }),
  );
}

const short = (digest: string): string => `sha256:${digest.slice(0, 12)}`;

function pinnedAs(lock: Lock, section: Section, name: string): Pinned | undefined {
  switch (section) {
    case 'debs': {
      const deb = lock.debs[name];
      return (
        deb && {
          label: labelOf(deb),
          digest: deb.sha256,
          size: deb.size,
          path: deb.path,
        }
      );
    }
    case 'archives':
    case 'files': {
      const file = lock[section][name];
      return (
        file && { label: short(file.sha256), digest: file.sha256, size: file.size, path: undefined }
      );
    }
    case 'oci': {
      const image = lock.oci[name];
      if (image === undefined) return undefined;
      const parts = [image.manifest, image.config, ...image.layers];
      return {
        label: `${image.platform} ${image.manifest.digest.slice(0, 19)}`,
        digest: image.manifest.digest,
        size: parts.reduce((sum, each) => sum + each.size, 0),
        path: undefined,
      };
    }
    case 'git': {
      const each = lock.git[name];
      return (
        each && {
          label: `commit ${each.commit.slice(0, 12)}`,
          digest: each.sha256,
          size: each.size,
          path: undefined,
        }
      );
    }
    case 'kernel': {
      const { kernel } = lock;
      return (
        kernel && {
          label: `Linux ${kernel.release}`,
          digest: JSON.stringify(kernel),
          size: undefined,
          path: undefined,
        }
      );
    }
    case 'tools': {
      const { tools } = lock;
      return (
        tools && {
          label: `microbuild ${tools.microbuild}, guest ${short(tools.guest)}`,
          digest: JSON.stringify(tools),
          size: undefined,
          path: undefined,
        }
      );
    }
  }
}

const labelOf = (deb: LockedDeb): string => `${deb.package} ${deb.version}`;

/** From what is pinned to the recipe: each step is what asks for the one before. */
function askedBy(
  lock: Lock,
  section: Section,
  name: string,
  recipe: Recipe,
  wants: readonly Want[],
): Asking[] {
  if (section === 'tools') return [];
  if (section === 'kernel') return [lineOf(recipe, ['kernel', 'source'])];
  const chain: Asking[] = [];
  const seen = new Set<string>();
  for (let at: string | undefined = name; at !== undefined && !seen.has(at);) {
    seen.add(at);
    const want = wants.find((each) => each.section === section && each.name === at);
    if (want !== undefined) {
      chain.push(lineOf(want.recipe, want.at));
      return chain;
    }
    const asking: LockedDeb['askedBy'] = section === 'debs' ? lock.debs[at]?.askedBy : undefined;
    if (asking === undefined) return chain;
    chain.push(asking);
    at = asking.package;
  }
  return chain;
}

/** Where a recipe has the value at a path. */
export function lineOf(recipe: Recipe, path: Want['at']): RecipeLine {
  const { file, line } = recipe.positionOf(path);
  const at = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`)).join('');
  return { file, line, at: at.slice(1) };
}
