/**
 * Whether a build is one whose stamp may be asked, and for what. Nothing here reads a recipe: where nothing changed, reading it
 * would take most of the time.
 */

import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { StampSubject } from '../../cache/build-stamp.ts';
import { programFolders } from '../../builder/program-folders.ts';
import { findKeyFolder } from '../../builder/workspace.ts';
import type { CommandArguments, CommandContext } from '../command.ts';
import { packageRoot } from '../package-root.ts';

/** What of the environment reaches a build. */
const VARIABLES = ['CI', 'HOME', 'MICROBUILD_GUEST', 'MICROBUILD_NATIVE', 'SOURCE_DATE_EPOCH'];
/** What decides besides the files: all that can be written on the command line, but for how much it prints. */
const OPTIONS = [
  'attestation-cert',
  'attestation-key',
  'attestations',
  'builder-id',
  'image-cert',
  'image-key',
  'locked',
  'manifest-signature',
  'offline',
  'output',
  'payload-cert',
  'payload-key',
  'profile',
  'relock',
  'var',
];
/** Signatures for these are more than files: each is logged, reviewed, or unlocked. */
const UNSTAMPED = [
  'attach',
  'attestation-key-pass',
  'audit-cache',
  'audit-log',
  'image-key-pass',
  'key-pass',
  'payload-key-pass',
  'prepare',
  'release-log',
  'store-pass',
];

/**
 * @returns undefined where a build is always made.
 */
export async function stampSubject(
  args: CommandArguments,
  { env }: Pick<CommandContext, 'env'>,
): Promise<StampSubject | undefined> {
  const value = (name: string): string[] | string | boolean | undefined => {
    const given = args.any(name);
    return given === undefined || given === false ? undefined : (given as string[] | string | true);
  };
  if (UNSTAMPED.some((name) => value(name) !== undefined)) return undefined;
  if ([value('profile')].flat().includes('release')) return undefined;
  const recipe = resolve(args.text('recipe'));
  const folder = args.optionalText('keys') ?? (await findKeyFolder(process.cwd(), [recipe], env));
  const output = args.optionalText('output');
  return {
    // Without a name the recipe gives it: a stamp belongs to the folder and the recipe then.
    output: output === undefined ? join(recipe, `\u0000${process.cwd()}`) : resolve(output),
    facts: {
      recipe,
      keys: resolve(folder),
      tool: await toolMark(),
      options: Object.fromEntries(OPTIONS.map((name) => [name, value(name)])),
      variables: Object.fromEntries(VARIABLES.map((name) => [name, env[name]])),
      programs: await programFolders(env),
      directory: process.cwd(),
    },
  };
}

/** Another one after each build of microbuild itself, and for each version of what runs it. */
export async function toolMark(): Promise<string> {
  const marks = ['dist/bin/main.cjs', 'package.json', 'target/release/libmicrobuild_native.so'].map(
    async (name) => {
      const found = await stat(join(packageRoot, name)).catch(() => undefined);
      return found === undefined ? '-' : `${found.size} ${found.mtimeMs}`;
    },
  );
  return [process.version, ...(await Promise.all(marks))].join(', ');
}
