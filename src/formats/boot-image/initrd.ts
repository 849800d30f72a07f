/**
 * The initrd of a bundle: one cpio archive whose last member is `bootconfig`, and behind it the same
 * bytes once more as Android's bootconfig trailer.
 *
 * Kernels cut the trailer off before they unpack, with and without CONFIG_BOOT_CONFIG; the guest reads
 * the file. That both are equal is checked by whoever decodes.
 *
 * @see docs/guest-interface.md
 */

import { equalBytes } from '../../core/digest.ts';
import { FormatError } from '../../core/errors.ts';
import { streamOf, type ByteSource } from '../../io/byte-source.ts';
import { bytesContent, type FileContent } from '../../io/file-tree.ts';
import {
  cpioArchive,
  readCpio,
  S_IFDIR,
  S_IFREG,
  type CpioEntry,
  type CpioMember,
} from '../cpio/newc.ts';
import {
  encodeBootconfigTrailer,
  formatBootconfig,
  parseBootconfig,
  readBootconfigTrailer,
  type BootconfigEntry,
} from './bootconfig.ts';

/** Mount points that init expects. */
const DIRECTORIES = ['dev', 'proc', 'sys', 'newroot'];
const BOOTCONFIG_MEMBER = { name: 'bootconfig', mode: S_IFREG | 0o444 };
const MODULE_NAME = /^[A-Za-z0-9_-][A-Za-z0-9_.-]*\.ko$/;

export interface KernelModule {
  /** File name, such as `dm-verity.ko`. */
  readonly name: string;
  readonly content: FileContent;
}

export interface InitrdContent {
  /** The guest's PID 1: a static program. */
  readonly init: FileContent;
  /** In load order. */
  readonly modules: readonly KernelModule[];
  readonly bootconfig: readonly BootconfigEntry[];
  /** Seconds since 1970, of every file. */
  readonly mtime: number;
}

/**
 * The initrd as content: its size is known before, its bytes are made while they are read.
 *
 * @throws {RangeError} on a module name that is not one, or is given twice, or a bootconfig that cannot
 *   be stored.
 */
export function encodeInitrd(content: InitrdContent): FileContent {
  const { init, modules, mtime } = content;
  const names = modules.map(({ name }) => name);
  const odd = names.find((name, at) => !MODULE_NAME.test(name) || names.indexOf(name) !== at);
  if (odd !== undefined) throw new RangeError(`Cannot store kernel module ${JSON.stringify(odd)}`);
  const order = new TextEncoder().encode(names.map((name) => `${name}\n`).join(''));
  const members: CpioMember[] = [
    ...DIRECTORIES.map((name) => ({ name, mode: S_IFDIR | 0o755 })),
    { name: 'init', mode: S_IFREG | 0o755, content: init },
    { name: 'modules.order', mode: S_IFREG | 0o644, content: bytesContent(order) },
    { name: 'modules', mode: S_IFDIR | 0o755 },
    ...modules.map((module) => ({
      name: `modules/${module.name}`,
      mode: S_IFREG | 0o644,
      content: module.content,
    })),
  ];
  // A whole number of 4-byte words before it, so that its padding counts from its own start.
  const trailer = encodeBootconfigTrailer(formatBootconfig(content.bootconfig));
  members.push({ ...BOOTCONFIG_MEMBER, content: bytesContent(trailer) });
  return joined(cpioArchive(members, mtime), bytesContent(trailer));
}

/** A part of a source as content. */
const partOf = (source: ByteSource, size: number): FileContent => ({
  size,
  stream: () => streamOf(source, 0, size),
});

/** Contents one behind the other. */
function joined(...contents: readonly FileContent[]): FileContent {
  return {
    size: contents.reduce((sum, { size }) => sum + size, 0),
    async *stream() {
      for (const content of contents) yield* content.stream();
    },
  };
}

/**
 * An initrd with another bootconfig: everything before it stays, byte for byte.
 *
 * @param decoded What `decodeInitrd` made of `initrd`.
 * @throws {RangeError} when the bootconfig cannot be stored.
 */
export function replaceBootconfig(
  initrd: ByteSource,
  decoded: DecodedInitrd,
  bootconfig: readonly BootconfigEntry[],
): FileContent {
  const member = decoded.entries.at(-1);
  if (member?.name !== BOOTCONFIG_MEMBER.name) {
    throw new TypeError('The last member of a decoded initrd is its bootconfig');
  }
  const trailer = bytesContent(encodeBootconfigTrailer(formatBootconfig(bootconfig)));
  const end = cpioArchive(
    [{ name: member.name, mode: member.mode, content: trailer }],
    member.mtime,
    member.ino,
  );
  return joined(partOf(initrd, member.offset), end, trailer);
}

export interface DecodedInitrd {
  readonly entries: readonly CpioEntry[];
  /** File names in load order, from `modules.order`. */
  readonly modulesOrder: readonly string[];
  readonly bootconfig: readonly BootconfigEntry[];
  /** Where the trailer's text begins: the end of the archive. */
  readonly bootconfigOffset: number;
}

function refuse(message: string, offset?: number): never {
  throw new FormatError('initrd', 'bad-value', `Cannot read initrd: ${message}`, {
    ...(offset !== undefined && { offset }),
  });
}

async function readModulesOrder(
  initrd: ByteSource,
  entries: readonly CpioEntry[],
): Promise<string[]> {
  const entry = entries.find(({ name }) => name === 'modules.order');
  if (entry === undefined) return refuse('it has no member "modules.order"');
  if (entry.dataSize > 1 << 20) refuse('its modules.order is too large', entry.offset);
  const data = await initrd.read(entry.dataOffset, entry.dataSize);
  const names = Buffer.from(data).toString('latin1').split('\n');
  if (names.pop() !== '') refuse('its modules.order does not end with a line end', entry.offset);
  const files = new Set(entries.map(({ name }) => name));
  for (const name of names) {
    if (!MODULE_NAME.test(name) || !files.has(`modules/${name}`)) {
      refuse(`its modules.order names ${JSON.stringify(name.slice(0, 80))}, which is not there`);
    }
  }
  return names;
}

/**
 * Reads an initrd and checks that it is laid out as `encodeInitrd` does.
 *
 * @throws {FormatError} when it is not.
 */
export async function decodeInitrd(initrd: ByteSource): Promise<DecodedInitrd> {
  const { entries, end } = await readCpio(initrd);
  const names = new Set<string>();
  for (const { name, offset } of entries) {
    if (names.has(name)) refuse(`it has two members ${JSON.stringify(name)}`, offset);
    names.add(name);
  }
  if (!names.has('init')) refuse('it has no member "init"');
  const attached = await readBootconfigTrailer(initrd);
  if (attached === undefined) return refuse('it does not end with a bootconfig trailer');
  if (attached.offset !== end) refuse('bytes stand between its archive and its bootconfig', end);
  const file = entries.at(-1);
  if (file?.name !== BOOTCONFIG_MEMBER.name) return refuse('its last member is not "bootconfig"');
  const trailer = await initrd.read(end, initrd.size - end);
  const copy = await initrd.read(file.dataOffset, file.dataSize);
  if (!equalBytes(copy, trailer)) {
    refuse('its bootconfig trailer and its member "bootconfig" disagree', file.dataOffset);
  }
  return {
    entries,
    modulesOrder: await readModulesOrder(initrd, entries),
    bootconfig: parseBootconfig(attached.text),
    bootconfigOffset: attached.offset,
  };
}
