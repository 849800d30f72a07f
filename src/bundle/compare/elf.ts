/** Compares two ELF files section by section. */

import { equalBytes, toHex } from '../../core/digest.ts';
import { FormatError } from '../../core/errors.ts';
import { parseElf, type Section } from '../../formats/elf/layout.ts';
import { bytesSource, type ByteSource } from '../../io/byte-source.ts';
import { namedCause } from './causes.ts';
import type { Scope } from './recorder.ts';

/** A kernel with its symbols; larger files are compared as bytes. */
const MAX_SIZE = 128 << 20;
/** What changes with almost any other section. */
const TABLES = new Set(['.shstrtab', '.strtab', '.symtab', '.dynsym', '.gnu.hash', '.hash']);

export async function compareElfs(scope: Scope, a: ByteSource, b: ByteSource): Promise<void> {
  if (a.size > MAX_SIZE || b.size > MAX_SIZE) return;
  const read = async (source: ByteSource): Promise<Map<string, Section>> => {
    try {
      const { sections } = parseElf(await source.read(0, source.size), source.name);
      return new Map(sections.map((section, index) => [section.name || `#${index}`, section]));
    } catch (error) {
      // Of 32 bits, of the other byte order, or without sections: bytes say what there is to say.
      if (error instanceof FormatError) return new Map();
      throw error;
    }
  };
  const [x, y] = [await read(a), await read(b)];
  for (const name of new Set([...x.keys(), ...y.keys()])) {
    const [left, right] = [x.get(name), y.get(name)];
    const inner = scope.at(name);
    if (left === undefined || right === undefined) {
      inner.found({
        level: 'structure',
        change: left === undefined ? 'added' : 'removed',
        field: '',
        [left === undefined ? 'b' : 'a']: `${(left ?? right)?.data.length} bytes`,
      });
      continue;
    }
    if (equalBytes(left.data, right.data)) continue;
    if (name === '.note.gnu.build-id') {
      const id = (section: Section): string => toHex(section.data.subarray(16));
      inner.found({
        level: 'content',
        nature: 'consequence',
        field: 'build id',
        a: id(left),
        b: id(right),
        cause: namedCause('build-id', 'the linker hashes what it links'),
      });
      continue;
    }
    await inner.inside('').content(bytesSource(left.data, name), bytesSource(right.data, name), {
      nature: TABLES.has(name) ? 'consequence' : 'origin',
    });
  }
}
