/** Makes the build record: what a bundle was built from. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BuildInput, BuildRecord, OriginRuns, RecordedEntry } from '../bundle/build-record.ts';
import { formatLock, type Lock } from '../recipe/lockfile.ts';
import type { RecipePath } from '../recipe/issues.ts';
import type { Recipe } from '../recipe/parse.ts';
import { kernelSourceOf } from '../recipe/schema.ts';
import { isLocalDeb } from './inputs.ts';
import { payloadsOf } from './payloads.ts';
import { formatRecipePath } from './recipe-path.ts';
import type { KernelFiles } from './steps/kernel.ts';

export interface RecordParts {
  /** Folder of microbuild's package.json. */
  readonly packageRoot: string;
  readonly sourceDate: number;
  readonly lock: Lock;
  readonly kernel: KernelFiles;
  /** SHA-256 of the guest's files. */
  readonly guest: string;
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
  const { kernel, lock } = parts;
  const [main, ...further] = parts.payloads;
  const pins = Object.keys(lock.debs).length > 0;
  return {
    schemaVersion: 1,
    microbuild: version,
    recipe: {
      files: recipe.files,
      profiles: recipe.profiles,
      vars: recipe.vars,
      data: recipe.data,
    },
    lock: pins ? formatLock(lock) : null,
    sourceDate: parts.sourceDate,
    inputs: namedInputs(recipe, parts),
    partitions: parts.partitions,
    payload: { entries: main?.entries ?? [] },
    payloads: Object.fromEntries(further.map(({ name = '', entries }) => [name, { entries }])),
    kernel: {
      release: kernel.release,
      sha256: kernel.sha256,
      modules: kernel.modules.map(({ name, sha256 }) => ({ name, sha256 })),
    },
    guest: { sha256: parts.guest },
  };
}

/** Everything that the recipe names, in its order. */
function namedInputs(recipe: Recipe, { lock, guest }: RecordParts): BuildInput[] {
  const inputs: BuildInput[] = [];
  const add = (
    at: RecipePath,
    kind: string,
    name: string,
    more: Pick<BuildInput, 'version' | 'digest'> = {},
  ): void => {
    const { file, line } = recipe.positionOf(at);
    inputs.push({ at: formatRecipePath(at), file, line, kind, name, ...more });
  };
  const ofDeb = (name: string): Pick<BuildInput, 'version' | 'digest'> => {
    const deb = isLocalDeb(name) ? undefined : lock.debs[name];
    if (deb === undefined) return {};
    return { version: `${deb.package} ${deb.version}`, digest: `sha256:${deb.sha256}` };
  };
  const kernel = kernelSourceOf(recipe.data);
  if ('deb' in kernel) add(['kernel', 'source'], 'kernel', kernel.deb, ofDeb(kernel.deb));
  else add(['kernel', 'source'], 'kernel', kernel.file);
  for (const [name, { contents }] of Object.entries(recipe.data.partitions)) {
    for (const [index, source] of contents.entries()) {
      const [kind = '', value] = Object.entries(source)[0] ?? [];
      const more = 'deb' in source ? ofDeb(source.deb) : {};
      const known = 'guest' in source ? { digest: `sha256:${guest}` } : more;
      add(['partitions', name, 'contents', index], kind, String(value), known);
    }
  }
  for (const { data, at } of payloadsOf(recipe)) {
    if (data.build) add([...at, 'build'], 'build', data.build.command.join(' '));
    for (const [abi, paths] of Object.entries(data.libraries)) {
      for (const [index, path] of (paths ?? []).entries()) {
        add([...at, 'libraries', abi, index], 'library', path);
      }
    }
    for (const [index, { file }] of data.files.entries()) {
      add([...at, 'files', index], 'file', file);
    }
    if (data.assets !== undefined) add([...at, 'assets'], 'assets', data.assets);
    if (typeof data.config === 'string') add([...at, 'config'], 'config', data.config);
    for (const [index, { apk }] of data.extraApks.entries()) {
      add([...at, 'extraApks', index], 'apk', apk);
    }
    for (const [index, path] of data.interfaces.entries()) {
      add([...at, 'interfaces', index], 'interface', path);
    }
  }
  return inputs;
}
