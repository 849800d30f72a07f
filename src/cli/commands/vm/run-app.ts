/**
 * `microbuild vm run-app`: as Android's, an APK and perhaps its idsig. The guest that runs it is a bundle's; Android
 * has one with the system.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BUNDLE_FILES } from '../../../bundle/layout.ts';
import { UsageError } from '../../../core/errors.ts';
import type { CommandArguments, CommandDefinition } from '../../command.ts';
import { runCommand } from '../run.ts';

const { apk: _apk, idsig: _idsig, payload: _payload, ...options } = runCommand.options;

export const runAppCommand: CommandDefinition = {
  name: 'run-app',
  summary: 'Run an APK in a guest, as Android’s vm run-app does',
  positionals: {
    apk: { type: 'string', describe: 'The payload’s APK' },
    idsig: {
      type: 'string',
      required: false,
      describe: 'Its idsig; made when left out',
    },
  },
  options: {
    ...options,
    os: {
      type: 'string',
      requiresArg: true,
      describe: 'Bundle whose guest runs it; default: the only one in out/',
    },
    mem: { type: 'number', describe: 'As --memory, in MiB' },
  },
  examples: [
    ['vm run-app app.apk --os out/hello', 'what app.apk says is to be run'],
    [
      'vm run-app app.apk app.apk.idsig --os out/hello --payload-binary-name libapp.so',
      'with its idsig, and a library by name',
    ],
  ],
  verifying: true,
  async run(args, context) {
    const bundle = args.optionalText('os') ?? (await onlyBundle());
    return runCommand.run(withText(args, 'bundle', bundle), context);
  },
};

/** The same arguments with one more; `--mem` is what `run` calls memory. */
const withText = (args: CommandArguments, added: string, value: string): CommandArguments => ({
  ...args,
  text: (name) => (name === added ? value : args.text(name)),
  optionalNumber: (name) =>
    args.optionalNumber(name) ?? (name === 'memory' ? args.optionalNumber('mem') : undefined),
});

async function onlyBundle(): Promise<string> {
  const entries = await readdir('out', { withFileTypes: true }).catch(() => []);
  const found: string[] = [];
  for (const entry of entries) {
    const path = join('out', entry.name);
    const isBundle =
      entry.isDirectory() &&
      (await readdir(path).catch((): string[] => [])).includes(BUNDLE_FILES.manifest);
    if (isBundle || entry.name.endsWith('.mbundle')) found.push(path);
  }
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  throw new UsageError(
    'usage',
    found.length === 0
      ? 'There is no bundle in out/ to run it'
      : 'There are several bundles in out/',
    {
      hint:
        found.length === 0
          ? 'Name one with --os, or build one: microbuild image recipes/hello'
          : `Name one with --os: ${found.sort().join(', ')}`,
    },
  );
}
