/** Makes the build record: what a bundle was built from. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type {
  BuildInput,
  BuildRecord,
  OriginRuns,
  RecordedCrate,
  RecordedEntry,
  RecordedPackage,
} from '../bundle/build-record.ts';
import { emptyLock, formatLock, type Lock } from '../recipe/lockfile.ts';
import type { Recipe } from '../recipe/parse.ts';
import type { RecipePath } from '../recipe/issues.ts';
import { recipeInputs } from './recipe-inputs.ts';
import type { InputDigests } from './input-digests.ts';
import { formatRecipePath } from './recipe-path.ts';
import type { SourceNote } from './sources/source-tree.ts';
import type { KernelFiles } from './steps/kernel.ts';

export interface RecordParts {
  /** Folder of microbuild's package.json. */
  readonly packageRoot: string;
  readonly sourceDate: number;
  readonly lock: Lock;
  /** Of the recipe's own files and folders. */
  readonly local: InputDigests;
  readonly kernel: KernelFiles;
  /** SHA-256 of the guest's files, and what they are made of. */
  readonly guest: {
    readonly sha256: string;
    readonly crates: readonly RecordedCrate[] | undefined;
  };
  readonly packages: readonly RecordedPackage[];
  readonly partitions: Readonly<Record<string, { readonly origins: OriginRuns }>>;
  /** The default one first. */
  readonly payloads: readonly {
    readonly name: string | undefined;
    readonly entries: readonly RecordedEntry[];
  }[];
}

export async function describeBuild(recipe: Recipe, parts: RecordParts): Promise<BuildRecord> {
  const { version } = JSON.parse(
    await readFile(join(parts.packageRoot, 'package.json'), 'utf8'),
  ) as { version: string };
  const { kernel, lock, guest, packages } = parts;
  const [main, ...further] = parts.payloads;
  const text = formatLock(lock);
  return {
    schemaVersion: 1,
    microbuild: version,
    recipe: {
      files: recipe.files,
      profiles: recipe.profiles,
      vars: recipe.vars,
      data: recipe.data,
    },
    lock: text === formatLock(emptyLock) ? null : text,
    sourceDate: parts.sourceDate,
    inputs: namedInputs(recipe, parts),
    ...(packages.length > 0 && { packages }),
    partitions: parts.partitions,
    payload: { entries: main?.entries ?? [] },
    payloads: Object.fromEntries(further.map(({ name = '', entries }) => [name, { entries }])),
    kernel: {
      release: kernel.release,
      sha256: kernel.sha256,
      modules: kernel.modules.map(({ name, sha256 }) => ({ name, sha256 })),
    },
    guest: { sha256: guest.sha256, ...(guest.crates && { crates: guest.crates }) },
  };
}

function namedInputs(recipe: Recipe, { lock, guest, local }: RecordParts): BuildInput[] {
  return recipeInputs(recipe, lock).map(({ at, kind, name, pinned }) => {
    const { file, line } = recipe.positionOf(at);
    const place = formatRecipePath(at);
    const own = kind === 'guest' ? `sha256:${guest.sha256}` : local.get(place);
    return { at: place, file, line, kind, name, ...(own && { digest: own }), ...pinned };
  });
}

/** What the record tells of a package that was unpacked. @param at Where the recipe asks for it. */
export const recordedPackage = (
  found: Extract<SourceNote, { kind: 'package' }>,
  at: RecipePath,
): RecordedPackage => ({
  name: found.package,
  version: found.version,
  architecture: found.architecture,
  ...(found.license !== null && { license: found.license }),
  input: formatRecipePath(at),
  ...(found.conffiles.length > 0 && { conffiles: found.conffiles }),
  ...(found.scripts.length > 0 && { scripts: found.scripts }),
});
