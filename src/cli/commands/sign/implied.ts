/**
 * `microbuild sign TARGET`, whose kind its bytes tell, and `microbuild sign --attach DIR`, whose command
 * line is in the folder.
 */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../../core/errors.ts';
import { openFileSource } from '../../../io/byte-source.ts';
import { readRequest } from '../../../signing/two-phase/folder.ts';
import {
  globalOptions,
  type CommandDefinition,
  type CommandGroup,
  type ImpliedCommands,
} from '../../command.ts';

/** What is left to be said when a prepared job is finished. */
const OF_ATTACHING: ReadonlySet<string> = new Set(['attach', 'audit-log']);

/**
 * @param names Of the commands of the group.
 * @param load The group `sign` itself, with all its commands and their options.
 */
export function impliedSigning(
  names: readonly string[],
  load: () => Promise<CommandGroup>,
): ImpliedCommands {
  return {
    examples: [
      ['sign app.apk --key release.pem', 'the kind of what is signed is told by its bytes'],
      ['sign app.apk --key release.pub --prepare DIR', 'what is to be signed elsewhere'],
      ['sign --attach DIR', 'finish it, whatever it is, with the signatures that came back'],
    ],
    async complete(words) {
      if (names.includes(words[0] ?? '')) return undefined;
      const group = await load();
      const { commands } = group;
      const line = readLine(words, commands);
      const [target] = line.places;
      if (target === undefined) {
        const folder = line.values.get('attach');
        return folder === undefined ? undefined : await repeat(folder, line, group);
      }
      if (commands.some(({ name }) => name === target)) return undefined;
      const kind = await kindOf(target, commands);
      return { argv: ['sign', kind, ...words], commands: [group] };
    },
  };
}

interface Line {
  /** Words that are no options and not their values. */
  readonly places: readonly string[];
  /** Values by the names of options. */
  readonly values: ReadonlyMap<string, string>;
  /** Flags, and options that are not known. */
  readonly flags: readonly string[];
}

/** Tells the values of options from other words. All commands of the group agree on what takes a value. */
function readLine(words: readonly string[], commands: readonly CommandDefinition[]): Line {
  const options = Object.assign(
    {},
    globalOptions,
    ...commands.map((each) => each.options),
  ) as typeof globalOptions;
  const places: string[] = [];
  const values = new Map<string, string>();
  const flags: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (!word.startsWith('-')) {
      places.push(word);
      continue;
    }
    const [, name = '', value] = /^--([^=]+)(?:=(.*))?$/s.exec(word) ?? [];
    const letter = /^-([A-Za-z])$/.exec(word)?.[1];
    const [known, option] =
      Object.entries(options).find(
        ([each, { alias }]) => each === name || (letter !== undefined && alias === letter),
      ) ?? [];
    if (known === undefined || option?.type === 'boolean') {
      flags.push(word);
    } else {
      values.set(known, value ?? words[at + 1] ?? '');
      if (value === undefined) at += 1;
    }
  }
  return { places, values, flags };
}

/** The prepared command line again, to attach. */
async function repeat(
  folder: string,
  line: Line,
  group: CommandGroup,
): Promise<{ argv: string[]; commands: CommandGroup[] }> {
  const { job } = await readRequest(folder);
  const other = [...line.values.keys()].find((name) => !OF_ATTACHING.has(name));
  if (other !== undefined) {
    throw new UsageError('usage', `Cannot attach with --${other}: the job was prepared without`, {
      hint: `The folder holds its whole command line: microbuild sign --attach ${folder}`,
    });
  }
  const log = line.values.get('audit-log');
  const said = ['--attach', folder, ...(log === undefined ? [] : ['--audit-log', log])];
  const { keysCommands } = await import('../keys/group.ts');
  return {
    argv: [...job.command, ...line.flags, ...said, ...job.arguments],
    commands: [group, keysCommands],
  };
}

/** How many bytes at both ends tell what a file is. */
const PROBE_SIZE = 512;

interface Kind {
  /** The command of the group. */
  readonly name: string;
  readonly title: string;
  readonly matches: (head: Buffer, tail: Buffer) => boolean;
}

const text = (bytes: Buffer, at: number, length: number): string =>
  bytes.toString('latin1', at, at + length);

/** In the order in which files are tried. */
const KINDS: readonly Kind[] = [
  {
    name: 'image',
    title: 'a vbmeta image, or an image with an AVB footer',
    // An image that holds a ZIP may have a footer behind it, so that ends come first.
    matches: (head, tail) =>
      text(head, 0, 4) === 'AVB0' ||
      // Sparse: what it stands for has the footer.
      text(head, 0, 4) === '\x3a\xff\x26\xed' ||
      (tail.length >= 64 && text(tail, tail.length - 64, 4) === 'AVBf'),
  },
  {
    name: 'apk',
    title: 'an APK',
    matches: (head) => text(head, 0, 4) === 'PK\x03\x04',
  },
  {
    name: 'bundle',
    title: 'a bundle (a folder, or an .mbundle)',
    matches: (head) => text(head, 257, 5) === 'ustar',
  },
];

async function kindOf(path: string, commands: readonly CommandDefinition[]): Promise<string> {
  // What signs can attach; the others work on signatures.
  const names = commands.filter(({ options }) => 'attach' in options).map(({ name }) => name);
  const refuse = (reason: string): never => {
    throw new UsageError('input', `Cannot sign ${path}: ${reason}`, {
      hint: `Told by their bytes are ${KINDS.map(({ title }) => title).join('; ')}. Or name what it is: microbuild sign ${names.join('|')} ...`,
    });
  };
  const found = await stat(path).catch((error: NodeJS.ErrnoException) =>
    refuse(
      error.code === 'ENOENT'
        ? 'it is neither a file nor a kind of what can be signed'
        : (error.code ?? error.message),
    ),
  );
  if (found.isDirectory()) {
    const manifest = await stat(join(path, 'manifest.json')).catch(() => undefined);
    if (manifest === undefined) refuse('it is a folder without a manifest.json, and so no bundle');
    return 'bundle';
  }
  const source = await openFileSource(path);
  try {
    const length = Math.min(PROBE_SIZE, source.size);
    const head = Buffer.from(await source.read(0, length));
    const tail = Buffer.from(await source.read(source.size - length, length));
    const kind = KINDS.find(({ matches }) => matches(head, tail));
    return kind?.name ?? refuse('its format is not known');
  } finally {
    await source.close();
  }
}
