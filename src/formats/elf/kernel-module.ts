/**
 * Linux kernel modules: what they say of themselves (`.modinfo`), and the same module without what
 * only debuggers and signature checks need.
 */

import { alignUp } from '../../core/math.ts';
import { FormatError } from '../../core/errors.ts';
import { Elf64Ehdr, Elf64Shdr, ET_REL, parseElf, SHT_NOBITS, SHT_NULL } from './layout.ts';

/** Facts from a module's `.modinfo` section. Names use underscores, as the kernel compares them. */
export interface ModuleInfo {
  readonly name: string;
  readonly depends: readonly string[];
  /** Modules named by `softdep: ... pre:`. */
  readonly softdepsPre: readonly string[];
}

/** The kernel takes `-` and `_` in module names as one. */
export const canonicalModuleName = (name: string): string => name.replaceAll('-', '_');

/** Reads `.modinfo`. @throws {FormatError} when the file is not a module. */
export function readModuleInfo(file: Uint8Array, fileName: string): ModuleInfo {
  const section = parseElf(file, fileName).sections.find(({ name }) => name === '.modinfo');
  if (section === undefined) {
    throw new FormatError('elf', 'bad-value', `Cannot use ${fileName}: it has no .modinfo`);
  }
  const pairs = Buffer.from(section.data)
    .toString('latin1')
    .split('\0')
    .map((text): [string, string] => {
      const equals = text.indexOf('=');
      return [text.slice(0, Math.max(equals, 0)), text.slice(equals + 1)];
    });
  const all = (key: string): string[] =>
    pairs.filter(([each]) => each === key).map(([, value]) => value);
  const names = (text: string, separator: RegExp): string[] =>
    text.split(separator).filter(Boolean).map(canonicalModuleName);
  return {
    name: canonicalModuleName(all('name')[0] ?? fileName.replace(/^.*\/|\.ko$/g, '')),
    depends: all('depends').flatMap((text) => names(text, /,/)),
    softdepsPre: all('softdep').flatMap((text) =>
      names(/pre:\s*([^:]*?)(?:\s*post:|$)/.exec(text)?.[1] ?? '', /\s+/),
    ),
  };
}

/** A page; modules align nothing further. */
const MAX_ALIGNMENT = 4096;

/** Sections that a running kernel does not read from a module. */
const droppable = (name: string): boolean =>
  name === '.BTF' || name === '.note.gnu.build-id' || /^\.(?:rela)?\.?debug/.test(name);

/**
 * A module without debug data, BTF, build id and appended signature.
 *
 * Section numbers stay as they are (dropped ones become SHT_NULL), so that symbols and relocations
 * need no change. The signature goes because trust comes from the signed kernel that pins the initrd.
 */
export function stripModule(file: Uint8Array, fileName: string): Uint8Array {
  const { header, sections } = parseElf(file, fileName);
  const refuse = (why: string): never => {
    throw new FormatError('elf', 'bad-value', `Cannot strip ${fileName}: ${why}`);
  };
  if (header.type !== ET_REL) refuse('it is not relocatable');
  let end = Elf64Ehdr.size;
  const placed = sections.map((section, index) => {
    if (section.header.type === SHT_NULL || droppable(section.name)) {
      return { header: { ...section.header, ...emptySection }, data: section.data.subarray(0, 0) };
    }
    const align = Math.max(1, Number(section.header.addralign));
    if (align > MAX_ALIGNMENT) refuse(`section ${index} is aligned to ${align} bytes`);
    const offset = alignUp(end, align);
    end = section.header.type === SHT_NOBITS ? end : offset + section.data.length;
    return { header: { ...section.header, offset: BigInt(offset) }, data: section.data };
  });
  // Sections that overlap could add up to any size.
  if (end > 2 * file.length + MAX_ALIGNMENT) refuse('its sections are larger than the file');
  const shoff = alignUp(end, 8);
  const out = new Uint8Array(shoff + placed.length * Elf64Shdr.size);
  const view = new DataView(out.buffer);
  Elf64Ehdr.encodeInto(view, 0, { ...header, shoff: BigInt(shoff) });
  for (const [index, section] of placed.entries()) {
    out.set(section.data, Number(section.header.offset));
    Elf64Shdr.encodeInto(view, shoff + index * Elf64Shdr.size, section.header);
  }
  return out;
}

const emptySection = {
  type: SHT_NULL,
  flags: 0n,
  addr: 0n,
  offset: 0n,
  size: 0n,
  link: 0,
  info: 0,
  addralign: 0n,
  entsize: 0n,
};

/**
 * The modules to load and in which order: each after those it depends on.
 *
 * @param wanted Names, in the order in which they are wanted; a name that is not among `modules` is
 *   taken to be built into the kernel when `builtin` says so.
 * @throws {RangeError} naming the module that is neither a file nor built in.
 */
export function orderModules(
  wanted: readonly string[],
  modules: ReadonlyMap<string, ModuleInfo>,
  builtin: ReadonlySet<string>,
): string[] {
  const order: string[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const add = (raw: string, neededBy: string | undefined): void => {
    const name = canonicalModuleName(raw);
    if (state.has(name)) return;
    const info = modules.get(name);
    if (info === undefined) {
      if (builtin.has(name)) return;
      throw new RangeError(
        `The kernel has no module "${raw}"${neededBy === undefined ? '' : `, which ${neededBy} needs`}`,
      );
    }
    state.set(name, 'open');
    for (const each of info.softdepsPre) {
      if (modules.has(each)) add(each, name);
    }
    for (const each of info.depends) add(each, name);
    state.set(name, 'done');
    order.push(name);
  };
  for (const name of wanted) add(name, undefined);
  return order;
}
