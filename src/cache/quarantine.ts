/** Actions that made something else when they ran again: their results are kept no more, and what differed is written down. */

import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../io/atomic-output.ts';
import { readRegular } from '../io/read-regular.ts';
import { byBytes } from './remote-execution.ts';

/** One output of an action that differed between two runs. */
export interface Difference {
  /** Name of the output; `value` for what the step returned. */
  readonly output: string;
  /** The first byte that differs; the size of the shorter one where it is the beginning of the longer. */
  readonly offset: number;
  readonly kept: { readonly sha256: string; readonly size: number };
  readonly fresh: { readonly sha256: string; readonly size: number };
}

/** An action that is not what its inputs make it. */
export interface Finding {
  readonly mnemonic: string;
  /** The digest of the action. */
  readonly key: string;
  readonly differences: readonly Difference[];
}

const folderOf = (directory: string): string => join(directory, 'microbuild', 'quarantine');
const placeOf = (directory: string, key: string): string =>
  join(folderOf(directory), `${key}.json`);

export async function isQuarantined(directory: string, key: string): Promise<boolean> {
  return (await stat(placeOf(directory, key)).catch(() => undefined)) !== undefined;
}

export async function quarantine(directory: string, finding: Finding): Promise<void> {
  const text = `${JSON.stringify(finding, undefined, 2)}\n`;
  await writeFileAtomic(placeOf(directory, finding.key), text, 0o600);
}

/** What is in quarantine. */
export async function listQuarantine(directory: string): Promise<Finding[]> {
  const names = await readdir(folderOf(directory)).catch(() => []);
  const found: Finding[] = [];
  for (const name of names.sort(byBytes)) {
    try {
      found.push(JSON.parse(String(await readRegular(join(folderOf(directory), name)))) as Finding);
    } catch {
      // Half written by another tool, or removed: nothing to tell of.
    }
  }
  return found;
}

/** Lets the results of all actions be kept again. */
export async function endQuarantine(directory: string): Promise<void> {
  await rm(folderOf(directory), { recursive: true, force: true });
}
