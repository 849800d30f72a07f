/** Which format a file has, told by its first bytes or its last. */

import { toHex } from '../core/digest.ts';
import { isBzImage } from '../formats/boot-image/bz-image.ts';
import { isSparse } from '../formats/sparse/reader.ts';
import type { ByteSource } from '../io/byte-source.ts';

/** The formats of files. */
export const fileKinds = [
  'apk',
  'idsig',
  'vbmeta',
  'erofs',
  'gpt',
  'initrd',
  'payload-metadata',
  'verity',
  'fs-verity',
  'boot.img',
  'sparse',
  'dsse',
  'axml',
  'elf',
  'tar',
  'deb',
  'dice',
  'json',
  'zip',
  'kernel',
] as const;
export type FileKind = (typeof fileKinds)[number];

const ascii = (text: string): string => Buffer.from(text, 'latin1').toString('hex');

/** Formats that begin with these bytes. */
const MAGIC: readonly (readonly [hex: string, kind: FileKind])[] = [
  [ascii('AVB0'), 'vbmeta'],
  [ascii('070701'), 'initrd'],
  [ascii('070702'), 'initrd'],
  [ascii('verity'), 'verity'],
  [ascii('FSVerity'), 'fs-verity'],
  [ascii('ANDROID!'), 'boot.img'],
  [ascii('!<arch>\n'), 'deb'],
  ['03000800', 'axml'],
  ['1f8b', 'tar'],
  ['fd377a585a00', 'tar'],
  ['28b52ffd', 'tar'],
];

const HEAD = 1024 + 8;

/** @returns undefined when it is none that is known. */
export async function detectKind(source: ByteSource): Promise<FileKind | undefined> {
  const head = await source.read(0, Math.min(HEAD, source.size));
  const at = (offset: number, length: number): string =>
    toHex(head.subarray(offset, offset + length));
  const start = at(0, 8);
  if (start.startsWith('504b0304') || start.startsWith('504b0506')) {
    return (await isApk(source, head)) ? 'apk' : 'zip';
  }
  const isElf = start.startsWith('7f454c46');
  const known = MAGIC.find(([magic]) => start.startsWith(magic));
  if (known !== undefined) return known[1];
  if (isBzImage(head)) return 'kernel';
  if (await isSparse(source)) return 'sparse';
  if (at(512, 8) === ascii('EFI PART')) return 'gpt';
  // Both an EROFS image and a kernel may end in an AVB footer; the file system says more.
  if (at(1024, 4) === 'e2e1f5e0') return 'erofs';
  if (source.size >= 64) {
    const footer = await source.read(source.size - 64, 4);
    if (toHex(footer) === ascii('AVBf')) return isElf || isArm64(head) ? 'kernel' : 'vbmeta';
  }
  if (isElf) return 'elf';
  if (isArm64(head)) return 'kernel';
  if (at(257, 5) === ascii('ustar')) return 'tar';
  if (start.startsWith('02000000')) return 'idsig';
  return detectText(head) ?? (isHandover(head) ? 'dice' : undefined);
}

const isArm64 = (head: Uint8Array): boolean => toHex(head.subarray(56, 60)) === ascii('ARM\x64');

/** An archive with a signing block, or with Android's manifest as one of its first entries. */
async function isApk(source: ByteSource, head: Uint8Array): Promise<boolean> {
  const text = Buffer.from(head).toString('latin1');
  if (text.includes('AndroidManifest.xml') || text.includes('META-INF/')) return true;
  // The end has the names once more.
  const size = Math.min(source.size, 1 << 16);
  const tail = Buffer.from(await source.read(source.size - size, size)).toString('latin1');
  return tail.includes('APK Sig Block 42') || tail.includes('AndroidManifest.xml');
}

function detectText(head: Uint8Array): FileKind | undefined {
  const text = Buffer.from(head).toString('latin1');
  if (/^\s*\{\s*"(?:payload|payloadType|signatures)"/.test(text)) return 'dsse';
  return /^\s*\{\s*"/.test(text) ? 'json' : undefined;
}

/** A CBOR map whose first key is 1, a byte string of 32 bytes; or an array that begins with a COSE key. */
const isHandover = (head: Uint8Array): boolean =>
  /^(?:a[23]015820|8[2-9a-f]a[3-6]01)/.test(toHex(head.subarray(0, 8)));
