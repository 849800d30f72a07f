/** Keys that verbs of `avb` open by reference, in whatever they are kept, and close when the verb ends. */

import type { Options } from 'yargs';
import { loadCryptoki } from '../../../native/load-cryptoki.ts';
import { openKey, type OpenedKey } from '../../../signing/keys/open-key.ts';
import type { Signer } from '../../../signing/signer.ts';
import type { CommandArguments, CommandContext } from '../../command.ts';
import { lastText, textOption } from './options.ts';

export const keyPassOption: Record<string, Options> = {
  'key-pass': textOption('Pass phrase or PIN of the key: env:NAME, file:PATH, stdin or prompt'),
};

/** What a run of a verb has opened. */
const opened = new WeakMap<CommandContext, OpenedKey[]>();

/**
 * Opens a key for the rest of the verb.
 *
 * @param reference A file, or `p12:`, `jks:`, `pkcs11:` or `helper:`.
 * @throws {UsageError} `key` when it does not open.
 */
export async function openForVerb(
  reference: string,
  args: CommandArguments,
  context: CommandContext,
): Promise<Signer> {
  const { env, signal } = context;
  const passphrase = lastText(args, 'key-pass');
  const key = await openKey(reference, { passphrase, env, signal, loadCryptoki });
  opened.set(context, [...(opened.get(context) ?? []), key]);
  return key.signer;
}

export async function closeKeys(context: CommandContext): Promise<void> {
  const keys = opened.get(context) ?? [];
  opened.delete(context);
  await Promise.all(keys.map((key) => key.close()));
}
