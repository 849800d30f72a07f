import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import {
  bootPart,
  isAndroidBoot,
  readAndroidBoot,
} from '../../../../src/formats/boot-image/android-boot.ts';
import { readKernelImage } from '../../../../src/formats/boot-image/kernel-image.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';

const PAGE = 4096;
const KERNEL = Buffer.alloc(5000, 'kernel');
const RAMDISK = Buffer.alloc(300, 'ramdisk');
const EXTRA = Buffer.alloc(100, 'extra');

const padded = (...parts: Buffer[]): Buffer =>
  Buffer.concat(
    parts.flatMap((part) => [part, Buffer.alloc((PAGE - (part.length % PAGE)) % PAGE)]),
  );

/** An image as the documentation lays it out, by offsets. */
function bootImage(version: number, kernel: Buffer = KERNEL): Uint8Array {
  const head = Buffer.alloc(PAGE);
  head.write('ANDROID!');
  head.writeUInt32LE(version, 40);
  head.writeUInt32LE(kernel.length, 8);
  if (version >= 3) {
    head.writeUInt32LE(RAMDISK.length, 12);
    head.writeUInt32LE(0x1234, 16);
    head.write('quiet loglevel=3', 44);
    if (version === 4) head.writeUInt32LE(EXTRA.length, 1580);
    return padded(head, kernel, RAMDISK, ...(version === 4 ? [EXTRA] : []));
  }
  head.writeUInt32LE(RAMDISK.length, 16);
  head.writeUInt32LE(PAGE, 36);
  head.writeUInt32LE(0x1234, 44);
  head.write('quiet ', 64);
  head.write('loglevel=3', 608);
  if (version === 2) head.writeUInt32LE(EXTRA.length, 1648);
  return padded(head, kernel, RAMDISK, ...(version === 2 ? [EXTRA] : []));
}

/** 64 bytes that begin as an arm64 Image does. */
const arm64 = Buffer.alloc(64);
arm64.write('ARM\x64', 56, 'latin1');

describe('readAndroidBoot()', () => {
  it.each([0, 1, 2, 3, 4])('reads header version %i and where its parts are', async (version) => {
    const source = bytesSource(bootImage(version));
    expect(await isAndroidBoot(source)).toBe(true);
    const image = await readAndroidBoot(source);
    expect(image).toMatchObject({
      headerVersion: version,
      pageSize: PAGE,
      cmdline: 'quiet loglevel=3',
      osVersion: 0x1234,
    });
    const kernel = bootPart(source, image, 'kernel');
    expect(Buffer.compare(await kernel.read(0, kernel.size), KERNEL)).toBe(0);
    const ramdisk = bootPart(source, image, 'ramdisk');
    expect(Buffer.compare(await ramdisk.read(0, ramdisk.size), RAMDISK)).toBe(0);
    const last = version === 2 ? 'dtb' : version === 4 ? 'boot_signature' : undefined;
    if (last !== undefined) {
      const extra = bootPart(source, image, last);
      expect(Buffer.compare(await extra.read(0, extra.size), EXTRA)).toBe(0);
    }
    expect(() => bootPart(source, image, 'second')).toThrow(FormatError);
  });

  it('refuses what it cannot know, naming the field', async () => {
    const read = (at: number, value: number, version = 0): Promise<unknown> => {
      const image = Buffer.from(bootImage(version));
      image.writeUInt32LE(value, at);
      return readAndroidBoot(bytesSource(image)).catch((error: unknown) => error);
    };
    expect(await read(40, 5)).toMatchObject({ code: 'bad-version', field: 'header_version' });
    expect(await read(36, 1000)).toMatchObject({ code: 'bad-value', field: 'page_size' });
    expect(await read(8, 0xffff_ffff)).toMatchObject({ code: 'out-of-range' });
    expect(await read(12, 0xffff_ffff, 3)).toMatchObject({ field: 'ramdisk_size' });
    expect(await read(0, 7)).toMatchObject({ code: 'bad-magic' });
    const cut = bytesSource(bootImage(3).subarray(0, 1000));
    await expect(readAndroidBoot(cut)).rejects.toThrow(FormatError);
  });
});

describe('readKernelImage()', () => {
  it('finds an arm64 kernel in a boot.img, packed with gzip', async () => {
    const image = bytesSource(bootImage(4, gzipSync(arm64)));
    expect(await readKernelImage(image)).toMatchObject({
      kind: 'arm64',
      bytes: new Uint8Array(arm64),
      wrapping: ['boot.img', 'gzip'],
    });
  });

  it('unpacks the LZ4 stream of a kernel, whether or not its size stands behind it', async () => {
    const block = Buffer.concat([Buffer.from([0xf0, arm64.length - 15]), arm64]);
    const head = Buffer.alloc(8);
    head.writeUInt32LE(0x184c2102);
    head.writeUInt32LE(block.length, 4);
    const size = Buffer.alloc(4);
    size.writeUInt32LE(arm64.length);
    for (const end of [Buffer.alloc(0), size]) {
      const packed = bytesSource(Buffer.concat([head, block, end]));
      expect(await readKernelImage(packed)).toMatchObject({ kind: 'arm64', wrapping: ['lz4'] });
    }
    const wrong = Buffer.concat([head, block, Buffer.from([9, 0, 0, 0])]);
    await expect(readKernelImage(bytesSource(wrong))).rejects.toThrow(FormatError);
  });

  it('names what it does not know', async () => {
    const text = bytesSource(Buffer.from('#!/bin/sh\nexit 1\n'.repeat(50)));
    await expect(readKernelImage(text)).rejects.toThrow('begins with 0x2321');
    const frame = bytesSource(Buffer.from('04224d18000000', 'hex'));
    await expect(readKernelImage(frame)).rejects.toThrow('lz4 -l');
    const gzip = bytesSource(gzipSync(arm64).subarray(0, 20));
    await expect(readKernelImage(gzip)).rejects.toThrow('gzip is damaged');
  });

  it('reads or fails as a FormatError, whatever the bytes', async () => {
    const good = bootImage(2, gzipSync(arm64));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(1700), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        fc.nat(good.length),
        async (changes, length) => {
          const image = good.slice(0, length);
          for (const [at, value] of changes) if (at < length) image[at] = value;
          try {
            await readKernelImage(bytesSource(image));
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
