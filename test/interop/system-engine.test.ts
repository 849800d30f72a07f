/** The bindings of libcryptsetup and libfsverity: against the programs made of them, and against our own trees. */

import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../src/core/digest.ts';
import { EnvironmentError, UsageError, VerificationError } from '../../src/core/errors.ts';
import { bytesSource, openFileSource } from '../../src/io/byte-source.ts';
import { enableFsVerity, measureFsVerity } from '../../src/native/fs-verity-ioctl.ts';
import {
  formatWithLibcryptsetup,
  readSuperblockWithLibcryptsetup,
  verifyWithLibcryptsetup,
  type LibcryptsetupFormat,
} from '../../src/native/libcryptsetup.ts';
import { digestWithLibfsverity, signWithLibfsverity } from '../../src/native/libfsverity.ts';
import { loadNativeLibrary } from '../../src/native/library.ts';
import { openSystemLibrary } from '../../src/native/system-library.ts';
import { formatDmVerity } from '../../src/verity/dm-verity.ts';
import { fsVerityDigest } from '../../src/verity/fs-verity.ts';
import { computeHashTree } from '../../src/verity/hash-tree.ts';
import { parseUuid } from '../../src/verity/uuid.ts';
import { runProcess } from '../support/cli.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

const SALT = fromHex('00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210');
const NO_SALT = new Uint8Array(0);
const USUAL = {
  hashType: 1,
  algorithm: 'sha256',
  dataBlockSize: 4096,
  hashBlockSize: 4096,
  salt: SALT,
} as const;
const UUID = '6d696372-6f62-7569-6c64-766572697479';

/** Bytes that look random and are the same each time. */
function noise(size: number): Uint8Array {
  const bytes = createHash('shake256', { outputLength: size }).update('noise').digest();
  return new Uint8Array(bytes);
}

function dataFile(size: number): { dir: string; dataPath: string; hashPath: string } {
  const dir = tmpDir();
  const dataPath = join(dir, 'data');
  writeFileSync(dataPath, noise(size));
  return { dir, dataPath, hashPath: join(dir, 'hash') };
}

const digestOf = (path: string): string =>
  createHash('sha256').update(readFileSync(path)).digest('hex');

function flip(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes[offset]! ^= 1;
  writeFileSync(path, bytes);
}

/** `veritysetup format` with the same parameters; the root digest in hexadecimal. */
function veritysetup(format: LibcryptsetupFormat, hashPath: string, fecPath: string): string {
  const { hashOffset, fec, uuid, salt } = format;
  const { status, stdout, stderr } = runTool('veritysetup', [
    'format',
    `--format=${format.hashType}`,
    `--hash=${format.algorithm}`,
    `--data-block-size=${format.dataBlockSize}`,
    `--hash-block-size=${format.hashBlockSize}`,
    `--salt=${salt.length === 0 ? '-' : toHex(salt)}`,
    ...(uuid === undefined ? ['--no-superblock'] : [`--uuid=${uuid}`]),
    ...(hashOffset === undefined ? [] : [`--hash-offset=${hashOffset}`]),
    ...(fec === undefined ? [] : [`--fec-device=${fecPath}`, `--fec-roots=${fec.roots}`]),
    format.dataPath,
    hashPath,
  ]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return /^Root hash: +\t(\S+)$/m.exec(stdout)?.[1] ?? '';
}

const shapes = [
  { name: 'the usual', hashType: 1, algorithm: 'sha256', sizes: [4096, 4096], salt: SALT },
  { name: 'type 0', hashType: 0, algorithm: 'sha256', sizes: [4096, 4096], salt: SALT },
  { name: 'sha1, no salt', hashType: 1, algorithm: 'sha1', sizes: [4096, 4096], salt: NO_SALT },
  { name: 'sha384, small blocks', hashType: 0, algorithm: 'sha384', sizes: [512, 512], salt: SALT },
  { name: 'sha512, two sizes', hashType: 1, algorithm: 'sha512', sizes: [1024, 4096], salt: SALT },
  { name: 'long salt', hashType: 1, algorithm: 'sha256', sizes: [4096, 1024], salt: noise(256) },
] as const;

describe('libcryptsetup', () => {
  test.each(shapes)(
    '$name: writes what veritysetup writes, reads it back, verifies it',
    async ({ hashType, algorithm, sizes, salt }) => {
      const { dir, dataPath, hashPath } = dataFile(300 * 4096);
      const [dataBlockSize, hashBlockSize] = sizes;
      const format = {
        dataPath,
        hashPath,
        hashType,
        algorithm,
        dataBlockSize,
        hashBlockSize,
        salt,
        uuid: UUID,
      };
      const { rootDigest } = await formatWithLibcryptsetup(format);
      const theirs = join(dir, 'theirs');
      expect(toHex(rootDigest)).toBe(veritysetup(format, theirs, ''));
      expect(Buffer.compare(readFileSync(hashPath), readFileSync(theirs))).toBe(0);

      expect(await readSuperblockWithLibcryptsetup(hashPath)).toEqual({
        hashType,
        algorithm,
        dataBlockSize,
        hashBlockSize,
        salt: new Uint8Array(salt),
        uuid: UUID,
        dataBlocks: (300 * 4096) / dataBlockSize,
      });
      const verify = { dataPath, hashPath, rootDigest, tree: undefined };
      expect(await verifyWithLibcryptsetup(verify)).toEqual({ messages: [] });
    },
  );

  test.each(shapes.filter(({ hashType, sizes }) => hashType === 1 && sizes[0] === sizes[1]))(
    '$name: without a superblock the hash area is our tree',
    async ({ hashType, algorithm, sizes, salt }) => {
      const { dataPath, hashPath } = dataFile(517 * 4096);
      const [dataBlockSize, hashBlockSize] = sizes;
      const tree = { hashType, algorithm, dataBlockSize, hashBlockSize, salt };
      const places = { dataPath, hashPath };
      const { rootDigest } = await formatWithLibcryptsetup({ ...places, ...tree, uuid: undefined });
      const source = await openFileSource(dataPath);
      const ours = await computeHashTree(source, { algorithm, blockSize: dataBlockSize, salt });
      await source.close();
      expect(toHex(ours.rootDigest)).toBe(toHex(rootDigest));
      expect(Buffer.compare(readFileSync(hashPath), ours.tree)).toBe(0);

      writeFileSync(hashPath, ours.tree);
      await verifyWithLibcryptsetup({ ...places, tree, rootDigest });
    },
  );

  test('refuses another root digest, changed data and a changed tree', async () => {
    const { dataPath, hashPath } = dataFile(200 * 4096);
    const format = { ...USUAL, dataPath, hashPath, uuid: UUID };
    const { rootDigest } = await formatWithLibcryptsetup(format);
    const verify = (digest = rootDigest): Promise<unknown> =>
      verifyWithLibcryptsetup({ dataPath, hashPath, rootDigest: digest, tree: undefined });

    await expect(verify(rootDigest.map((byte) => byte ^ 0xff))).rejects.toMatchObject({
      code: 'root-digest-mismatch',
    });
    flip(dataPath, 150 * 4096);
    await expect(verify()).rejects.toBeInstanceOf(VerificationError);
    flip(dataPath, 150 * 4096);
    await verify();
    flip(hashPath, 2 * 4096 + 5);
    await expect(verify()).rejects.toMatchObject({ code: 'digest-mismatch' });
  });

  test('hash area behind the data at an offset, more data than is covered', async () => {
    const { dir, dataPath } = dataFile(64 * 4096);
    const theirs = join(dir, 'theirs');
    truncateSync(dataPath, 100 * 4096);
    writeFileSync(theirs, readFileSync(dataPath));
    const format: LibcryptsetupFormat = {
      ...USUAL,
      dataPath,
      hashPath: dataPath,
      hashOffset: 70 * 4096,
      dataBlocks: 64,
      uuid: UUID,
    };
    const { rootDigest } = await formatWithLibcryptsetup(format);
    const { status } = runTool('veritysetup', [
      'verify',
      `--hash-offset=${70 * 4096}`,
      dataPath,
      dataPath,
      toHex(rootDigest),
    ]);
    expect(status).toBe(0);
    await verifyWithLibcryptsetup({
      dataPath,
      hashPath: dataPath,
      hashOffset: 70 * 4096,
      rootDigest,
      tree: undefined,
    });
    expect(readFileSync(dataPath).subarray(0, 64 * 4096)).toEqual(
      readFileSync(theirs).subarray(0, 64 * 4096),
    );
  });

  test.each([2, 24])('%i FEC roots: the parity of veritysetup, which repairs', async (roots) => {
    const { dir, dataPath, hashPath } = dataFile(260 * 4096);
    const fec = { path: join(dir, 'fec'), roots };
    const format: LibcryptsetupFormat = { ...USUAL, dataPath, hashPath, fec, uuid: UUID };
    const { rootDigest } = await formatWithLibcryptsetup(format);
    const theirs = join(dir, 'theirs.fec');
    veritysetup(format, join(dir, 'theirs'), theirs);
    expect(Buffer.compare(readFileSync(fec.path), readFileSync(theirs))).toBe(0);

    flip(dataPath, 77 * 4096 + 3);
    const verify = { dataPath, hashPath, rootDigest, tree: undefined };
    await expect(verifyWithLibcryptsetup(verify)).rejects.toBeInstanceOf(VerificationError);
    const { messages } = await verifyWithLibcryptsetup({ ...verify, fec });
    expect(messages.join('\n')).toContain('Found 1 repairable errors');
  });

  test('names what it does not accept, and creates nothing for data that is not there', async () => {
    const { dir, dataPath, hashPath } = dataFile(4096);
    const format: LibcryptsetupFormat = { ...USUAL, dataPath, hashPath, uuid: UUID };
    const refusals: [Partial<LibcryptsetupFormat>, unknown][] = [
      [{ dataBlockSize: 1000 }, UsageError],
      [{ hashBlockSize: 0 }, UsageError],
      [{ hashOffset: 7 }, UsageError],
      [{ fec: { path: join(dir, 'fec'), roots: 99 } }, UsageError],
      [{ uuid: 'no uuid' }, UsageError],
      [{ salt: new Uint8Array(257) }, RangeError],
      [{ dataBlocks: -1 }, RangeError],
      [{ dataBlockSize: 2 ** 40 }, RangeError],
    ];
    for (const [change, error] of refusals) {
      await expect(formatWithLibcryptsetup({ ...format, ...change })).rejects.toBeInstanceOf(error);
    }
    const absent = formatWithLibcryptsetup({ ...format, dataPath: join(dir, 'absent') });
    await expect(absent).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(readSuperblockWithLibcryptsetup(dataPath)).rejects.toBeInstanceOf(UsageError);
    await expect(formatWithLibcryptsetup(format)).resolves.toBeDefined();
  });
});

describe('libfsverity', () => {
  const cases = [0, 1, 4096, 4097, 300_000, 3_000_000].flatMap((size) => [
    { size, algorithm: 'sha256', blockSize: 4096, salt: NO_SALT } as const,
    { size, algorithm: 'sha512', blockSize: 1024, salt: SALT } as const,
  ]);

  test.each(cases)(
    '$size bytes, $algorithm, blocks of $blockSize: the digest of the fsverity program',
    async ({ size, algorithm, blockSize, salt }) => {
      const { dataPath } = dataFile(size);
      const { stdout } = runTool('fsverity', [
        'digest',
        '--compact',
        `--hash-alg=${algorithm}`,
        `--block-size=${blockSize}`,
        `--salt=${toHex(salt)}`,
        dataPath,
      ]);
      const digest = await digestWithLibfsverity(dataPath, { algorithm, blockSize, salt });
      expect(toHex(digest)).toBe(stdout.trim());
    },
  );

  test('signs as the fsverity program does', async () => {
    const { dir, dataPath } = dataFile(10_000);
    const [keyPath, certificatePath] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
    const made = runTool('openssl', [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-subj',
      '/CN=test',
      '-keyout',
      keyPath,
      '-out',
      certificatePath,
    ]);
    expect(made.status).toBe(0);
    const tree = { algorithm: 'sha256', blockSize: 4096, salt: NO_SALT } as const;
    const digest = await digestWithLibfsverity(dataPath, tree);
    const ours = await signWithLibfsverity(
      { algorithm: 'sha256', digest },
      { keyPath, certificatePath },
    );
    const theirs = join(dir, 'signature');
    const signed = runTool('fsverity', [
      'sign',
      dataPath,
      theirs,
      `--key=${keyPath}`,
      `--cert=${certificatePath}`,
    ]);
    expect(signed.status).toBe(0);
    expect(Buffer.compare(readFileSync(theirs), ours)).toBe(0);

    const wrong = { keyPath: certificatePath, certificatePath };
    await expect(
      signWithLibfsverity({ algorithm: 'sha256', digest }, wrong),
    ).rejects.toBeInstanceOf(UsageError);
  });

  test('fails as the system does, and on parameters that it refuses', async () => {
    const { dir, dataPath } = dataFile(10);
    const tree = { algorithm: 'sha256', blockSize: 4096, salt: NO_SALT } as const;
    await expect(digestWithLibfsverity(join(dir, 'absent'), tree)).rejects.toMatchObject({
      code: 'ENOENT',
    });
    await expect(digestWithLibfsverity(dir, tree)).rejects.toMatchObject({ code: 'EISDIR' });
    await expect(digestWithLibfsverity(dataPath, { ...tree, blockSize: 3 })).rejects.toBeInstanceOf(
      UsageError,
    );
    await expect(
      digestWithLibfsverity(dataPath, { ...tree, salt: new Uint8Array(33) }),
    ).rejects.toBeInstanceOf(RangeError);
  });
});

describe('our own formats', () => {
  const blockSize = fc.integer({ min: 9, max: 16 }).map((log) => 2 ** log);

  test('formatDmVerity() writes what libcryptsetup writes, whatever the parameters', async () => {
    const dir = tmpDir();
    const parameters = fc.record({
      hashType: fc.constantFrom<0 | 1>(0, 1),
      algorithm: fc.constantFrom('sha256' as const, 'sha384' as const, 'sha512' as const),
      dataBlockSize: blockSize,
      hashBlockSize: blockSize,
      salt: fc.uint8Array({ maxLength: 256 }),
    });
    const placing = fc.record({
      blocks: fc.integer({ min: 1, max: 300 }),
      hasSuperblock: fc.boolean(),
      place: fc.integer({ min: 0, max: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(parameters, placing, async (tree, { blocks, hasSuperblock, place }) => {
        const folder = mkdtempSync(join(dir, 'run-'));
        const [dataPath, hashPath] = [join(folder, 'data'), join(folder, 'hash')];
        const data = noise(blocks * Math.min(tree.dataBlockSize, 8192));
        const whole = data.subarray(0, data.length - (data.length % tree.dataBlockSize));
        fc.pre(whole.length > 0);
        writeFileSync(dataPath, whole);
        const hashOffset = place * tree.hashBlockSize;
        const uuid = hasSuperblock ? UUID : undefined;
        const theirs = await formatWithLibcryptsetup({
          ...tree,
          dataPath,
          hashPath,
          hashOffset,
          uuid,
        });
        // As large as theirs: what neither writes is a hole there.
        const ours = new Uint8Array(readFileSync(hashPath).length);
        const written = await formatDmVerity(
          bytesSource(whole),
          {
            write(offset, chunk) {
              ours.set(chunk, offset);
              return Promise.resolve();
            },
          },
          { ...tree, hashOffset, hasSuperblock, uuid: parseUuid(UUID) },
        );
        expect(toHex(written.rootDigest)).toBe(toHex(theirs.rootDigest));
        expect(Buffer.compare(ours, readFileSync(hashPath))).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  test('fsVerityDigest() is what libfsverity computes, whatever the parameters', async () => {
    const path = join(tmpDir(), 'file');
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 300_000 }),
        fc.constantFrom('sha256' as const, 'sha512' as const),
        fc.integer({ min: 10, max: 16 }).map((log) => 2 ** log),
        fc.uint8Array({ maxLength: 32 }),
        async (size, algorithm, block, salt) => {
          const data = noise(Math.max(size, 1)).subarray(0, size);
          writeFileSync(path, data);
          const parameters = { algorithm, blockSize: block, salt };
          const { digest } = await fsVerityDigest(bytesSource(data), parameters);
          expect(toHex(digest)).toBe(toHex(await digestWithLibfsverity(path, parameters)));
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('--engine', () => {
  test.each([[], ['--fec-roots=2'], ['--format=0', '--hash=sha512', '--fec-roots=7']])(
    'native, js and system write the same bytes: %s',
    async (...options) => {
      const { dir, dataPath } = dataFile(130 * 4096);
      const results = [];
      for (const engine of ['native', 'js', 'system']) {
        const [hash, fec] = [join(dir, `${engine}.hash`), join(dir, `${engine}.fec`)];
        const { stdout, stderr, status } = await runProcess(
          process.execPath,
          [
            'bin/microbuild.js',
            'verity',
            'format',
            dataPath,
            hash,
            `--engine=${engine}`,
            '--json',
            '--quiet',
            ...options,
            ...(options.some((option) => option.startsWith('--fec'))
              ? [`--fec-device=${fec}`]
              : []),
          ],
          process.env,
        );
        expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
        const { rootDigest } = JSON.parse(stdout) as { rootDigest: string };
        const files = [hash, fec].filter((path) => existsSync(path)).map((path) => digestOf(path));
        results.push({ rootDigest, files });
      }
      expect(results[0]?.rootDigest).toMatch(/^[0-9a-f]{64}/);
      expect(results[0]?.files).toHaveLength(options.length === 0 ? 1 : 2);
      expect(results[1]).toEqual(results[0]);
      expect(results[2]).toEqual(results[0]);
    },
  );
});

test('a library that is not there is named with its package', async () => {
  const missing = openSystemLibrary({ soname: 'libabsent.so.7', debianPackage: 'libabsent7' });
  await expect(missing).rejects.toBeInstanceOf(EnvironmentError);
  await expect(missing).rejects.toMatchObject({
    missing: 'libabsent',
    hint: expect.stringContaining('apt-get install libabsent7') as unknown,
  });
});

const native = await loadNativeLibrary();
if (native === undefined) {
  process.stderr.write('fs-verity: the native library is not built, its tests are skipped\n');
}

/** What a kernel that has fs-verity does is tried in `test/boot/fs-verity.test.ts`. */
describe.skipIf(native === undefined)('fs-verity where the file system has none', () => {
  // Of all file systems the one that every Linux has and that never has fs-verity.
  const file = '/proc/version';

  test('measuring and enabling name the file and what to do', async () => {
    const attempts = [() => measureFsVerity(file, native), () => enableFsVerity(file, {}, native)];
    for (const attempt of attempts) {
      await expect(attempt()).rejects.toBeInstanceOf(EnvironmentError);
      await expect(attempt()).rejects.toMatchObject({
        missing: 'fs-verity',
        message: expect.stringContaining('/proc/version') as unknown,
        hint: expect.stringMatching(/ext4/) as unknown,
      });
    }
  });

  test('salts and signatures that no kernel takes are refused before it is asked', async () => {
    const [salt, signature] = [new Uint8Array(33), new Uint8Array(16129)];
    await expect(enableFsVerity(file, { salt }, native)).rejects.toBeInstanceOf(RangeError);
    await expect(enableFsVerity(file, { signature }, native)).rejects.toBeInstanceOf(RangeError);
    await expect(enableFsVerity(file, { blockSize: 0.5 }, native)).rejects.toBeInstanceOf(
      RangeError,
    );
  });

  test('a file that is not there fails as the system says', async () => {
    await expect(measureFsVerity(join(tmpDir(), 'absent'), native)).rejects.toMatchObject({
      code: 'ENOENT',
    });
  });
});
