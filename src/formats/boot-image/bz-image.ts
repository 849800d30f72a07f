/**
 * The kernel out of an x86 bzImage: the ELF file that its own decompressor would unpack at boot.
 *
 * @see Documentation/arch/x86/boot.rst of Linux
 */

import { gunzipSync } from 'node:zlib';
import { FormatError } from '../../core/errors.ts';
import { le, struct, u8 } from '../struct.ts';
import { findPvhEntry } from './elf.ts';
import { decodeLz4Legacy } from './lz4-legacy.ts';

/** Where `struct setup_header` begins. */
export const SETUP_HEADER_OFFSET = 0x1f1;
const SECTOR = 512;
const BOOT_FLAG = 0xaa55;
/** "HdrS". */
const HEADER_MAGIC = 0x53726448;
/** The boot protocol that brought payload_offset and payload_length. */
const MIN_VERSION = 0x0208;
/** Debian's largest kernel unpacks to 66 MB; this leaves room for debug builds. */
const MAX_KERNEL_SIZE = 512 << 20;

/** The beginning of `struct setup_header`, as far as protocol 2.08 has it. */
export const setupHeader = struct('setup_header', 95, {
  setup_sects: u8,
  root_flags: le.u16,
  syssize: le.u32,
  ram_size: le.u16,
  vid_mode: le.u16,
  root_dev: le.u16,
  boot_flag: le.u16,
  jump: le.u16,
  header: le.u32,
  version: le.u16,
  realmode_swtch: le.u32,
  start_sys_seg: le.u16,
  kernel_version: le.u16,
  type_of_loader: u8,
  loadflags: u8,
  setup_move_size: le.u16,
  code32_start: le.u32,
  ramdisk_image: le.u32,
  ramdisk_size: le.u32,
  bootsect_kludge: le.u32,
  heap_end_ptr: le.u16,
  ext_loader_ver: u8,
  ext_loader_type: u8,
  cmd_line_ptr: le.u32,
  initrd_addr_max: le.u32,
  kernel_alignment: le.u32,
  relocatable_kernel: u8,
  min_alignment: u8,
  xloadflags: le.u16,
  cmdline_size: le.u32,
  hardware_subarch: le.u32,
  hardware_subarch_data: le.u64,
  payload_offset: le.u32,
  payload_length: le.u32,
});

/** What later protocols have behind it. */
export const setupHeaderTail = struct('setup_header, protocol 2.09 and later', 28, {
  setup_data: le.u64,
  pref_address: le.u64,
  init_size: le.u32,
  handover_offset: le.u32,
  kernel_info_offset: le.u32,
});

/** Whether a file begins as a bzImage does. */
export function isBzImage(head: Uint8Array): boolean {
  if (head.length < SETUP_HEADER_OFFSET + setupHeader.size) return false;
  const { boot_flag: flag, header } = setupHeader.decode(head, SETUP_HEADER_OFFSET);
  return flag === BOOT_FLAG && header === HEADER_MAGIC;
}

/** How the data of a kernel is compressed, by its first bytes; undefined when nobody knows. */
export function kernelCompression(start: Uint8Array): KernelCompression | undefined {
  const hex = Buffer.from(start.subarray(0, 8)).toString('hex');
  return COMPRESSION_MAGICS.find(([, magic]) => hex.startsWith(magic))?.[0];
}

export type KernelCompression = 'gzip' | 'lz4' | 'xz' | 'zstd' | 'none';

/** Decodes `data` to exactly `size` bytes, or fails. */
export type Decompressor = (data: Uint8Array, size: number) => Promise<Uint8Array>;

/** Decoders that this folder does not have itself. */
export interface KernelDecompressors {
  readonly xz?: Decompressor;
  readonly zstd?: Decompressor;
}

export interface Vmlinux {
  readonly elf: Uint8Array;
  readonly compression: KernelCompression;
  /** Physical address of the PVH entry. */
  readonly pvhEntry: number;
}

const COMPRESSION_MAGICS: readonly (readonly [KernelCompression, string])[] = [
  ['gzip', '1f8b'],
  ['lz4', '02214c18'],
  ['xz', 'fd377a585a00'],
  ['zstd', '28b52ffd'],
  ['none', '7f454c46'],
];

function refuse(
  code: 'truncated' | 'bad-magic' | 'bad-version' | 'out-of-range' | 'too-large' | 'unsupported',
  why: string,
  offset?: number,
): never {
  throw new FormatError('bzimage', code, `Cannot read bzImage: ${why}`, {
    ...(offset !== undefined && { offset }),
  });
}

/** Bytes in front of the protected-mode code, from which the payload is counted. */
export const setupSize = ({ setup_sects: count }: { readonly setup_sects: number }): number =>
  // A count of 0 means 4, for the sake of kernels from before the count was there.
  ((count === 0 ? 4 : count) + 1) * SECTOR;

/** The compressed kernel inside, without its size word. */
function payloadOf(image: Uint8Array): Uint8Array {
  if (image.length < SETUP_HEADER_OFFSET + setupHeader.size) {
    refuse('truncated', `it has ${image.length} bytes`);
  }
  const setup = setupHeader.decode(image, SETUP_HEADER_OFFSET);
  if (setup.boot_flag !== BOOT_FLAG || setup.header !== HEADER_MAGIC) {
    refuse('bad-magic', 'it has no setup header "HdrS"', 0x202);
  }
  if (setup.version < MIN_VERSION) {
    refuse('bad-version', `its boot protocol is 0x${setup.version.toString(16)}, older than 2.08`);
  }
  const start = setupSize(setup) + setup.payload_offset;
  const end = start + setup.payload_length;
  if (setup.payload_length < 8 || end > image.length) {
    refuse(
      'out-of-range',
      `its payload of ${setup.payload_length} bytes is outside of the file`,
      0x24c,
    );
  }
  return image.subarray(start, end);
}

/** The build appends the decoded size, except to gzip, whose stream ends with it anyway. */
function decodedSize(payload: Uint8Array): number {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const size = view.getUint32(payload.length - 4, true);
  if (size > MAX_KERNEL_SIZE) refuse('too-large', `its kernel would have ${size} bytes`);
  return size;
}

async function decompress(
  payload: Uint8Array,
  compression: KernelCompression,
  decompressors: KernelDecompressors,
): Promise<Uint8Array> {
  if (compression === 'none') return payload;
  const size = decodedSize(payload);
  const data = payload.subarray(0, payload.length - 4);
  switch (compression) {
    case 'lz4':
      return decodeLz4Legacy(data, size);
    case 'gzip':
      try {
        return new Uint8Array(gunzipSync(payload, { maxOutputLength: Math.max(size, 1) }));
      } catch (cause) {
        throw new FormatError('bzimage', 'bad-value', 'Cannot read bzImage: its gzip is damaged', {
          cause,
        });
      }
    case 'xz':
    case 'zstd': {
      const decoder = decompressors[compression];
      if (decoder === undefined)
        return refuse('unsupported', `its kernel is compressed with ${compression}`);
      return decoder(data, size);
    }
    default:
      return compression satisfies never;
  }
}

/**
 * Unpacks the kernel of a bzImage.
 *
 * @throws {FormatError} when it is damaged, compressed in a way that nothing given here decodes, or has no
 *   PVH entry.
 */
export async function extractVmlinux(
  image: Uint8Array,
  decompressors: KernelDecompressors = {},
): Promise<Vmlinux> {
  const payload = payloadOf(image);
  const head = Buffer.from(payload.subarray(0, 8)).toString('hex');
  const compression = COMPRESSION_MAGICS.find(([, magic]) => head.startsWith(magic))?.[0];
  if (compression === undefined) {
    return refuse('unsupported', `its kernel begins with 0x${head}, which is no known compression`);
  }
  const elf = await decompress(payload, compression, decompressors);
  if (compression !== 'none' && elf.length !== decodedSize(payload)) {
    refuse('out-of-range', `its kernel has ${elf.length} bytes, not ${decodedSize(payload)}`);
  }
  const pvhEntry = findPvhEntry(elf);
  if (pvhEntry === undefined) {
    return refuse('unsupported', 'its kernel has no PVH entry (CONFIG_PVH)');
  }
  return { elf, compression, pvhEntry };
}
