import type { CommandDefinition, CommandGroup } from '../command.ts';

const loaders: Readonly<Record<string, () => Promise<CommandDefinition>>> = {
  create: async () => (await import('./erofs-create.ts')).erofsCreateCommand,
  check: async () => (await import('./erofs-check.ts')).erofsCheckCommand,
};

/** The group with the command of that name only, as the others' code is not needed then; else with all. */
export async function loadErofsGroup(name = ''): Promise<CommandGroup> {
  const load = Object.hasOwn(loaders, name) ? loaders[name] : undefined;
  const wanted = load === undefined ? Object.values(loaders) : [load];
  return {
    name: 'erofs',
    summary: 'Make and check EROFS images',
    commands: await Promise.all(wanted.map((each) => each())),
  };
}
