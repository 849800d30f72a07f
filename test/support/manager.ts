/** Recipes and runs for the tests of the guest's manager. */

import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CliResult, Sandbox } from './cli.ts';
import { extractApk } from './payload-disk.ts';

/**
 * A recipe whose payload is made of test/fixtures/manager.
 *
 * @param payload What it says beside the files.
 * @param which Content of the file `res/which` of its APK.
 */
export function managerRecipe(
  { folder: parent }: Sandbox,
  name: string,
  payload: string,
  {
    which = `${name}\n`,
    versionCode = 3,
  }: { which?: string | Uint8Array; versionCode?: number } = {},
): string {
  const folder = join(parent, name);
  cpSync('test/fixtures/manager', join(folder, 'src'), { recursive: true });
  cpSync('recipes/hello/microbuild.lock', join(folder, 'microbuild.lock'));
  writeFileSync(join(folder, 'which'), which);
  const lines = payload.split('\n').map((line) => `  ${line}\n`);
  const made = ['libprobe.so', 'libswap.so', 'tool'].map((file) => `src/build/${file}`);
  writeFileSync(
    join(folder, 'microbuild.yaml'),
    `apiVersion: microbuild/v1
name: ${name}
partitions:
  system: { contents: [{ guest: runtime }, { deb: musl, exclude: [/usr] }] }
payload:
  package: dev.microbuild.${name.replaceAll('-', '')}
  versionCode: ${versionCode}
  build: { command: [make, -C, src], inputs: [src], outputs: [${made.join(', ')}] }
  libraries: { x86_64: [src/build/libprobe.so, src/build/libswap.so] }
  files: [{ file: src/build/tool, to: bin/tool }, { file: which, to: res/which }]
${lines.join('')}vm: { memory: 128MiB }
`,
  );
  return folder;
}

/** Builds a recipe beside its folder. @throws {Error} with what the builder said. */
export async function buildBundle(sandbox: Sandbox, folder: string): Promise<string> {
  const path = `${folder}-bundle`;
  const { status, stderr } = await sandbox.microbuild(['image', folder, '-o', path]);
  if (status !== 0) throw new Error(stderr);
  return path;
}

export interface Run extends CliResult {
  /** The console, and what the payload printed. */
  readonly output: string;
  /** The second serial port. */
  readonly reason: string;
}

/** A file that a run left in its folder, or nothing. */
export function runFile({ runFolder }: Sandbox, name: string, file: string): string {
  const path = join(runFolder, name, file);
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

/** Runs a bundle to its end. */
export async function runBundle(
  sandbox: Sandbox,
  bundle: string,
  name: string,
  ...options: readonly string[]
): Promise<Run> {
  const how = ['--console', '--timeout=120', `--name=${name}`, ...options];
  const result = await sandbox.microbuild(['run', bundle, ...how]);
  return {
    ...result,
    output: `${result.stdout}${result.stderr}\n${runFile(sandbox, name, 'log')}`,
    reason: runFile(sandbox, name, 'reason.log'),
  };
}

/** Writes APK and idsig of a bundle into a recipe's folder. */
export async function addApk(bundle: string, folder: string, name: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const at = join(folder, name);
  await extractApk(join(bundle, 'payload.img'), `${at}.apk`, `${at}.apk.idsig`);
}
