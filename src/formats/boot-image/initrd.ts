/**
 * The initrd of a bundle: one cpio archive with everything that does not differ between the normal and
 * the debuggable variant, then the head of one more member, `bootconfig`, whose data is the rest of the
 * file.
 *
 * So the end of the file is Android's bootconfig trailer, and a kernel without CONFIG_BOOT_CONFIG unpacks
 * the same bytes as `/bootconfig`: there are no two copies that could disagree.
 *
 * @see docs/guest-interface.md
 */

import { FormatError } from '../../core/errors.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { bytesContent, type FileContent } from '../../io/file-tree.ts';
import {
  cpioArchive,
  encodeMemberHead,
  readCpio,
  readMember,
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
  const archive = cpioArchive(members, mtime);
  // Archives and heads are multiples of 4, so the data stands where the trailer's padding counts from.
  const trailer = encodeBootconfigTrailer(formatBootconfig(content.bootconfig));
  const head = encodeMemberHead(BOOTCONFIG_MEMBER, trailer.length, members.length + 1, mtime);
  return {
    size: archive.size + head.length + trailer.length,
    async *stream() {
      yield* archive.stream();
      yield head;
      yield trailer;
    },
  };
}

export interface DecodedInitrd {
  /** Of the first archive. */
  readonly entries: readonly CpioEntry[];
  /** File names in load order, from `modules.order`. */
  readonly modulesOrder: readonly string[];
  readonly bootconfig: readonly BootconfigEntry[];
  /** Where the bootconfig's text begins. */
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
  const last = await readMember(initrd, end);
  if (last.name !== BOOTCONFIG_MEMBER.name || names.has(last.name)) {
    refuse(`its last member is ${JSON.stringify(last.name)}, not "bootconfig"`, last.offset);
  }
  if (last.dataOffset + last.dataSize !== initrd.size) {
    refuse('bytes follow its bootconfig', last.dataOffset + last.dataSize);
  }
  const attached = await readBootconfigTrailer(initrd);
  if (attached === undefined) return refuse('it does not end with a bootconfig trailer');
  if (attached.offset !== last.dataOffset) {
    refuse('its bootconfig trailer and its member "bootconfig" disagree', attached.offset);
  }
  return {
    entries,
    modulesOrder: await readModulesOrder(initrd, entries),
    bootconfig: parseBootconfig(attached.text),
    bootconfigOffset: attached.offset,
  };
}
