import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { extractVmlinux } from '../../../../src/formats/boot-image/bz-image.ts';
import { findPvhEntry } from '../../../../src/formats/boot-image/elf.ts';
import { decodeLz4Legacy } from '../../../../src/formats/boot-image/lz4-legacy.ts';

/** A small ELF kernel for x86-64 with one note segment. */
function kernel(noteType = 18, noteName = 'Xen\0'): Uint8Array {
  const elf = new Uint8Array(400);
  const view = new DataView(elf.buffer);
  elf.set(Buffer.from('\x7fELF\x02\x01', 'latin1'));
  view.setUint16(18, 62, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 4, true);
  view.setBigUint64(72, 120n, true);
  view.setBigUint64(96, 20n, true);
  view.setUint32(120, 4, true);
  view.setUint32(124, 4, true);
  view.setUint32(128, noteType, true);
  elf.set(Buffer.from(noteName, 'latin1'), 132);
  view.setUint32(136, 0x1000850, true);
  return elf;
}

const u32 = (value: number): Buffer => {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value);
  return out;
};

/** A legacy LZ4 stream of literals only. */
function lz4Literals(data: Uint8Array): Buffer {
  const lengths = Array.from({ length: Math.floor((data.length - 15) / 255) }, () => 255);
  const head = Buffer.from([0xf0, ...lengths, (data.length - 15) % 255]);
  const block = Buffer.concat([head, data]);
  return Buffer.concat([u32(0x184c2102), u32(block.length), block]);
}

/** A bzImage around a payload. */
function bzImage(payload: Uint8Array): Uint8Array {
  const image = new Uint8Array(1024 + 16 + payload.length + 100);
  const view = new DataView(image.buffer);
  image[0x1f1] = 1;
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, 0x020f, true);
  view.setUint32(0x248, 16, true);
  view.setUint32(0x24c, payload.length, true);
  image.set(payload, 1024 + 16);
  return image;
}

const lz4Kernel = (elf = kernel()): Uint8Array =>
  bzImage(Buffer.concat([lz4Literals(elf), u32(elf.length)]));

describe('extractVmlinux', () => {
  test('unpacks LZ4, gzip and uncompressed kernels and finds the PVH entry', async () => {
    const elf = kernel();
    const expected = { elf, pvhEntry: 0x1000850 };
    expect(await extractVmlinux(lz4Kernel())).toEqual({ ...expected, compression: 'lz4' });
    expect(await extractVmlinux(bzImage(gzipSync(elf)))).toEqual({
      ...expected,
      compression: 'gzip',
    });
    expect(await extractVmlinux(bzImage(elf))).toMatchObject({ compression: 'none' });
  });

  test('hands XZ to the decoder it was given, with the size to reach', async () => {
    const elf = kernel();
    const stream = Buffer.from('fd377a585a00aabb', 'hex');
    const image = bzImage(Buffer.concat([stream, u32(elf.length)]));
    await expect(extractVmlinux(image)).rejects.toMatchObject({ code: 'unsupported' });
    const asked: [number, number][] = [];
    const xz = (data: Uint8Array, size: number): Promise<Uint8Array> => {
      asked.push([data.length, size]);
      return Promise.resolve(elf);
    };
    expect((await extractVmlinux(image, { xz })).compression).toBe('xz');
    expect(asked).toEqual([[stream.length, elf.length]]);
    const short = (): Promise<Uint8Array> => Promise.resolve(elf.subarray(0, 399));
    await expect(extractVmlinux(image, { xz: short })).rejects.toThrow(FormatError);
  });

  test('refuses what is no bzImage, an old protocol, a payload outside of the file', async () => {
    const change = (edit: (view: DataView) => void): Uint8Array => {
      const image = lz4Kernel();
      edit(new DataView(image.buffer));
      return image;
    };
    for (const [image, code] of [
      [new Uint8Array(100), 'truncated'],
      [change((view) => view.setUint32(0x202, 0)), 'bad-magic'],
      [change((view) => view.setUint16(0x206, 0x0207, true)), 'bad-version'],
      [change((view) => view.setUint32(0x24c, 0xffffffff, true)), 'out-of-range'],
      [change((view) => view.setUint32(0x248, 0xfffffff0, true)), 'out-of-range'],
      [change((view) => view.setUint32(1040, 0)), 'unsupported'],
    ] as const) {
      await expect(extractVmlinux(image)).rejects.toMatchObject({ code });
    }
  });

  test('refuses a kernel that a VMM cannot enter by PVH, and one for another machine', async () => {
    await expect(extractVmlinux(lz4Kernel(kernel(6)))).rejects.toThrow(/PVH/);
    await expect(extractVmlinux(lz4Kernel(kernel(18, 'GNU\0')))).rejects.toThrow(/PVH/);
    const arm = kernel();
    arm[18] = 183;
    await expect(extractVmlinux(lz4Kernel(arm))).rejects.toMatchObject({ code: 'unsupported' });
  });

  test('any change of the headers is decoded or gives a FormatError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(1600), fc.nat(255), async (at, value) => {
        const image = lz4Kernel();
        image[at % image.length] = value;
        const outcome = await extractVmlinux(image).then(
          () => 'decoded',
          (error: unknown) => (error instanceof FormatError ? 'refused' : error),
        );
        expect(outcome).toMatch(/^(decoded|refused)$/);
      }),
      { numRuns: 500 },
    );
  });
});

describe('LZ4', () => {
  test('matches may overlap their own output', () => {
    // Three literals, a match of 10 bytes from 3 back, then two literals.
    const block = Buffer.from([0x36, 0x61, 0x62, 0x63, 3, 0, 0x20, 0x79, 0x7a]);
    const stream = Buffer.concat([u32(0x184c2102), u32(block.length), block]);
    expect(Buffer.from(decodeLz4Legacy(stream, 15)).toString()).toBe('abcabcabcabcayz');
    expect(() => decodeLz4Legacy(stream, 14)).toThrow(FormatError);
    expect(() => decodeLz4Legacy(stream, 16)).toThrow(FormatError);
  });

  test('a stream that claims more than it can hold is refused before memory is taken', () => {
    expect(() => decodeLz4Legacy(u32(0x184c2102), 2 ** 32)).toThrow(FormatError);
  });
});

describe('findPvhEntry', () => {
  test('any bytes behind the magic are read or give a FormatError', () => {
    fc.assert(
      fc.property(fc.nat(399), fc.uint8Array({ minLength: 1, maxLength: 8 }), (at, junk) => {
        const elf = kernel();
        elf.set(junk.subarray(0, elf.length - at), at);
        try {
          findPvhEntry(elf);
          expect(elf[0]).toBe(0x7f);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
    );
  });
});
