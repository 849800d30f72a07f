/** What a signer copies, and what becomes of archives that are not as they should be. */

import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { readLocalHeader } from '../../../../src/formats/zip/entry.ts';
import { readZip, type ZipEntry } from '../../../../src/formats/zip/read.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { bytesContent } from '../../../../src/io/file-tree.ts';
import { verifyPayload } from '../../../../src/signing/apk/verify.ts';
import { pattern, sign, testApk, testEntries } from './fixtures.ts';

const EOCD_OFFSET_AT = 16;

/** The archive with bytes put in at `at`; entries behind them and the directory move. */
async function withGap(apk: Uint8Array, at: number, gap: Uint8Array): Promise<Uint8Array> {
  const { entries, end, endOffset } = await readZip(bytesSource(apk));
  const out = Buffer.concat([apk.subarray(0, at), gap, apk.subarray(at)]);
  for (const { localHeaderOffset, recordOffset } of entries) {
    if (localHeaderOffset < at) continue;
    out.writeUInt32LE(localHeaderOffset + gap.length, recordOffset + gap.length + 42);
  }
  out.writeUInt32LE(
    end.centralDirectoryOffset + gap.length,
    endOffset + gap.length + EOCD_OFFSET_AT,
  );
  return out;
}

async function entryOf(apk: Uint8Array, name: string): Promise<ZipEntry> {
  const { entries } = await readZip(bytesSource(apk));
  const entry = entries.find((each) => each.name === name);
  if (entry === undefined) throw new Error(`There is no ${name}`);
  return entry;
}

const dataOffset = async (apk: Uint8Array, name: string): Promise<number> =>
  (await readLocalHeader(bytesSource(apk), await entryOf(apk, name))).dataOffset;

const LIBRARY = 'lib/x86_64/libhello.so';

describe('gaps', () => {
  test('of zeros are left out, at the start, between entries and at the end', async () => {
    const plain = await testApk();
    const expected = (await sign(plain)).apk;
    const { end } = await readZip(bytesSource(plain));
    const { localHeaderOffset } = await entryOf(plain, 'assets/hello.txt');
    for (const at of [0, localHeaderOffset, end.centralDirectoryOffset]) {
      const { apk } = await sign(await withGap(plain, at, new Uint8Array(4096)));
      expect(Buffer.from(apk).equals(expected), `gap at ${at}`).toBe(true);
    }
  });

  test('of anything else are refused, and left out when that is asked for', async () => {
    const plain = await testApk();
    const { end } = await readZip(bytesSource(plain));
    const { localHeaderOffset } = await entryOf(plain, 'assets/hello.txt');
    for (const at of [0, localHeaderOffset, end.centralDirectoryOffset]) {
      const input = await withGap(plain, at, pattern(4096));
      await expect(sign(input)).rejects.toMatchObject({
        code: 'trailing-data',
        offset: at,
        hint: 'Sign with --drop-gaps to leave them out',
      });
      const { apk } = await sign(input, { dropGaps: true });
      expect(Buffer.from(apk).equals((await sign(plain)).apk)).toBe(true);
    }
  });
});

describe('alignment', () => {
  /** An APK whose entries all stand one byte too far. */
  const crooked = async (): Promise<Uint8Array> =>
    withGap(await testApk(testEntries(5000)), 0, new Uint8Array(1));

  test('is mended, for pages of 4096 and 16384 bytes', async () => {
    for (const libraryPage of [4096, 16384]) {
      const { apk } = await sign(await crooked(), { alignment: { libraryPage } });
      expect((await dataOffset(apk, LIBRARY)) % libraryPage).toBe(0);
      expect((await dataOffset(apk, 'assets/hello.txt')) % 4).toBe(0);
      await verifyPayload(bytesSource(apk));
    }
  });

  test('of larger pages serves smaller ones, and stays', async () => {
    const large = await sign(await crooked(), { alignment: { libraryPage: 16384 } });
    const again = await sign(large.apk, { alignment: { libraryPage: 4096 } });
    expect(Buffer.from(again.apk).equals(large.apk)).toBe(true);
  });

  test('is kept as it is when that is asked for', async () => {
    const input = await crooked();
    const before =
      (await dataOffset(input, LIBRARY)) - (await entryOf(input, LIBRARY)).localHeaderOffset;
    const { apk } = await sign(input, { alignment: 'kept' });
    const after =
      (await dataOffset(apk, LIBRARY)) - (await entryOf(apk, LIBRARY)).localHeaderOffset;
    expect(after).toBe(before);
  });
});

describe('refused are', () => {
  test.each<[string, (apk: Buffer, entries: readonly ZipEntry[]) => void]>([
    [
      'entries that overlap',
      (apk, [first, second]) => {
        apk.writeUInt32LE(first?.localHeaderOffset ?? 0, (second?.recordOffset ?? 0) + 42);
      },
    ],
    [
      'entries that reach beyond the archive',
      (apk, entries) => {
        const at = entries.at(-1)?.recordOffset ?? 0;
        for (const field of [20, 24]) apk.writeUInt32LE(0x7fffffff, at + field);
      },
    ],
    [
      'counts that are not those of the directory',
      (apk) => {
        apk.writeUInt16LE(99, apk.length - 22 + 10);
      },
    ],
  ])('%s', async (_name, change) => {
    const apk = Buffer.from(await testApk());
    const { entries } = await readZip(bytesSource(apk));
    change(apk, entries);
    await expect(sign(apk)).rejects.toBeInstanceOf(FormatError);
  });

  test('data that is not as its checksum says, of small APKs, for v1 and when it is asked for', async () => {
    const change = async (size: number): Promise<Buffer> => {
      const apk = Buffer.from(await testApk(testEntries(size)));
      const at = await dataOffset(apk, LIBRARY);
      apk[at] = (apk[at] ?? 0) ^ 1;
      return apk;
    };
    const wrong = { code: 'bad-checksum' };
    await expect(sign(await change(5000))).rejects.toMatchObject(wrong);
    const large = await change(9 << 20);
    await expect(sign(large)).resolves.toBeDefined();
    await expect(sign(large, { checkContents: true })).rejects.toMatchObject(wrong);
    await expect(sign(large, { schemes: { v3: false } })).rejects.toMatchObject(wrong);
  });

  test('archive comments that look like another end of the archive', async () => {
    const apk = Buffer.from(await testApk());
    const comment = Buffer.concat([Buffer.from('PK\x05\x06'), Buffer.alloc(10)]);
    apk.writeUInt16LE(comment.length, apk.length - 2);
    await expect(sign(Buffer.concat([apk, comment]))).rejects.toMatchObject({ code: 'bad-value' });
  });

  test('two entries of one name, even of those that are left out', async () => {
    const text = (value: string) => bytesContent(new TextEncoder().encode(value));
    const apk = Buffer.from(
      await testApk([
        { name: 'META-INF/A.SF', content: text('x') },
        { name: 'META-INF/B.SF', content: text('y') },
      ]),
    );
    for (let at = apk.indexOf('META-INF/B.SF'); at !== -1; at = apk.indexOf('META-INF/B.SF')) {
      apk.write('A', at + 'META-INF/'.length);
    }
    await expect(sign(apk)).rejects.toThrow(/listed twice/);
  });
});

test('comments of the archive and of entries are left out', async () => {
  const plain = await testApk();
  const commented = Buffer.concat([plain, Buffer.from('hello')]);
  commented.writeUInt16LE(5, plain.length - 2);
  expect(Buffer.from((await sign(commented)).apk).equals((await sign(plain)).apk)).toBe(true);
});
