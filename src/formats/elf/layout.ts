/** ELF-64 little-endian records. @see https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html */

import { FormatError } from '../../core/errors.ts';
import { bytes, le, struct } from '../struct.ts';

export const ELF_MAGIC = 0x464c457f;
export const ELFCLASS64 = 2;
export const ELFDATA2LSB = 1;
export const ET_REL = 1;
export const SHT_NULL = 0;
export const SHT_NOBITS = 8;

export const Elf64Ehdr = struct('Elf64_Ehdr', 64, {
  magic: le.u32,
  ident: bytes(12),
  type: le.u16,
  machine: le.u16,
  version: le.u32,
  entry: le.u64,
  phoff: le.u64,
  shoff: le.u64,
  flags: le.u32,
  ehsize: le.u16,
  phentsize: le.u16,
  phnum: le.u16,
  shentsize: le.u16,
  shnum: le.u16,
  shstrndx: le.u16,
});

export const Elf64Shdr = struct('Elf64_Shdr', 64, {
  name: le.u32,
  type: le.u32,
  flags: le.u64,
  addr: le.u64,
  offset: le.u64,
  size: le.u64,
  link: le.u32,
  info: le.u32,
  addralign: le.u64,
  entsize: le.u64,
});

export interface Section {
  readonly name: string;
  readonly header: ReturnType<typeof Elf64Shdr.decode>;
  /** A view of its bytes; empty for SHT_NULL and SHT_NOBITS. */
  readonly data: Uint8Array;
}

export interface ElfFile {
  readonly header: ReturnType<typeof Elf64Ehdr.decode>;
  readonly sections: readonly Section[];
}

/**
 * Parses the section table of a 64-bit little-endian ELF file held in memory.
 *
 * @throws {FormatError} when it is not one, or a section lies outside the file.
 */
export function parseElf(file: Uint8Array, name: string): ElfFile {
  const fail = (code: 'bad-magic' | 'out-of-range' | 'bad-value', what: string): never => {
    throw new FormatError('elf', code, `Cannot read ${name} as ELF: ${what}`);
  };
  const header = Elf64Ehdr.decode(file);
  if (header.magic !== ELF_MAGIC) fail('bad-magic', 'it does not start with 7f 45 4c 46');
  if (header.ident[0] !== ELFCLASS64 || header.ident[1] !== ELFDATA2LSB) {
    fail('bad-value', 'it is not 64-bit little-endian');
  }
  if (header.shnum > 0 && header.shentsize !== Elf64Shdr.size) {
    fail('bad-value', `its section headers are ${header.shentsize} bytes, expected 64`);
  }
  const tableEnd = header.shoff + BigInt(header.shnum * Elf64Shdr.size);
  if (tableEnd > BigInt(file.length)) fail('out-of-range', 'its section table is outside the file');
  const headers = Array.from({ length: header.shnum }, (_, index) =>
    Elf64Shdr.decode(file, Number(header.shoff) + index * Elf64Shdr.size),
  );
  const dataOf = (section: (typeof headers)[number]): Uint8Array => {
    if (section.type === SHT_NULL || section.type === SHT_NOBITS) return file.subarray(0, 0);
    if (section.offset + section.size > BigInt(file.length)) {
      fail('out-of-range', 'a section is outside the file');
    }
    return file.subarray(Number(section.offset), Number(section.offset + section.size));
  };
  const stringSection = headers[header.shstrndx];
  const strings = stringSection === undefined ? file.subarray(0, 0) : dataOf(stringSection);
  const nameAt = (at: number): string => {
    const end = strings.indexOf(0, at);
    return end < 0 ? '' : Buffer.from(strings.subarray(at, end)).toString('latin1');
  };
  return {
    header,
    sections: headers.map((section) => ({
      name: nameAt(section.name),
      header: section,
      data: dataOf(section),
    })),
  };
}
