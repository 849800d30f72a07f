import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import {
  orderModules,
  readModuleInfo,
  stripModule,
  type ModuleInfo,
} from '../../../../src/formats/elf/kernel-module.ts';
import {
  Elf64Ehdr,
  Elf64Shdr,
  ELF_MAGIC,
  ET_REL,
  parseElf,
} from '../../../../src/formats/elf/layout.ts';

/** A relocatable file with the sections given, as an assembler would write it. */
function elf(sections: Readonly<Record<string, string>>): Uint8Array {
  const names = ['', ...Object.keys(sections), '.shstrtab'];
  const strings = Buffer.from(names.join('\0') + '\0', 'latin1');
  const bodies = ['', ...Object.values(sections), strings.toString('latin1')];
  const parts: Buffer[] = [Buffer.alloc(Elf64Ehdr.size)];
  let at = Elf64Ehdr.size;
  const headers = bodies.map((body, index) => {
    const data = Buffer.from(body, 'latin1');
    const header = Elf64Shdr.encode({
      name: index === 0 ? 0 : strings.indexOf(`${names[index]}\0`, 1),
      type: index === 0 ? 0 : 1,
      flags: 0n,
      addr: 0n,
      offset: BigInt(at),
      size: BigInt(data.length),
      link: 0,
      info: 0,
      addralign: 1n,
      entsize: 0n,
    });
    parts.push(data);
    at += data.length;
    return header;
  });
  const head = Elf64Ehdr.encode({
    magic: ELF_MAGIC,
    ident: Uint8Array.of(2, 1, 1),
    type: ET_REL,
    machine: 62,
    version: 1,
    entry: 0n,
    phoff: 0n,
    shoff: BigInt(at),
    flags: 0,
    ehsize: 64,
    phentsize: 0,
    phnum: 0,
    shentsize: 64,
    shnum: bodies.length,
    shstrndx: bodies.length - 1,
  });
  parts[0] = Buffer.from(head);
  return new Uint8Array(Buffer.concat([...parts, ...headers]));
}

const MODULE = elf({
  '.text': 'code',
  '.modinfo': 'name=dm_verity\0depends=dm-mod,dm-bufio\0softdep=pre: crc32c post: other\0',
  '.BTF': 'types '.repeat(100),
});

describe('readModuleInfo()', () => {
  test('reads name, dependencies and soft dependencies', () => {
    expect(readModuleInfo(MODULE, 'dm-verity.ko')).toEqual({
      name: 'dm_verity',
      depends: ['dm_mod', 'dm_bufio'],
      softdepsPre: ['crc32c'],
    });
  });

  test('reads or throws FormatError, whatever byte is changed', () => {
    fc.assert(
      fc.property(fc.nat(MODULE.length - 1), fc.nat(255), (at, value) => {
        const bytes = MODULE.slice();
        bytes[at] = value;
        try {
          readModuleInfo(bytes, 'x.ko');
          stripModule(bytes, 'x.ko');
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
    );
  });
});

describe('stripModule()', () => {
  test('drops BTF and an appended signature, keeps the rest and its section numbers', () => {
    const signed = new Uint8Array([...MODULE, ...Buffer.from('~Module signature appended~\n')]);
    const stripped = stripModule(signed, 'x.ko');
    expect(stripped.length).toBeLessThan(MODULE.length);
    const sections = parseElf(stripped, 'x.ko').sections;
    expect(sections.map(({ name }) => name)).toEqual([
      '',
      '.text',
      '.modinfo',
      '.BTF',
      '.shstrtab',
    ]);
    expect(sections.map(({ data }) => data.length > 0)).toEqual([false, true, true, false, true]);
    expect(Buffer.from(sections[1]?.data ?? []).toString()).toBe('code');
    expect(readModuleInfo(stripped, 'x.ko')).toEqual(readModuleInfo(MODULE, 'x.ko'));
  });

  test('is idempotent', () => {
    const once = stripModule(MODULE, 'x.ko');
    expect(stripModule(once, 'x.ko')).toEqual(once);
  });
});

describe('orderModules()', () => {
  const info = (name: string, ...depends: string[]): [string, ModuleInfo] => [
    name,
    { name, depends, softdepsPre: [] },
  ];

  test('puts each module behind those it depends on, and wants each once', () => {
    const modules = new Map([info('a', 'b', 'c'), info('b', 'c'), info('c'), info('d', 'a')]);
    expect(orderModules(['d', 'b'], modules, new Set())).toEqual(['c', 'b', 'a', 'd']);
  });

  test('passes over what is built in, and names what is nowhere', () => {
    const modules = new Map([info('a', 'builtin-one'.replace('-', '_'))]);
    expect(orderModules(['a'], modules, new Set(['builtin_one']))).toEqual(['a']);
    expect(() => orderModules(['a'], modules, new Set())).toThrow(
      /no module "builtin_one".*a needs/,
    );
  });

  test('a cycle ends', () => {
    const modules = new Map([info('a', 'b'), info('b', 'a')]);
    expect(orderModules(['a'], modules, new Set())).toEqual(['b', 'a']);
  });
});
