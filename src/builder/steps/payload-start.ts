/** What the guest starts: a library by name, or what a configuration file in the APK says. */

import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  APK_DIRECTORY,
  parsePayloadConfig,
  PAYLOAD_CONFIG_ENTRY,
  type PayloadConfig,
} from '../../bundle/payload-config.ts';
import { FormatError, RecipeError, type Diagnostic } from '../../core/errors.ts';
import type { PayloadStart } from '../../formats/payload-metadata/metadata.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { inputPath, libraryNames, missingLibrary } from '../inputs.ts';

export interface PlannedStart {
  readonly start: PayloadStart;
  /** For people: the library or program that runs. */
  readonly command: string;
  /** The configuration file for the APK. */
  readonly config: Uint8Array | undefined;
}

const AT = ['payload', 'config'];

/**
 * Reads the recipe's configuration, if it has one, and checks it as the guest will.
 *
 * @param buildFolder Where the build command left its outputs, if the recipe has one.
 * @throws {RecipeError} at `payload.config`.
 */
export async function planStart(
  recipe: Recipe,
  buildFolder: string | undefined,
): Promise<PlannedStart> {
  const { entry, extraApks } = recipe.data.payload;
  const config = await configBytes(recipe, buildFolder);
  if (config === undefined) {
    const library = entry ?? '';
    return {
      start: { kind: 'config', payloadBinaryName: library, extraApkCount: extraApks.length },
      command: library,
      config,
    };
  }
  const parsed = parse(recipe, config);
  checkAgainst(recipe, parsed);
  return {
    start: { kind: 'config-path', path: `${APK_DIRECTORY}${PAYLOAD_CONFIG_ENTRY}` },
    command: parsed.task.command,
    config,
  };
}

async function configBytes(
  recipe: Recipe,
  buildFolder: string | undefined,
): Promise<Uint8Array | undefined> {
  const { config, build, extraApks } = recipe.data.payload;
  if (config === undefined) return undefined;
  if (typeof config === 'string') {
    const isMade = buildFolder !== undefined && (build?.outputs.includes(config) ?? false);
    return readFile(isMade ? join(buildFolder, config) : inputPath(recipe, config));
  }
  const extra = extraApks.map(({ apk }) => ({ path: basename(apk) }));
  const complete = extra.length === 0 ? config : { extra_apks: extra, ...config };
  return Buffer.from(`${JSON.stringify(complete, undefined, 2)}\n`);
}

function parse(recipe: Recipe, config: Uint8Array): PayloadConfig {
  try {
    return parsePayloadConfig(config);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new RecipeError([recipe.diagnosticAt(AT, cause.message)], { cause });
  }
}

function checkAgainst(recipe: Recipe, { task, extraApkCount }: PayloadConfig): void {
  const { extraApks } = recipe.data.payload;
  const problems: Diagnostic[] = [];
  if (extraApkCount !== extraApks.length) {
    const message = `The configuration wants ${extraApkCount} extra APKs, payload.extraApks has ${extraApks.length}`;
    problems.push(recipe.diagnosticAt(AT, message));
  }
  if (task.type === 'microdroid_launcher' && !libraryNames(recipe).includes(task.command)) {
    problems.push(missingLibrary(recipe, AT, task.command));
  }
  if (problems.length > 0) throw new RecipeError(problems);
}
