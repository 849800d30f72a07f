/** Which commands there are, in the order of the help. */

import type { Command } from './command.ts';

/** The code of a command is loaded when it is called: that of all takes longer than most of them run. */
const loaders: Readonly<Record<string, (verb?: string) => Promise<Command>>> = {
  init: async () => (await import('./commands/init.ts')).initCommand,
  image: async () => (await import('./commands/image.ts')).imageCommand,
  run: async () => (await import('./commands/run.ts')).runCommand,
  call: async () => (await import('./commands/call.ts')).callCommand,
  aidl: async (verb) => (await import('./commands/aidl/group.ts')).loadAidlGroup(verb),
  ps: async () => (await import('./commands/ps.ts')).psCommand,
  logs: async () => (await import('./commands/logs.ts')).logsCommand,
  console: async () => (await import('./commands/console.ts')).consoleCommand,
  stop: async () => (await import('./commands/stop.ts')).stopCommand,
  instance: async () => (await import('./commands/instance/group.ts')).instanceCommands,
  measure: async () => (await import('./commands/measure.ts')).measureCommand,
  attest: async () => (await import('./commands/attest.ts')).attestCommand,
  verify: async () => (await import('./commands/verify.ts')).verifyCommand,
  inspect: async () => (await import('./commands/inspect.ts')).inspectCommand,
  check: async () => (await import('./commands/check.ts')).checkCommand,
  diff: async () => (await import('./commands/diff.ts')).diffCommand,
  sign: async (verb) => (await import('./commands/sign/group.ts')).loadSignGroup(verb),
  keys: async () => (await import('./commands/keys/group.ts')).keysCommands,
  avb: async () => (await import('./commands/avb/group.ts')).avbCommands,
  verity: async () => (await import('./commands/verity.ts')).verityCommands,
  fsverity: async () => (await import('./commands/fsverity.ts')).fsverityCommands,
  lint: async () => (await import('./commands/lint.ts')).lintCommand,
  lock: async () => (await import('./commands/lock.ts')).lockCommand,
  vendor: async () => (await import('./commands/vendor.ts')).vendorCommand,
  cache: async () => (await import('./commands/cache/group.ts')).cacheCommands,
  erofs: async (verb) => (await import('./commands/erofs.ts')).loadErofsGroup(verb),
  vm: async () => (await import('./commands/vm/group.ts')).vmCommands,
  doctor: async () => (await import('./commands/doctor.ts')).doctorCommand,
  schema: async () => (await import('./commands/schema.ts')).schemaCommand,
  completion: async () => (await import('./commands/completion.ts')).completionCommand,
  explain: async () => (await import('./commands/explain.ts')).explainCommand,
};

/**
 * The commands that a command line can mean: one where it names one, else all.
 *
 * @param argv Words behind `microbuild`; without any, all commands.
 */
export async function loadCommands(argv: readonly string[] = []): Promise<Command[]> {
  // The options in front of a command take no values.
  const [name = '', verb] = argv.filter((word) => !word.startsWith('-'));
  const load = Object.hasOwn(loaders, name) ? loaders[name] : undefined;
  return load === undefined
    ? Promise.all(Object.values(loaders).map((each) => each()))
    : [await load(verb)];
}
