/** The entries of a directory's data. */

import type { Inode } from '../../io/file-tree.ts';
import { Dirent, EROFS_NAME_LEN, kindCodes } from './layout.ts';
import { bad, throwProblem, type OnProblem } from './superblock.ts';

export interface ErofsDirent {
  readonly name: string;
  readonly nid: bigint;
  readonly kind: Inode['kind'];
}

const kindOfFileType = new Map(
  Object.entries(kindCodes).map(([kind, { fileType }]) => [fileType, kind as Inode['kind']]),
);

/** Decodes the blocks of one directory, which come in order; the entries' order is checked across them. */
export interface DirectoryDecoder {
  /**
   * @param block One block, or what of the last one is used.
   * @throws {FormatError} when anything of it is not as the kernel's lookup relies on: offsets, names,
   *   their order, types.
   */
  decodeBlock(block: Uint8Array): ErofsDirent[];
}

/**
 * @param directory Its number and its place in the image, for errors.
 * @param onProblem Is given what is wrong, instead of throwing it; entries that can still be used are.
 */
export function createDirectoryDecoder(
  { nid, offset }: { readonly nid: number; readonly offset: number },
  onProblem: OnProblem = throwProblem,
): DirectoryDecoder {
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let previous: Uint8Array | undefined;
  const report = (
    field: 'nameoff' | 'name' | 'file_type',
    problem: string,
    code: 'bad-value' | 'duplicate' = 'bad-value',
    cause?: unknown,
  ): void => onProblem(bad(code, `directory ${nid}: ${problem}`, { offset, field, cause }));

  /** The name as text, or undefined when it cannot be used as one. */
  const textOf = (name: Uint8Array): string | undefined => {
    if (name.length > EROFS_NAME_LEN) {
      report('name', `a name of ${name.length} bytes`);
      return undefined;
    }
    if (name.includes(0) || name.includes(0x2f)) {
      report('name', 'a name holds NUL or a slash');
      return undefined;
    }
    const order = previous === undefined ? -1 : Buffer.compare(previous, name);
    previous = name.slice();
    if (order === 0) {
      report('name', 'two entries of one name', 'duplicate');
      return undefined;
    }
    if (order > 0) report('name', 'its entries are not in order');
    try {
      return utf8.decode(name);
    } catch (error) {
      report('name', 'a name is not UTF-8', 'bad-value', error);
      return undefined;
    }
  };

  return {
    decodeBlock(block) {
      const first = block.length < Dirent.size ? 0 : Dirent.decode(block).nameoff;
      if (first === 0 || first % Dirent.size !== 0 || first > block.length) {
        report('nameoff', `the first name is at ${first} of ${block.length}`);
        return [];
      }
      const records = Array.from({ length: first / Dirent.size }, (_, index) =>
        Dirent.decode(block, index * Dirent.size),
      );
      const entries: ErofsDirent[] = [];
      for (const [index, { nid: target, nameoff, file_type }] of records.entries()) {
        const next = records[index + 1];
        const end = next === undefined ? endOfNames(block, nameoff) : next.nameoff;
        if (nameoff < first || end === undefined || end <= nameoff || end > block.length) {
          report('nameoff', `name ${index} is at ${nameoff} of ${block.length}`);
          continue;
        }
        const kind = kindOfFileType.get(file_type);
        if (kind === undefined) report('file_type', `file type ${file_type}`);
        const name = textOf(block.subarray(nameoff, end));
        if (name !== undefined && kind !== undefined) entries.push({ name, nid: target, kind });
      }
      return entries;
    },
  };
}

/** The last name ends with the block or with zeros; anything else behind a NUL would be hidden. */
function endOfNames(block: Uint8Array, nameoff: number): number | undefined {
  if (nameoff > block.length) return undefined;
  const nul = block.indexOf(0, nameoff);
  if (nul === -1) return block.length;
  return block.subarray(nul).every((byte) => byte === 0) ? nul : undefined;
}
