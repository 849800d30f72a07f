/**
 * Runs a recipe's `payload.build` in a copy of its declared inputs: what is not declared is not
 * there, and the recipe's folder is never written to.
 */

import { cp, readdir, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { payloadCompiler, type Arch, type Runtime } from '../../core/arch.ts';
import { RecipeError, ToolError } from '../../core/errors.ts';
import { makeFolder } from '../../io/make-folder.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { inputPath } from '../inputs.ts';
import type { RecipePayload } from '../payloads.ts';
import { runTool } from '../run-tool.ts';
import { stagedPath } from '../staged-path.ts';

export interface BuildPayloadContext {
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
  /** Seconds since 1970; becomes SOURCE_DATE_EPOCH and the time of every input. */
  readonly sourceDate: number;
  /** What the guest runs on; decides the compiler. */
  readonly arch: Arch;
  readonly runtime: Runtime;
  /** Folder of the cross compiler that scripts/setup-aarch64 makes. */
  readonly toolFolder: string;
  /** Folder of the guest's C headers. */
  readonly includeFolder: string;
  /** Folder of libvm_payload.so, to link against. */
  readonly libraryFolder: string;
}

/**
 * @param folder An empty one, for the copy of the inputs and the outputs.
 * @throws {RecipeError} at `build.command` when it fails, or at an output it did not make.
 */
export async function buildPayload(
  recipe: Recipe,
  { data, at }: RecipePayload,
  folder: string,
  context: BuildPayloadContext,
): Promise<void> {
  const { build } = data;
  if (build === undefined) return;
  try {
    for (const input of build.inputs) {
      const target = join(folder, stagedPath(recipe, at, input));
      await makeFolder(dirname(target));
      await cp(inputPath(recipe, input), target, { recursive: true, dereference: true });
    }
    await setTimes(folder, context.sourceDate);
    const given = new Set(await listFiles(folder));
    const [program = '', ...args] = build.command;
    await runTool(program, args, {
      cwd: folder,
      signal: context.signal,
      env: {
        PATH: [context.toolFolder, context.env['PATH']].join(delimiter),
        HOME: homedir(),
        LC_ALL: 'C',
        TZ: 'UTC',
        CC: payloadCompiler(context.arch, context.runtime),
        MICROBUILD_RUNTIME: context.runtime,
        MICROBUILD_ARCH: context.arch,
        SOURCE_DATE_EPOCH: String(context.sourceDate),
        MICROBUILD_INCLUDE: context.includeFolder,
        MICROBUILD_LIB: context.libraryFolder,
        ...preloaded(context.env),
      },
    });
    const made = new Set(await listFiles(folder));
    const others = [...made].filter((path) => !given.has(path)).sort();
    const missing = build.outputs.flatMap((output, index) =>
      made.has(stagedPath(recipe, at, output))
        ? []
        : [
            recipe.diagnosticAt(
              [...at, 'build', 'outputs', index],
              `The build command did not make "${output}"`,
              madeInstead(others),
            ),
          ],
    );
    if (missing.length > 0) throw new RecipeError(missing);
  } catch (cause) {
    if (!(cause instanceof ToolError)) throw cause;
    const said = cause.stderrTail.trim().split('\n').slice(-8).join('\n  | ');
    const problem = recipe.diagnosticAt(
      [...at, 'build', 'command'],
      cause.message,
      said === '' ? 'It printed nothing on standard error' : `It printed:\n  | ${said}`,
    );
    throw new RecipeError([problem], { cause });
  }
}

/** How many paths a hint names. */
const SHOWN = 8;

/** An output that is declared by another name than it has is seen at once. */
function madeInstead(made: readonly string[]): string {
  if (made.length === 0) return 'It made no files';
  const more = made.length > SHOWN ? ` and ${made.length - SHOWN} more` : '';
  return `It made ${made.slice(0, SHOWN).join(', ')}${more}`;
}

/** How `check` varies the clock: commands see the same one as the build. Nothing where it does not. */
function preloaded(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  if (env['MICROBUILD_SCRATCH'] === undefined) return {};
  const names = [
    'LD_PRELOAD',
    'FAKETIME',
    'FAKETIME_FMT',
    'FAKETIME_DONT_FAKE_MONOTONIC',
    'NO_FAKE_STAT',
    'RUSTC_WRAPPER',
  ];
  return Object.fromEntries(
    names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])),
  );
}

/** Gives every file one time, so that nothing of the checkout shows in what is built from it. */
async function setTimes(folder: string, seconds: number): Promise<void> {
  for (const path of await listFiles(folder)) await utimes(join(folder, path), seconds, seconds);
}

/** All regular files below a folder, as relative paths. */
async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}
