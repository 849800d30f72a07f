/** What the guest starts: a library by name, or what a configuration file in the APK says. */

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import {
  APK_DIRECTORY,
  parsePayloadConfig,
  PAYLOAD_CONFIG_ENTRY,
  type PayloadConfig,
} from '../../bundle/payload-config.ts';
import { ARCHITECTURES } from '../../core/arch.ts';
import { FormatError, RecipeError, type Diagnostic } from '../../core/errors.ts';
import type { PayloadStart } from '../../formats/payload-metadata/metadata.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { librariesFor, type BuiltPayload } from '../payloads.ts';

export interface PlannedStart {
  readonly start: PayloadStart;
  /** For people: the library or program that runs. */
  readonly command: string;
  /** The configuration file for the APK. */
  readonly config: Uint8Array | undefined;
}

/**
 * Reads a payload's configuration, if it has one, and checks it as the guest will.
 *
 * @throws {RecipeError} at its `config`.
 */
export async function planStart(recipe: Recipe, payload: BuiltPayload): Promise<PlannedStart> {
  const { entry, extraApks } = payload.data;
  const config = await configBytes(payload);
  if (config === undefined) {
    const library = entry ?? '';
    return {
      start: { kind: 'config', payloadBinaryName: library, extraApkCount: extraApks.length },
      command: library,
      config,
    };
  }
  const parsed = parse(recipe, payload, config);
  checkAgainst(recipe, payload, parsed);
  return {
    start: { kind: 'config-path', path: `${APK_DIRECTORY}${PAYLOAD_CONFIG_ENTRY}` },
    command: parsed.task.command,
    config,
  };
}

async function configBytes({ data, place }: BuiltPayload): Promise<Uint8Array | undefined> {
  const { config, extraApks } = data;
  if (config === undefined) return undefined;
  if (typeof config === 'string') return readFile(place(config));
  const extra = extraApks.map(({ apk }) => ({ path: basename(apk) }));
  const complete = extra.length === 0 ? config : { extra_apks: extra, ...config };
  return Buffer.from(`${JSON.stringify(complete, undefined, 2)}\n`);
}

const configAt = ({ at }: BuiltPayload): RecipePath => [...at, 'config'];

function parse(recipe: Recipe, payload: BuiltPayload, config: Uint8Array): PayloadConfig {
  try {
    return parsePayloadConfig(config);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new RecipeError([recipe.diagnosticAt(configAt(payload), cause.message)], { cause });
  }
}

function checkAgainst(
  recipe: Recipe,
  payload: BuiltPayload,
  { task, extraApkCount }: PayloadConfig,
): void {
  const at = configAt(payload);
  const { arch } = recipe.data;
  const { extraApks } = payload.data;
  const problems: Diagnostic[] = [];
  if (extraApkCount !== extraApks.length) {
    const message = `The configuration wants ${extraApkCount} extra APKs, extraApks has ${extraApks.length}`;
    problems.push(recipe.diagnosticAt(at, message));
  }
  const libraries = librariesFor(payload, arch);
  if (task.type === 'microdroid_launcher' && !libraries.includes(task.command)) {
    const message = `The entry library "${task.command}" is not among the payload's libraries`;
    const hint =
      libraries.length === 0
        ? `List it under libraries.${ARCHITECTURES[arch].abi}: the guest is ${arch}`
        : `Name one of: ${libraries.join(', ')}`;
    problems.push(recipe.diagnosticAt(at, message, hint));
  }
  if (problems.length > 0) throw new RecipeError(problems);
}
