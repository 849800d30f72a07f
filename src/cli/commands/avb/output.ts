/** Where results of `avb` verbs go: a file that appears whole, or a device or pipe that is there. */

import { stat, writeFile } from 'node:fs/promises';
import { writeFileAtomic } from '../../../io/atomic-output.ts';
import type { CommandResult } from '../../command.ts';

/** Writes a file, replacing one that exists; what is no regular file is written to as it is. */
export async function writeOutput(path: string, data: Uint8Array | string): Promise<void> {
  const existing = await stat(path).catch(() => undefined);
  if (existing === undefined || existing.isFile()) await writeFileAtomic(path, data);
  else await writeFile(path, data);
}

/** A result in the text that avbtool prints, in a file when one is named. */
export async function textResult(
  text: string,
  json: unknown,
  output: string | undefined,
): Promise<CommandResult> {
  if (output === undefined) return { text: text.replace(/\n$/, ''), json };
  await writeOutput(output, text);
  return { text: '', json };
}
