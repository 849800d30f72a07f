/** `microbuild verify`: tells what it is pointed at by its bytes, and has that kind verified. */

import type { Options } from 'yargs';
import type { CommandDefinition } from '../command.ts';
import { detectKind, refuseForeignOptions, type VerifyKind } from './verify/target.ts';

/** In the order in which files are tried. */
const kinds = {
  bundle: {
    title: 'a bundle',
    options: ['trust', 'minimum-rollback-index'],
    load: async () => (await import('./verify/bundle.ts')).verifyBundleTarget,
  },
} as const satisfies Readonly<Record<string, VerifyKind>>;

const kindNames = Object.keys(kinds) as (keyof typeof kinds)[];

const options = {
  as: {
    type: 'string',
    choices: kindNames,
    describe: 'Take the target as this kind, whatever its bytes say',
  },
  trust: {
    type: 'string',
    array: true,
    nargs: 1,
    describe:
      'Bundles: AVB public key to trust (AVB encoding, PEM, DER or certificate); default: this workspace’s development key',
  },
  'minimum-rollback-index': {
    type: 'number',
    requiresArg: true,
    describe: 'Bundles: refuse a kernel with a lower rollback index',
  },
} as const satisfies Record<string, Options>;

export const verifyCommand: CommandDefinition = {
  name: 'verify',
  summary: 'Check every signature and digest of something that is signed, and whose it is',
  positionals: {
    target: { type: 'string', describe: 'Bundle folder or file; what it is, its bytes tell' },
  },
  options,
  examples: [
    ['verify out/hello', 'against this workspace’s development key'],
    ['verify out/hello --trust release.avbpubkey', 'against a release key'],
    ['verify out/hello --json', 'for a pipeline; exit code 3 when a link is broken'],
  ],
  verifying: true,
  async run(args, context) {
    const path = args.text('target');
    const named = args.optionalText('as') as keyof typeof kinds | undefined;
    const name = named ?? (await detectKind(path, kinds, 'bundle'));
    refuseForeignOptions(args, kinds[name], options);
    const verify = await kinds[name].load();
    return verify(path, args, context);
  },
};
