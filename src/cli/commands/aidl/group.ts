import type { CommandDefinition, CommandGroup } from '../../command.ts';

const loaders: Readonly<Record<string, () => Promise<CommandDefinition>>> = {
  check: async () => (await import('./check.ts')).aidlCheckCommand,
  ts: async () => (await import('./ts.ts')).aidlTsCommand,
  rust: async () => (await import('./rust.ts')).aidlRustCommand,
};

/** The group with the command of that name only, as the others' code is not needed then; else with all. */
export async function loadAidlGroup(name = ''): Promise<CommandGroup> {
  const load = Object.hasOwn(loaders, name) ? loaders[name] : undefined;
  const wanted = load === undefined ? Object.values(loaders) : [load];
  return {
    name: 'aidl',
    summary: 'Check AIDL interfaces and generate code from them',
    commands: await Promise.all(wanted.map((each) => each())),
  };
}
