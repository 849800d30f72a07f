/** `microbuild sign`: one command for each kind of thing that carries a signature. */

import type { CommandDefinition, CommandGroup } from '../../command.ts';
import { impliedSigning } from './implied.ts';

/** In the order of the help. */
const loaders: Readonly<Record<string, () => Promise<CommandDefinition>>> = {
  apk: async () => (await import('./apk.ts')).signApkCommand,
  image: async () => (await import('./image.ts')).signImageCommand,
  bundle: async () => (await import('./bundle.ts')).signBundleCommand,
  dsse: async () => (await import('./dsse.ts')).signDsseCommand,
  'root-hash': async () => (await import('./root-hash.ts')).signRootHashCommand,
  fsverity: async () => (await import('./fsverity.ts')).signFsverityCommand,
  extract: async () => (await import('./detached.ts')).extractSignatureCommand,
  replace: async () => (await import('./detached.ts')).replaceSignatureCommand,
  compare: async () => (await import('./detached.ts')).compareSignaturesCommand,
  audit: async () => (await import('./audit.ts')).auditCommand,
};

/** The group with the command of that name only, as the others' code is not needed then; else with all. */
export async function loadSignGroup(name = ''): Promise<CommandGroup> {
  const load = Object.hasOwn(loaders, name) ? loaders[name] : undefined;
  const wanted = load === undefined ? Object.values(loaders) : [load];
  return {
    name: 'sign',
    summary: 'Sign, or sign anew, what exists: APKs, images, bundles, files',
    commands: await Promise.all(wanted.map((each) => each())),
    implied: impliedSigning(Object.keys(loaders), loadSignGroup),
  };
}
