import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { writePayloadDisk } from '../../../../src/builder/steps/payload-disk.ts';
import { settleDisk, settleFile } from '../../../../src/builder/steps/settle-file.ts';
import { readPayloadParts } from '../../../../src/bundle/attest/payload-parts.ts';
import { openDisk } from '../../../../src/bundle/open.ts';
import { openFileSource } from '../../../../src/io/byte-source.ts';
import { bytesContent } from '../../../../src/io/file-tree.ts';
import { loadNativeLibrary } from '../../../../src/native/library.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';
import { pattern, sign, testApk } from '../../signing/apk/fixtures.ts';

const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('settleFile()', () => {
  test.each([0, 1, 63, 64, 4096, 3_000_001])(
    'gives size and SHA-256 of %d bytes, with the native library and without',
    async (size) => {
      const folder = tmpDir();
      const bytes = Buffer.alloc(size, 'microbuild');
      writeFileSync(join(folder, 'file'), bytes);
      const expected = { path: 'file', size, sha256: sha256Of(bytes) };
      expect(await settleFile(folder, 'file', undefined)).toEqual(expected);
      const library = await loadNativeLibrary();
      expect(library).toBeDefined();
      expect(await settleFile(folder, 'file', library)).toEqual(expected);
    },
  );
});

test('settleDisk() tells of a disk and of what is on it what reading each of them tells', async () => {
  const folder = tmpDir();
  const name = 'extra';
  const file = 'payload-extra.img';
  const start = { kind: 'config', payloadBinaryName: 'libhello.so', extraApkCount: 0 } as const;
  const contents = { odd: pattern(33), packed: pattern(900, 2), stored: pattern(70_001, 3) };
  const entries = Object.entries(contents).map(([each, bytes]) => ({
    name: `lib/x86_64/lib${each}.so`,
    content: bytesContent(bytes),
    compress: each === 'packed',
  }));
  const { apk, idsig } = await sign(await testApk(entries));
  await writePayloadDisk(join(folder, file), { name, start }, (disk) =>
    disk.addApk(async (place) => {
      await place.apk.write(0, apk);
      await place.idsig.write(0, idsig);
    }),
  );
  const source = await openFileSource(join(folder, file));
  const parts = await readPayloadParts(openDisk(source), { name, file });
  await source.close();
  const [{ libraries, ...read } = { libraries: [] }] = parts.apks;
  expect(libraries.map((each) => each.sha256)).toEqual(Object.values(contents).map(sha256Of));
  expect(read).toMatchObject({
    apk: { sha256: sha256Of(apk) },
    idsig: { sha256: sha256Of(idsig) },
  });
  const library = await loadNativeLibrary();
  expect(library).toBeDefined();
  const settled = await settleFile(folder, file, undefined);
  expect(await settleDisk(folder, { name, file }, library)).toEqual({ file: settled, parts });
  expect(await settleDisk(folder, { name, file }, undefined)).toEqual({ file: settled });
});
