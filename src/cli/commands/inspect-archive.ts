/** `inspect ARCHIVE ls|cat|stat|extract`: the files in an archive. */

import type { Entry, EntryData, EntryList } from '../../bundle/entries/entry.ts';
import { below, cleanPath, extractEntries } from '../../bundle/entries/extract.ts';
import { UsageError } from '../../core/errors.ts';
import type { CommandArguments, CommandContext, CommandResult } from '../command.ts';
import { formatSize, printable, writeBytes } from '../terminal.ts';
import { expectOperands, type Verb } from './inspect-erofs.ts';

/** Runs a verb on an archive's entries. */
export async function inspectArchive(
  verb: Verb,
  list: EntryList,
  args: CommandArguments,
  context: CommandContext,
): Promise<CommandResult> {
  return runners[verb](list, args.list('operands'), args, context);
}

type Runner = (
  list: EntryList,
  operands: readonly string[],
  args: CommandArguments,
  context: CommandContext,
) => Promise<CommandResult>;

async function find(list: EntryList, path: string): Promise<EntryData> {
  const wanted = cleanPath(path);
  for await (const each of list.entries()) if (each.entry.name === wanted) return each;
  throw new UsageError('input', `Cannot find ${path}: the archive has no such entry`);
}

const json = ({ stored: _stored, ...entry }: Entry): unknown => entry;

const runners: Readonly<Record<Verb, Runner>> = {
  async ls(list, operands, args) {
    const [path = '/'] = expectOperands('ls [PATH]', operands, 0, 1);
    const from = cleanPath(path);
    const entries: Entry[] = [];
    for await (const { entry } of list.entries()) {
      if (below(entry.name, from) !== undefined && entry.name !== '') entries.push(entry);
    }
    if (entries.length === 0 && from !== '') {
      throw new UsageError('input', `Cannot find ${path}: the archive has no such entry`);
    }
    const text = (args.flag('long') ? entries.map(longLine) : entries.map(shortLine)).join('\n');
    return { text, json: entries.map(json) };
  },

  async stat(list, operands) {
    const [path = ''] = expectOperands('stat PATH', operands, 1, 1);
    const { entry } = await find(list, path);
    const { name, kind, size, mode, uid, gid, mtime, target, checksum, storage } = entry;
    const lines: [string, string | number | undefined][] = [
      ['path', name],
      ['kind', kind],
      ['target', target],
      ['size', size],
      ['mode', mode === undefined ? undefined : `0${mode.toString(8).padStart(3, '0')}`],
      ['owner', uid === undefined ? undefined : `${uid}:${gid}`],
      ['modified', mtime === undefined ? undefined : timeText(mtime)],
      ['checksum', checksum],
      ...Object.entries(storage).filter(([, value]) => value !== ''),
    ];
    const shown = lines.filter(([, value]) => value !== undefined);
    const width = Math.max(...shown.map(([label]) => label.length));
    return {
      text: shown
        .map(([label, value]) => `${printable(label).padEnd(width)}  ${printable(String(value))}`)
        .join('\n'),
      json: json(entry),
    };
  },

  async cat(list, operands, _args, context) {
    const [path = ''] = expectOperands('cat PATH', operands, 1, 1);
    if (context.json) {
      throw new UsageError('usage', 'Cannot print a file as JSON', { hint: 'Leave out --json' });
    }
    const wanted = cleanPath(path);
    for await (const { entry, data } of list.entries()) {
      if (entry.name !== wanted) continue;
      if (entry.kind !== 'file') {
        throw new UsageError('input', `Cannot print ${path}: it is a ${entry.kind}`);
      }
      for await (const chunk of data) {
        context.signal.throwIfAborted();
        await writeBytes(chunk);
      }
      return { text: '', json: {} };
    }
    throw new UsageError('input', `Cannot find ${path}: the archive has no such entry`);
  },

  async extract(list, operands, args, { signal }) {
    const [first = '', second] = expectOperands('extract [PATH] DIR', operands, 1, 2);
    const [from, folder] = second === undefined ? ['/', first] : [first, second];
    const limit = args.optionalNumber('max-size');
    const report = await extractEntries(list, folder, {
      from,
      signal,
      ...(limit !== undefined && { maxBytes: limit * 2 ** 20 }),
    });
    const { files, directories, symlinks, links, written, skipped, moreSkipped } = report;
    const lines = [
      `${folder}: ${files} files, ${directories} folders, ${symlinks} symbolic links, ${links} hard links, ${formatSize(written)}`,
      ...skipped.map(({ path, what }) => `not restored: ${printable(`${path}: ${what}`)}`),
      ...(moreSkipped > 0 ? [`not restored: ${moreSkipped} more`] : []),
    ];
    return { text: lines.join('\n'), json: { folder, ...report } };
  },
};

function timeText(seconds: number): string {
  const isDate = Math.abs(seconds) < 8.64e12;
  return isDate ? new Date(seconds * 1000).toISOString().replace('.000Z', 'Z') : String(seconds);
}

const shortLine = ({ name, kind }: Entry): string =>
  `${printable(name)}${kind === 'directory' ? '/' : ''}`;

function longLine(entry: Entry): string {
  const { kind, mode, uid = 0, gid = 0, size, mtime, target } = entry;
  const octal = mode === undefined ? '    -' : `0${mode.toString(8).padStart(4, '0')}`;
  const time = mtime === undefined ? '-'.padEnd(20) : timeText(mtime);
  const link = target === undefined ? '' : ` -> ${printable(target)}`;
  return `${kind.padEnd(9)} ${octal} ${`${uid}:${gid}`.padStart(9)} ${String(size).padStart(10)} ${time} ${shortLine(entry)}${link}`;
}
