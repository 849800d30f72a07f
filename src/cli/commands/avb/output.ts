import { writeFileAtomic } from '../../../io/atomic-output.ts';
import type { CommandResult } from '../../command.ts';

/** A result in the text that avbtool prints, in a file when one is named. */
export async function textResult(
  text: string,
  json: unknown,
  output: string | undefined,
): Promise<CommandResult> {
  if (output === undefined) return { text: text.replace(/\n$/, ''), json };
  await writeFileAtomic(output, text);
  return { text: '', json };
}
