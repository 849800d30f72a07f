/**
 * Android's boot.img, header versions 0 to 4: a kernel, a ramdisk and what else a boot loader needs,
 * each at the start of a page.
 *
 * @see "Boot image header" of the Android documentation; bootimg.h of AOSP
 */

import { FormatError } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import type { DumpField, DumpNode } from '../../core/dump.ts';
import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import { bytes, le, struct } from '../struct.ts';

const BOOT_MAGIC = 'ANDROID!';
/** Pages of headers from version 3 on. */
const PAGE_SIZE_V3 = 4096;
/** `header_version` is at the same place in all headers. */
const VERSION_OFFSET = 40;

const v0Fields = {
  magic: bytes(8),
  kernel_size: le.u32,
  kernel_addr: le.u32,
  ramdisk_size: le.u32,
  ramdisk_addr: le.u32,
  second_size: le.u32,
  second_addr: le.u32,
  tags_addr: le.u32,
  page_size: le.u32,
  header_version: le.u32,
  os_version: le.u32,
  name: bytes(16),
  cmdline: bytes(512),
  id: bytes(32),
  extra_cmdline: bytes(1024),
};
const v1Fields = {
  ...v0Fields,
  recovery_dtbo_size: le.u32,
  recovery_dtbo_offset: le.u64,
  header_size: le.u32,
};
const v3Fields = {
  magic: bytes(8),
  kernel_size: le.u32,
  ramdisk_size: le.u32,
  os_version: le.u32,
  header_size: le.u32,
  reserved: bytes(16),
  header_version: le.u32,
  cmdline: bytes(1536),
};
const HeaderV0 = struct('boot_img_hdr_v0', 1632, v0Fields);
const HeaderV1 = struct('boot_img_hdr_v1', 1648, v1Fields);
const HeaderV2 = struct('boot_img_hdr_v2', 1660, {
  ...v1Fields,
  dtb_size: le.u32,
  dtb_addr: le.u64,
});
const HeaderV3 = struct('boot_img_hdr_v3', 1580, v3Fields);
const HeaderV4 = struct('boot_img_hdr_v4', 1584, { ...v3Fields, signature_size: le.u32 });

/** By header version. */
export const bootHeaders: Readonly<
  Record<
    number,
    Pick<
      typeof HeaderV0 | typeof HeaderV1 | typeof HeaderV2 | typeof HeaderV3 | typeof HeaderV4,
      'name' | 'size' | 'fields'
    >
  >
> = { 0: HeaderV0, 1: HeaderV1, 2: HeaderV2, 3: HeaderV3, 4: HeaderV4 };

/** The parts of an image, in its order. */
export type BootPart = 'kernel' | 'ramdisk' | 'second' | 'recovery_dtbo' | 'dtb' | 'boot_signature';

export interface AndroidBootImage {
  readonly headerVersion: number;
  readonly pageSize: number;
  /** Without the zeros that fill its field. */
  readonly cmdline: string;
  readonly osVersion: number;
  /** Only the parts that have bytes. */
  readonly parts: ReadonlyMap<BootPart, { readonly offset: number; readonly size: number }>;
}

function refuse(
  code: 'truncated' | 'bad-magic' | 'bad-version' | 'bad-value' | 'out-of-range',
  why: string,
  where: { readonly offset?: number; readonly field?: string } = {},
): never {
  throw new FormatError('boot.img', code, `Cannot read boot image: ${why}`, where);
}

/** Whether a source begins as a boot.img. */
export async function isAndroidBoot(source: ByteSource): Promise<boolean> {
  if (source.size < BOOT_MAGIC.length) return false;
  return Buffer.from(await source.read(0, BOOT_MAGIC.length)).toString('latin1') === BOOT_MAGIC;
}

/** What the headers of the versions say, in the same words. */
function decodeHeader(head: Uint8Array): {
  readonly version: number;
  readonly pageSize: number;
  readonly osVersion: number;
  readonly cmdline: Uint8Array;
  readonly sizes: readonly (readonly [BootPart, number])[];
} {
  const version = new DataView(head.buffer, head.byteOffset).getUint32(VERSION_OFFSET, true);
  if (version === 3 || version === 4) {
    const header = HeaderV3.decode(head);
    const signature = version === 4 ? HeaderV4.decode(head).signature_size : 0;
    return {
      version,
      pageSize: PAGE_SIZE_V3,
      osVersion: header.os_version,
      cmdline: header.cmdline,
      sizes: [
        ['kernel', header.kernel_size],
        ['ramdisk', header.ramdisk_size],
        ['boot_signature', signature],
      ],
    };
  }
  if (version > 4) {
    return refuse('bad-version', `its header has version ${version}`, {
      offset: VERSION_OFFSET,
      field: 'header_version',
    });
  }
  const header = HeaderV0.decode(head);
  return {
    version,
    pageSize: header.page_size,
    osVersion: header.os_version,
    cmdline: Buffer.concat([header.cmdline, header.extra_cmdline]),
    sizes: [
      ['kernel', header.kernel_size],
      ['ramdisk', header.ramdisk_size],
      ['second', header.second_size],
      ['recovery_dtbo', version >= 1 ? HeaderV1.decode(head).recovery_dtbo_size : 0],
      ['dtb', version >= 2 ? HeaderV2.decode(head).dtb_size : 0],
    ],
  };
}

/**
 * Reads the header of a boot.img and where its parts are.
 *
 * @throws {FormatError} when it is not one, or a part leaves the file.
 */
export async function readAndroidBoot(source: ByteSource): Promise<AndroidBootImage> {
  if (!(await isAndroidBoot(source))) refuse('bad-magic', `it does not begin with ${BOOT_MAGIC}`);
  // A header takes a page, and no version's is longer than the oldest page.
  const head = await source.read(0, Math.min(source.size, 2048));
  if (head.length < HeaderV2.size) refuse('truncated', `it has ${source.size} bytes`);
  const { version, pageSize, osVersion, cmdline, sizes } = decodeHeader(head);
  if (pageSize < 2048 || pageSize > 1 << 16 || !Number.isInteger(Math.log2(pageSize))) {
    refuse('bad-value', `its pages have ${pageSize} bytes`, { offset: 36, field: 'page_size' });
  }
  const parts = new Map<BootPart, { offset: number; size: number }>();
  let offset = pageSize;
  for (const [part, size] of sizes) {
    if (size === 0) continue;
    if (offset + size > source.size) {
      refuse('out-of-range', `its ${part} of ${size} bytes at ${offset} leaves the file`, {
        field: `${part}_size`,
      });
    }
    parts.set(part, { offset, size });
    offset = alignUp(offset + size, pageSize);
  }
  const text = Buffer.from(cmdline).toString('latin1').replace(/\0+/g, '');
  return { headerVersion: version, pageSize, cmdline: text, osVersion, parts };
}

/**
 * A part of a boot.img as a source.
 *
 * @throws {FormatError} `bad-value` when the image has none.
 */
export function bootPart(source: ByteSource, image: AndroidBootImage, part: BootPart): ByteSource {
  const found = image.parts.get(part);
  if (found === undefined) return refuse('bad-value', `it has no ${part}`);
  return sliceSource(source, found.offset, found.size, `${source.name}: ${part}`);
}

/** The header and the parts of a boot.img, for people. */
export async function dumpAndroidBoot(source: ByteSource): Promise<DumpNode> {
  const { headerVersion, pageSize, cmdline, osVersion, parts } = await readAndroidBoot(source);
  const field = (name: string, value: DumpField['value']): DumpField => ({ name, value });
  return {
    name: 'boot.img',
    fields: [
      { ...field('header_version', headerVersion), offset: VERSION_OFFSET },
      field('page_size', pageSize),
      field('os_version', versionText(osVersion)),
      field('cmdline', cmdline),
    ],
    children: [...parts].map(([name, { offset, size }]) => ({
      name,
      fields: [{ ...field('size', size), offset }],
      children: [],
    })),
  };
}

/** Three numbers of 7 bits, then the patch level: year since 2000 and month. */
function versionText(osVersion: number): string {
  if (osVersion === 0) return 'none';
  const version = [osVersion >>> 25, (osVersion >>> 18) & 0x7f, (osVersion >>> 11) & 0x7f];
  const month = String(osVersion & 0xf).padStart(2, '0');
  return `${version.join('.')}, patch level ${2000 + ((osVersion >>> 4) & 0x7f)}-${month}`;
}
