/** What a tree says of an image, as text and as JSON: corrupt blocks with their files. */

import { toHex } from '../../core/digest.ts';
import type { ErofsOwners } from '../../verity/erofs-owners.ts';
import type { CorruptBlock, HashTreeReport } from '../../verity/verify-hash-tree.ts';
import { printable, type Terminal } from '../terminal.ts';
import type { VerityImage } from './verity-image.ts';

/** More lines than that nobody reads; `--json` has all that are listed. */
const MAX_LINES = 50;

/** The files that corrupt data belongs to, when the image is an EROFS. */
export async function ownersOf(
  image: VerityImage,
  report: HashTreeReport,
  signal: AbortSignal,
): Promise<ErofsOwners | undefined> {
  const blocks = report.corrupt.flatMap(({ level, index }) => (level === 'data' ? [index] : []));
  if (blocks.length === 0) return undefined;
  // Only now: what is intact needs no file system.
  const { findErofsOwners } = await import('../../verity/erofs-owners.ts');
  return findErofsOwners(image.data, blocks, image.parameters.dataBlockSize, signal);
}

/** Where a block is in its file, in bytes. */
function offsetOf(
  { level, index }: Pick<CorruptBlock, 'level' | 'index'>,
  image: VerityImage,
): number {
  const { dataBlockSize, hashBlockSize } = image.parameters;
  if (level === 'data') return index * dataBlockSize;
  return image.treeOffset + (image.layout.levels[level]?.offset ?? 0) + index * hashBlockSize;
}

const nameOf = ({ level, index }: Pick<CorruptBlock, 'level' | 'index'>): string =>
  level === 'data' ? `data block ${index}` : `hash block ${index} of level ${level}`;

export function reportText(
  image: VerityImage,
  report: HashTreeReport,
  owners: ErofsOwners | undefined,
  terminal: Terminal,
): string {
  const { dataBlocks, corruptBlocks, unprovedBlocks, strayBytes } = report;
  const bad = (text: string): string => terminal.style(['red', 'bold'], text);
  const isOk = report.intact && strayBytes.length === 0;
  const lines = [
    isOk
      ? `${terminal.style('green', 'ok')}      ${dataBlocks} data blocks are what the root digest stands for`
      : `${bad('BROKEN')}  ${corruptBlocks} corrupt blocks, ${unprovedBlocks} of ${dataBlocks} data blocks below corrupt hash blocks`,
  ];
  for (const block of report.corrupt.slice(0, MAX_LINES)) {
    const path = block.level === 'data' ? image.dataPath : image.hashPath;
    const names = block.level === 'data' ? owners?.paths.get(block.index) : undefined;
    const files = names === undefined ? '' : `: ${names.map(printable).join(', ')}`;
    lines.push(`  ${nameOf(block)}, at ${offsetOf(block, image)} of ${path}${files}`);
  }
  if (corruptBlocks > MAX_LINES) lines.push(`  ... ${corruptBlocks - MAX_LINES} more`);
  for (const { firstDataBlock, dataBlocks: count } of report.unproved.slice(0, MAX_LINES)) {
    lines.push(`  not proved: ${count} data blocks from ${firstDataBlock} on`);
  }
  for (const stray of strayBytes.slice(0, MAX_LINES)) {
    lines.push(`  ${nameOf(stray)} holds bytes where no digest is`);
  }
  const unreadable = owners?.unreadable ?? [];
  if (unreadable.length > 0) {
    lines.push(
      `  some may belong to ${unreadable.map(printable).join(', ')}, which cannot be read`,
    );
  }
  return lines.join('\n');
}

export function reportJson(
  image: VerityImage,
  report: HashTreeReport,
  owners: ErofsOwners | undefined,
): Record<string, unknown> {
  return {
    intact: report.intact && report.strayBytes.length === 0,
    dataBlocks: report.dataBlocks,
    corruptBlocks: report.corruptBlocks,
    unprovedBlocks: report.unprovedBlocks,
    corrupt: report.corrupt.map((block) => ({
      level: block.level,
      index: block.index,
      offset: offsetOf(block, image),
      expected: toHex(block.expected),
      actual: toHex(block.actual),
      ...(block.level === 'data' && owners !== undefined
        ? { files: owners.paths.get(block.index) ?? [] }
        : {}),
    })),
    unproved: report.unproved,
    strayBytes: report.strayBytes,
    ...(owners === undefined ? {} : { unreadable: owners.unreadable }),
  };
}
