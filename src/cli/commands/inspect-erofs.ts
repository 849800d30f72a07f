/** `inspect IMAGE ls|cat|stat|extract`: the files inside an EROFS image. */

import { UsageError } from '../../core/errors.ts';
import { extractErofs } from '../../formats/erofs/extract.ts';
import { findErofsPath } from '../../formats/erofs/find-path.ts';
import { listErofs, statErofs, type ErofsListing } from '../../formats/erofs/list.ts';
import { openErofs } from '../../formats/erofs/reader.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import type { CommandArguments, CommandContext, CommandResult } from '../command.ts';
import { formatSize, printable, writeBytes } from '../terminal.ts';

/** What can be done with the files of an image. */
export const erofsVerbs = ['ls', 'stat', 'cat', 'extract'] as const;
export type Verb = (typeof erofsVerbs)[number];

/** Runs a verb on an image. */
export async function inspectErofs(
  verb: Verb,
  image: ByteSource,
  args: CommandArguments,
  context: CommandContext,
): Promise<CommandResult> {
  return runners[verb](image, args.list('operands'), args, context);
}

type Runner = (
  image: ByteSource,
  operands: readonly string[],
  args: CommandArguments,
  context: CommandContext,
) => Promise<CommandResult>;

const runners: Readonly<Record<Verb, Runner>> = {
  async ls(image, operands, args) {
    const [path = '/'] = expectOperands('ls [PATH]', operands, 0, 1);
    const reader = await openErofs(image);
    const entries: ErofsListing[] = [];
    for await (const entry of listErofs(reader, path, args.flag('recursive'))) entries.push(entry);
    return {
      text: args.flag('long') ? longText(entries) : entries.map(shortText).join('\n'),
      json: entries,
    };
  },

  async stat(image, operands) {
    const [path = '/'] = expectOperands('stat PATH', operands, 1, 1);
    const reader = await openErofs(image);
    const inode = await findErofsPath(reader, path);
    const listing = await statErofs(reader, path, inode);
    const xattrs = Object.fromEntries(
      [...(await reader.readXattrs(inode))].map(([name, value]) => [
        name,
        Buffer.from(value).toString('hex'),
      ]),
    );
    const lines: [string, string | number | undefined][] = [
      ['path', listing.path],
      ['kind', listing.kind],
      ['target', listing.target],
      ['device', listing.device],
      ['size', listing.size],
      ['mode', `0${listing.mode.toString(8).padStart(3, '0')} ${listing.modeText}`],
      ['owner', `${listing.uid}:${listing.gid}`],
      ['links', listing.links],
      ['modified', listing.modified],
      ['nid', listing.nid],
      ['inode', inode.extended ? 'extended' : 'compact'],
      ['data', listing.dataLayout],
      ...Object.entries(xattrs),
    ];
    return {
      text: lines
        .filter(([, value]) => value !== undefined)
        .map(([name, value]) => `${printable(name).padEnd(8)}  ${printable(String(value))}`)
        .join('\n'),
      json: { ...listing, extended: inode.extended, xattrs },
    };
  },

  async cat(image, operands, _args, { signal, json }) {
    const [path = '/'] = expectOperands('cat PATH', operands, 1, 1);
    if (json) {
      throw new UsageError('usage', 'Cannot print a file as JSON', { hint: 'Leave out --json' });
    }
    const reader = await openErofs(image);
    const inode = await findErofsPath(reader, path);
    if (inode.kind !== 'file') {
      throw new UsageError('input', `Cannot print ${path}: it is a ${inode.kind}`);
    }
    for await (const chunk of reader.readData(inode)) {
      signal.throwIfAborted();
      await writeBytes(chunk);
    }
    return { text: '', json: {} };
  },

  async extract(image, operands, args, { signal }) {
    const [first = '', second] = expectOperands('extract [PATH] DIR', operands, 1, 2);
    const [from, folder] = second === undefined ? ['/', first] : [first, second];
    const report = await extractErofs(image, folder, {
      from,
      owners: args.flag('owners'),
      signal,
      ...maxBytes(args.optionalNumber('max-size')),
    });
    const { files, directories, symlinks, links, written, skipped, moreSkipped } = report;
    const lines = [
      `${folder}: ${files} files, ${directories} folders, ${symlinks} symbolic links, ${links} hard links, ${formatSize(written)}`,
    ];
    for (const { path, what } of skipped)
      lines.push(`not restored: ${printable(`${path}: ${what}`)}`);
    if (moreSkipped > 0) lines.push(`not restored: ${moreSkipped} more`);
    return { text: lines.join('\n'), json: { folder, ...report } };
  },
};

const maxBytes = (mebibytes: number | undefined): { maxBytes?: number } =>
  mebibytes === undefined ? {} : { maxBytes: mebibytes * 2 ** 20 };

export function expectOperands(
  usage: string,
  operands: readonly string[],
  least: number,
  most: number,
): readonly string[] {
  if (operands.length >= least && operands.length <= most) return operands;
  throw new UsageError('usage', `Cannot use ${operands.length} arguments`, {
    hint: `microbuild inspect IMAGE ${usage}`,
  });
}

const targetText = ({ target }: ErofsListing): string =>
  target === undefined ? '' : ` -> ${printable(target)}`;
const shortText = ({ path }: ErofsListing): string => printable(path);

/** Columns as wide as what stands in them. */
function longText(entries: readonly ErofsListing[]): string {
  const rows = entries.map((entry) => [
    entry.modeText,
    String(entry.links),
    String(entry.uid),
    String(entry.gid),
    entry.device ?? String(entry.size),
    entry.modified.replace('.000000000', ''),
  ]);
  const widths = [0, 1, 2, 3, 4, 5].map((column) =>
    rows.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), 0),
  );
  return rows
    .map((row, index) => {
      const cells = row.map((cell, column) => cell.padStart(widths[column] ?? 0));
      const entry = entries[index];
      return entry === undefined ? '' : [...cells, shortText(entry) + targetText(entry)].join(' ');
    })
    .join('\n');
}
