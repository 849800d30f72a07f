/** What a recipe needs pinned, and where it says so. */

import { ARCHITECTURES } from '../../core/arch.ts';
import { gitKey, ociKey } from '../../recipe/lockfile.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import { isAddress } from '../../recipe/schema-values.ts';
import { kernelSourceOf } from '../../recipe/schema.ts';

interface Asked {
  /** The key in its section of the lock. */
  readonly name: string;
  /** What asks for it: the recipe with the profiles that are chosen, or one of its alternatives. */
  readonly recipe: Recipe;
  /** The first place of the recipe that asks for it. */
  readonly at: RecipePath;
}

export type Want =
  | (Asked & {
      readonly section: 'debs';
      /** Whether the package is one that leads to a kernel. */
      readonly follow: 'kernel' | 'exact';
      /** Whether all that it depends on is wanted, too. */
      readonly dependencies: boolean;
    })
  | (Asked & { readonly section: 'archives' })
  | (Asked & { readonly section: 'files' })
  | (Asked & { readonly section: 'oci'; readonly reference: string; readonly platform: string })
  | (Asked & {
      readonly section: 'git';
      /** An address, or a path relative to the recipe's folder. */
      readonly git: string;
      readonly commit: string | undefined;
      readonly ref: string | undefined;
    });

const isLocal = (text: string): boolean => text.startsWith('.');

/** The platform whose image is meant where a recipe names none. */
const platformOf = ({ data }: Recipe): string => `linux/${ARCHITECTURES[data.arch].debian}`;

function addWant(wants: Map<string, Want>, want: Want): void {
  const key = `${want.section} ${want.name}`;
  const known = wants.get(key);
  if (known === undefined) wants.set(key, want);
  else if (known.section === 'debs' && want.section === 'debs' && want.dependencies) {
    wants.set(key, { ...known, dependencies: true });
  }
}

/** What a lock pins, whatever of the recipe is chosen. */
export interface AllWants {
  readonly wants: readonly Want[];
  /** Profiles for another architecture: a lock holds each package once, so theirs are not in it. */
  readonly foreign: readonly Recipe[];
}

/**
 * All that a recipe needs pinned in any of its profiles, so that one lock serves them all: first what is
 * chosen, then what the alternatives add.
 */
export function allWantsOf(recipe: Recipe): AllWants {
  const wants = new Map(wantsOf(recipe).map((want) => [`${want.section} ${want.name}`, want]));
  const foreign: Recipe[] = [];
  for (const other of recipe.alternatives()) {
    const isForeign = other.data.arch !== recipe.data.arch;
    if (isForeign) foreign.push(other);
    for (const want of wantsOf(other)) {
      if (!isForeign || want.section !== 'debs') addWant(wants, want);
    }
  }
  return { wants: [...wants.values()], foreign };
}

/** All that a recipe needs pinned, each once, in the order of the recipe; the kernel is first. */
export function wantsOf(recipe: Recipe): Want[] {
  const { data } = recipe;
  const wants = new Map<string, Want>();
  const made = new Set(
    [data.payload, ...Object.values(data.payloads)].flatMap(({ build }) => build?.outputs ?? []),
  );
  const add = (want: Want): void => addWant(wants, want);
  const addFile = (name: string, at: RecipePath): void => {
    if (!made.has(name)) add({ section: 'files', name, recipe, at });
  };
  const addArchive = (name: string, at: RecipePath): void => {
    if (isAddress(name)) add({ section: 'archives', name, recipe, at });
    else addFile(name, at);
  };

  const kernel = kernelSourceOf(data);
  const ofKernel = ['kernel', 'source'];
  if ('deb' in kernel) {
    const at = [...ofKernel, 'deb'];
    const name = kernel.deb;
    add({ section: 'debs', name, recipe, at, follow: 'kernel', dependencies: false });
  } else {
    addFile(kernel.file, [...ofKernel, 'file']);
  }
  for (const [partition, { contents }] of Object.entries(data.partitions)) {
    for (const [index, source] of contents.entries()) {
      const at = ['partitions', partition, 'contents', index];
      if ('deb' in source) {
        if (isLocal(source.deb)) {
          addFile(source.deb, [...at, 'deb']);
        } else {
          const { deb: name, dependencies } = source;
          add({
            section: 'debs',
            name,
            recipe,
            at: [...at, 'deb'],
            follow: 'exact',
            dependencies,
          });
        }
      } else if ('tar' in source) {
        addArchive(source.tar, [...at, 'tar']);
      } else if ('zip' in source) {
        addArchive(source.zip, [...at, 'zip']);
      } else if ('apk' in source) {
        addFile(source.apk, [...at, 'apk']);
      } else if ('oci' in source) {
        if (source.oci.startsWith('.') && source.oci.endsWith('.tar')) {
          addFile(source.oci, [...at, 'oci']);
        } else {
          const platform = source.platform ?? platformOf(recipe);
          const name = ociKey(source);
          add({
            section: 'oci',
            name,
            recipe,
            at: [...at, 'oci'],
            reference: source.oci,
            platform,
          });
        }
      } else if ('git' in source) {
        const { git, commit, ref } = source;
        add({ section: 'git', name: gitKey(source), recipe, at: [...at, 'git'], git, commit, ref });
      }
    }
  }
  return [...wants.values()];
}
