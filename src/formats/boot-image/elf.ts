/**
 * What is needed of an ELF kernel: that it is one for x86-64, and where its PVH entry is.
 *
 * A VMM starts a kernel with the note XEN_ELFNOTE_PHYS32_ENTRY directly, without firmware or
 * decompressor.
 *
 * @see elf.h; include/xen/interface/elfnote.h of Linux
 */

import { FormatError } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import { bytes, le, struct } from '../struct.ts';

const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const EM_X86_64 = 62;
const PT_NOTE = 4;
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

const elfHeader = struct('Elf64_Ehdr', 64, {
  ei_magic: bytes(4),
  ei_class_data: bytes(2),
  ei_rest: bytes(10),
  e_type: le.u16,
  e_machine: le.u16,
  e_version: le.u32,
  e_entry: le.u64,
  e_phoff: le.u64,
  e_shoff: le.u64,
  e_flags: le.u32,
  e_ehsize: le.u16,
  e_phentsize: le.u16,
  e_phnum: le.u16,
  e_shentsize: le.u16,
  e_shnum: le.u16,
  e_shstrndx: le.u16,
});

const programHeader = struct('Elf64_Phdr', 56, {
  p_type: le.u32,
  p_flags: le.u32,
  p_offset: le.u64,
  p_vaddr: le.u64,
  p_paddr: le.u64,
  p_filesz: le.u64,
  p_memsz: le.u64,
  p_align: le.u64,
});

const noteHeader = struct('Elf64_Nhdr', 12, { n_namesz: le.u32, n_descsz: le.u32, n_type: le.u32 });

function refuse(code: 'bad-magic' | 'unsupported' | 'out-of-range', why: string): never {
  throw new FormatError('elf', code, `Cannot read kernel: ${why}`);
}

/** The PVH entry among the notes of one segment. */
function pvhEntryOf(notes: Uint8Array): number | undefined {
  for (let at = 0; at + noteHeader.size <= notes.length;) {
    const { n_namesz: nameSize, n_descsz: size, n_type: type } = noteHeader.decode(notes, at);
    const name = at + noteHeader.size;
    const description = name + alignUp(nameSize, 4);
    if (description + size > notes.length) return refuse('out-of-range', 'a note is cut off');
    const isXen = Buffer.from(notes.subarray(name, name + nameSize)).toString('latin1') === 'Xen\0';
    if (isXen && type === XEN_ELFNOTE_PHYS32_ENTRY && (size === 4 || size === 8)) {
      return new DataView(notes.buffer, notes.byteOffset + description, 4).getUint32(0, true);
    }
    at = description + alignUp(size, 4);
  }
  return undefined;
}

/**
 * The physical address where a VMM enters the kernel by PVH, or undefined when it has no such note.
 *
 * @throws {FormatError} when the bytes are not an ELF kernel for x86-64, or its notes are cut off.
 */
export function findPvhEntry(elf: Uint8Array): number | undefined {
  if (elf.length < elfHeader.size) refuse('bad-magic', `${elf.length} bytes are no ELF file`);
  const head = elfHeader.decode(elf);
  if (Buffer.from(head.ei_magic).toString('latin1') !== '\x7fELF') {
    refuse('bad-magic', 'it does not begin as an ELF file');
  }
  const [elfClass, data] = head.ei_class_data;
  if (elfClass !== ELFCLASS64 || data !== ELFDATA2LSB || head.e_machine !== EM_X86_64) {
    refuse('unsupported', `it is an ELF file for machine ${head.e_machine}, not for x86-64`);
  }
  const table = head.e_phoff + BigInt(head.e_phnum * programHeader.size);
  if (head.e_phentsize !== programHeader.size || table > BigInt(elf.length)) {
    refuse('out-of-range', 'its program headers are outside of the file');
  }
  for (let index = 0; index < head.e_phnum; index++) {
    const segment = programHeader.decode(elf, Number(head.e_phoff) + index * programHeader.size);
    if (segment.p_type !== PT_NOTE) continue;
    const end = segment.p_offset + segment.p_filesz;
    if (end > BigInt(elf.length)) refuse('out-of-range', 'its notes are outside of the file');
    const entry = pvhEntryOf(elf.subarray(Number(segment.p_offset), Number(end)));
    if (entry !== undefined) return entry;
  }
  return undefined;
}
