/** The entries of a directory's data. */

import type { Inode } from '../../io/file-tree.ts';
import { Dirent, EROFS_NAME_LEN, kindCodes } from './layout.ts';
import { bad } from './superblock.ts';

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

/** @param nid Of the directory, for errors. */
export function createDirectoryDecoder(nid: number): DirectoryDecoder {
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let previous: Uint8Array | undefined;
  const refuse = (problem: string, cause?: unknown): Error =>
    bad('bad-value', `directory ${nid}: ${problem}`, { cause });

  const textOf = (name: Uint8Array): string => {
    if (name.length === 0 || name.length > EROFS_NAME_LEN) {
      throw refuse(`a name of ${name.length} bytes`);
    }
    if (name.includes(0) || name.includes(0x2f)) throw refuse('a name holds NUL or a slash');
    const order = previous === undefined ? -1 : Buffer.compare(previous, name);
    if (order === 0) throw bad('duplicate', `directory ${nid}: two entries of one name`);
    if (order > 0) throw refuse('its entries are not in order');
    previous = name.slice();
    try {
      return utf8.decode(name);
    } catch (error) {
      throw refuse('a name is not UTF-8', error);
    }
  };

  return {
    decodeBlock(block) {
      const first = block.length < Dirent.size ? 0 : Dirent.decode(block).nameoff;
      if (first === 0 || first % Dirent.size !== 0 || first > block.length) {
        throw refuse(`the first name is at ${first} of ${block.length}`);
      }
      const records = Array.from({ length: first / Dirent.size }, (_, index) =>
        Dirent.decode(block, index * Dirent.size),
      );
      return records.map(({ nid: target, nameoff, file_type }, index) => {
        const next = records[index + 1];
        const end = next === undefined ? endOfNames(block, nameoff) : next.nameoff;
        if (end === undefined || end <= nameoff || end > block.length) {
          throw refuse(`name ${index} is at ${nameoff} of ${block.length}`);
        }
        const kind = kindOfFileType.get(file_type);
        if (kind === undefined) throw refuse(`file type ${file_type}`);
        return { name: textOf(block.subarray(nameoff, end)), nid: target, kind };
      });
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
