/** The payloads of a recipe, and what becomes of each. */

import { join } from 'node:path';
import { BUNDLE_FILES, payloadDiskFile } from '../bundle/layout.ts';
import { ARCHITECTURES } from '../core/arch.ts';
import type { RecipePath } from '../recipe/issues.ts';
import type { Recipe } from '../recipe/parse.ts';
import type { RecipeData } from '../recipe/schema.ts';
import { inputPath } from './inputs.ts';
import { stagedPath } from './staged-path.ts';

export interface RecipePayload {
  /** Undefined for the default one. */
  readonly name: string | undefined;
  readonly data: RecipeData['payload'];
  /** Where the recipe has it. */
  readonly at: RecipePath;
  /** vsock port that it serves. */
  readonly rpcPort: number | undefined;
  /** File of the bundle. */
  readonly disk: string;
  /** Prefix of the names of its steps, and of seeds: `payload` or `payload.NAME`. */
  readonly step: string;
}

/** A payload whose build command has run. */
export interface BuiltPayload extends RecipePayload {
  /** Where the build command left its outputs; undefined without one. */
  readonly folder: string | undefined;
  /** Absolute path of a file that the recipe names: its own, or one that was built. */
  readonly place: (path: string) => string;
}

/** All payloads, the default one first. */
export function payloadsOf({ data }: Recipe): readonly RecipePayload[] {
  const { rpcPort } = data.vm;
  return [
    {
      name: undefined,
      data: data.payload,
      at: ['payload'],
      rpcPort,
      disk: BUNDLE_FILES.payload,
      step: 'payload',
    },
    ...Object.entries(data.payloads).map(([name, payload]) => ({
      name,
      data: payload,
      at: ['payloads', name],
      rpcPort: payload.rpcPort ?? rpcPort,
      disk: payloadDiskFile(name),
      step: `payload.${name}`,
    })),
  ];
}

/** @param folder Where its build command left its outputs, if it has one. */
export function builtPayload(
  recipe: Recipe,
  payload: RecipePayload,
  folder: string | undefined,
): BuiltPayload {
  const made = new Set(payload.data.build?.outputs);
  return {
    ...payload,
    folder,
    place: (path) =>
      folder !== undefined && made.has(path)
        ? join(folder, stagedPath(recipe, payload.at, path))
        : inputPath(recipe, path),
  };
}

/** The file names of a payload's libraries for the guest. */
export const librariesFor = (
  { data }: RecipePayload,
  arch: RecipeData['arch'],
): readonly string[] =>
  (data.libraries[ARCHITECTURES[arch].abi] ?? []).map((path) => path.replace(/^.*\//, ''));
