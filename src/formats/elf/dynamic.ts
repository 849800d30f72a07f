/**
 * Shared libraries as the dynamic linker sees them: what they need, and which symbols they export. Only
 * the parts that are asked for are read.
 *
 * @see https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.dynamic.html and, for DT_GNU_HASH,
 *   elf/dl-lookup.c of glibc
 */

import { FormatError } from '../../core/errors.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { le, struct } from '../struct.ts';
import { Elf64Ehdr, ELF_MAGIC, ELFCLASS64, ELFDATA2LSB } from './layout.ts';

const Elf64Phdr = struct('Elf64_Phdr', 56, {
  type: le.u32,
  flags: le.u32,
  offset: le.u64,
  vaddr: le.u64,
  paddr: le.u64,
  filesz: le.u64,
  memsz: le.u64,
  align: le.u64,
});

const Elf64Sym = struct('Elf64_Sym', 24, {
  name: le.u32,
  infoOther: le.u16,
  shndx: le.u16,
  value: le.u64,
  size: le.u64,
});

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const DT_NEEDED = 1n;
const DT_HASH = 4n;
const DT_STRTAB = 5n;
const DT_SYMTAB = 6n;
const DT_STRSZ = 10n;
const DT_GNU_HASH = 0x6fff_fef5n;
const ET_DYN = 3;
const SHN_UNDEF = 0;

/** Libraries have about ten; more are refused before any memory is taken. */
const MAX_PROGRAM_HEADERS = 1024;
/** Of 16 bytes each; libraries have about thirty. */
const MAX_DYNAMIC_SIZE = 1 << 20;
const MAX_NEEDED = 1000;
/** A chain of a hash table has a few symbols. */
const MAX_CHAIN = 100_000;
const MAX_NAME = 4096;

/** What the first bytes of an ELF file say. */
export interface ElfIdentity {
  readonly elfClass: 32 | 64;
  /** As `e_machine` numbers them, such as 62 for x86-64. */
  readonly machine: number;
  readonly isShared: boolean;
}

export interface DynamicLibrary extends ElfIdentity {
  /** Names of the libraries that it needs. */
  readonly needed: readonly string[];
  /** Whether the dynamic linker finds a symbol of this name in it. */
  exports(symbol: string): Promise<boolean>;
}

const refuse = (
  source: ByteSource,
  code: 'bad-magic' | 'bad-value' | 'out-of-range' | 'too-large',
  why: string,
): never => {
  throw new FormatError('elf', code, `Cannot read ${source.name} as ELF: ${why}`);
};

/** @throws {FormatError} when it is no little-endian ELF file. */
export async function readElfIdentity(source: ByteSource): Promise<ElfIdentity> {
  const head = await source.read(0, Math.min(source.size, 20));
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  if (head.length < 20 || view.getUint32(0, true) !== ELF_MAGIC) {
    return refuse(source, 'bad-magic', 'it does not start with 7f 45 4c 46');
  }
  const elfClass = head[4] === ELFCLASS64 ? 64 : 32;
  if ((head[4] !== ELFCLASS64 && head[4] !== 1) || head[5] !== ELFDATA2LSB) {
    return refuse(source, 'bad-value', 'it is not little-endian of 32 or 64 bits');
  }
  return {
    elfClass,
    machine: view.getUint16(18, true),
    isShared: view.getUint16(16, true) === ET_DYN,
  };
}

/**
 * Reads what a 64-bit library says to the dynamic linker.
 *
 * @throws {FormatError} when it is none, or is damaged.
 */
export async function readDynamicLibrary(source: ByteSource): Promise<DynamicLibrary> {
  const identity = await readElfIdentity(source);
  if (identity.elfClass !== 64) return refuse(source, 'bad-value', 'it is not of 64 bits');
  const header = Elf64Ehdr.decode(await source.read(0, Elf64Ehdr.size));
  if (header.phnum > MAX_PROGRAM_HEADERS || header.phentsize !== Elf64Phdr.size) {
    return refuse(source, 'bad-value', 'its program headers make no sense');
  }
  const table = await readAt(source, header.phoff, header.phnum * Elf64Phdr.size);
  const segments = Array.from({ length: header.phnum }, (_, index) =>
    Elf64Phdr.decode(table, index * Elf64Phdr.size),
  );
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return refuse(source, 'bad-value', 'it has no dynamic section');
  if (dynamic.filesz > MAX_DYNAMIC_SIZE) {
    return refuse(source, 'too-large', 'its dynamic section is too large');
  }
  const loads = segments.filter(({ type }) => type === PT_LOAD);
  /** Reads what the program will find at an address. */
  const readVirtual = (address: bigint, length: number): Promise<Uint8Array> => {
    const at = loads.find(
      ({ vaddr, filesz }) => address >= vaddr && address + BigInt(length) <= vaddr + filesz,
    );
    if (at === undefined) return refuse(source, 'out-of-range', 'an address is in no segment');
    return readAt(source, at.offset + (address - at.vaddr), length);
  };

  const tags = dynamicTags(await readAt(source, dynamic.offset, Number(dynamic.filesz)));
  const first = (wanted: bigint): bigint | undefined => tags.find(([tag]) => tag === wanted)?.[1];
  const strings = first(DT_STRTAB);
  const stringsSize = first(DT_STRSZ) ?? 0n;
  const symbols = first(DT_SYMTAB);
  const textAt = async (at: bigint): Promise<string> => {
    if (strings === undefined || at >= stringsSize) {
      return refuse(source, 'out-of-range', 'a name is outside of its string table');
    }
    const room = Number(stringsSize - at);
    const bytes = await readVirtual(strings + at, Math.min(room, MAX_NAME));
    const end = bytes.indexOf(0);
    return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('latin1');
  };
  const isSymbol = async (index: number, name: string): Promise<boolean> => {
    if (symbols === undefined) return false;
    const address = symbols + BigInt(index * Elf64Sym.size);
    const symbol = Elf64Sym.decode(await readVirtual(address, Elf64Sym.size));
    return symbol.shndx !== SHN_UNDEF && (await textAt(BigInt(symbol.name))) === name;
  };

  const needed: string[] = [];
  for (const [tag, value] of tags) {
    if (tag === DT_NEEDED && needed.length < MAX_NEEDED) needed.push(await textAt(value));
  }
  const gnuHash = first(DT_GNU_HASH);
  const sysvHash = first(DT_HASH);
  return {
    ...identity,
    needed,
    async exports(symbol) {
      const chain =
        gnuHash !== undefined
          ? gnuChain(gnuHash, symbol, readVirtual)
          : sysvHash === undefined
            ? []
            : sysvChain(sysvHash, symbol, readVirtual);
      for await (const index of chain) if (await isSymbol(index, symbol)) return true;
      return false;
    },
  };
}

async function readAt(source: ByteSource, offset: bigint, length: number): Promise<Uint8Array> {
  if (offset + BigInt(length) > BigInt(source.size)) {
    return refuse(source, 'out-of-range', 'a part lies outside of the file');
  }
  return source.read(Number(offset), length);
}

function dynamicTags(bytes: Uint8Array): (readonly [tag: bigint, value: bigint])[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const tags: [bigint, bigint][] = [];
  for (let at = 0; at + 16 <= bytes.length; at += 16) {
    const tag = view.getBigUint64(at, true);
    if (tag === 0n) break;
    tags.push([tag, view.getBigUint64(at + 8, true)]);
  }
  return tags;
}

type ReadVirtual = (address: bigint, length: number) => Promise<Uint8Array>;

async function word(read: ReadVirtual, address: bigint): Promise<number> {
  const bytes = await read(address, 4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
}

/** The symbols that may have a name, by DT_GNU_HASH. */
async function* gnuChain(table: bigint, symbol: string, read: ReadVirtual): AsyncGenerator<number> {
  let hash = 5381;
  for (const byte of Buffer.from(symbol)) hash = (Math.imul(hash, 33) + byte) >>> 0;
  const [bucketCount, firstSymbol, bloomSize] = [
    await word(read, table),
    await word(read, table + 4n),
    await word(read, table + 8n),
  ];
  if (bucketCount === 0) return;
  const buckets = table + 16n + 8n * BigInt(bloomSize);
  const chains = buckets + 4n * BigInt(bucketCount);
  let index = await word(read, buckets + 4n * BigInt(hash % bucketCount));
  for (let steps = 0; index >= firstSymbol && steps < MAX_CHAIN; steps += 1, index += 1) {
    const value = await word(read, chains + 4n * BigInt(index - firstSymbol));
    if ((value ^ hash) >>> 1 === 0) yield index;
    if ((value & 1) === 1) return;
  }
}

/** The symbols that may have a name, by DT_HASH. */
async function* sysvChain(
  table: bigint,
  symbol: string,
  read: ReadVirtual,
): AsyncGenerator<number> {
  let hash = 0;
  for (const byte of Buffer.from(symbol)) {
    hash = ((hash << 4) + byte) >>> 0;
    const high = hash & 0xf000_0000;
    hash = (hash ^ (high >>> 24)) & ~high;
  }
  const [bucketCount, chainCount] = [await word(read, table), await word(read, table + 4n)];
  if (bucketCount === 0) return;
  const buckets = table + 8n;
  const chains = buckets + 4n * BigInt(bucketCount);
  let index = await word(read, buckets + 4n * BigInt((hash >>> 0) % bucketCount));
  for (let steps = 0; index !== 0 && index < chainCount && steps < MAX_CHAIN; steps += 1) {
    yield index;
    index = await word(read, chains + 4n * BigInt(index));
  }
}
