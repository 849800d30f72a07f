import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { FormatError, VerificationError } from '../../../../src/core/errors.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { bytesContent } from '../../../../src/io/file-tree.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import { compareApks } from '../../../../src/signing/detached/apk-compare.ts';
import {
  DETACHED_APK_START,
  formatDetachedApk,
  parseDetachedApk,
} from '../../../../src/signing/detached/apk-file.ts';
import { isOfSignature, isSigned, splitApk } from '../../../../src/signing/detached/apk-pieces.ts';
import { putApkTogether } from '../../../../src/signing/detached/apk-replace.ts';
import { sign, testApk, testEntries, testManifest, testSigner } from '../apk/fixtures.ts';

let build: Uint8Array;
let signed: Uint8Array;
beforeAll(async () => {
  build = await testApk();
  ({ apk: signed } = await sign(build, { schemes: { v1: true, v2: true, v3: true } }));
});

const split = (apk: Uint8Array) => splitApk(bytesSource(apk, 'app.apk'));

async function together(signature: Uint8Array, onto: Uint8Array): Promise<Uint8Array> {
  const sink = new MemorySink();
  await putApkTogether(await split(signature), bytesSource(onto, 'build.apk'), sink);
  return sink.bytes();
}

/** What is said of the build when it does not take the signature. */
const refusal = async (onto: Uint8Array): Promise<string> => {
  const error = await together(signed, onto).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(VerificationError);
  return (error as VerificationError).message;
};

describe('the signature of an APK', () => {
  test('gives the signed APK again, from the unsigned one, from itself, and from one of another signer', async () => {
    const { apk: other } = await sign(build);
    for (const onto of [build, signed, other]) {
      expect(Buffer.compare(await together(signed, onto), signed)).toBe(0);
    }
    expect(Buffer.compare(await together(other, signed), other)).toBe(0);
  });

  test('holds the certificate digest of a source stamp, which no build has', async () => {
    const stamp = { signer: await testSigner() };
    const { apk } = await sign(build, { stamp });
    expect(Buffer.from(apk).includes('stamp-cert-sha256')).toBe(true);
    expect(Buffer.compare(await together(apk, build), apk)).toBe(0);
    expect(Buffer.compare(await together(signed, apk), signed)).toBe(0);
  });

  test('is not put onto other content, and says which entries differ', async () => {
    const [library, text] = testEntries();
    if (library === undefined || text === undefined) throw new Error('two entries are expected');
    const changed = { ...text, content: bytesContent(Buffer.from('hullo\n')) };
    expect(await refusal(await testApk([library, changed]))).toContain(
      'assets/hello.txt: its content differs',
    );
    expect(await refusal(await testApk([library]))).toContain('assets/hello.txt: it is missing');
    const more = { name: 'assets/more', content: bytesContent(Buffer.from('more')) };
    expect(await refusal(await testApk([library, text, more]))).toContain(
      'assets/more: it was added',
    );
    expect(await refusal(await testApk([library, { ...text, compress: true }]))).toContain(
      'assets/hello.txt: the same content is compressed in one, stored in the other',
    );
    const manifest = { ...testManifest, versionCode: 4 };
    expect(await refusal(await testApk(testEntries(), manifest))).toContain('AndroidManifest.xml');
  });

  test('is over bytes, not over their checksum', async () => {
    const forged = Uint8Array.from(build);
    const at = Buffer.from(forged).indexOf('hello\n', Buffer.from(forged).indexOf('hello.txt'));
    forged[at] = 0x48;
    expect(await refusal(forged)).toContain('assets/hello.txt: its bytes differ');
  });

  test('that was changed gives nothing', async () => {
    const pieces = await split(signed);
    const wrong = { ...pieces, sha256: '00'.repeat(32) };
    const result = putApkTogether(wrong, bytesSource(build), new MemorySink());
    await expect(result).rejects.toMatchObject({ code: 'damaged' });
  });

  test('of an APK without one is none', async () => {
    expect(isSigned(await split(build))).toBe(false);
    expect(isSigned(await split(signed))).toBe(true);
  });
});

test('two APKs are compared in content and in signatures', async () => {
  const one = await split(signed);
  expect(compareApks(one, one)).toEqual({ differences: [], signatureDifferences: [] });
  const unsigned = compareApks(one, await split(build));
  expect(unsigned.differences).toEqual([]);
  expect(unsigned.signatureDifferences.map(({ path }) => path)).toContain('APK Signing Block');
  const other = compareApks(one, await split(await testApk(testEntries(301))));
  expect(other.differences).toEqual([
    { path: 'lib/x86_64/libhello.so', what: 'its content differs' },
  ]);
});

test('the files of a signature are told by their names', () => {
  for (const name of [
    'META-INF/MANIFEST.MF',
    'META-INF/CERT.SF',
    'META-INF/cert.rsa',
    'META-INF/A.DSA',
    'META-INF/A.EC',
    'META-INF/SIG-A',
    'stamp-cert-sha256',
  ]) {
    expect([name, isOfSignature(name)]).toEqual([name, true]);
  }
  for (const name of ['META-INF/', 'META-INF/services/x.SF', 'META-INF/x.txt', 'CERT.RSA']) {
    expect([name, isOfSignature(name)]).toEqual([name, false]);
  }
});

describe('the file of a signature', () => {
  test('is read as it was written, and begins as such files do', async () => {
    const pieces = await split(signed);
    const text = formatDetachedApk(pieces);
    expect(parseDetachedApk(text, 'file')).toEqual({
      ...pieces,
      pieces: pieces.pieces.map((each) =>
        each.kind === 'entry' ? each : { ...each, bytes: Uint8Array.from(each.bytes) },
      ),
    });
    expect(text.startsWith(DETACHED_APK_START)).toBe(true);
  });

  test.each<[string, (document: Record<string, unknown>) => void]>([
    ['size', (document) => (document['size'] = 1)],
    ['more', (document) => (document['more'] = 1)],
    ['schemaVersion', (document) => (document['schemaVersion'] = 2)],
    ['pieces[0].bytes', (document) => (document['pieces'] = [{ bytes: '!!' }])],
    ['pieces[0].entry.name', (document) => (document['pieces'] = [{ entry: {} }])],
    ['pieces[0].more', (document) => (document['pieces'] = [{ signingBlock: '', more: 1 }])],
    [
      'pieces',
      (document) => {
        const pieces = document['pieces'] as { entry?: { compressedSize: number } }[];
        const piece = pieces.find(({ entry }) => entry !== undefined);
        document['pieces'] = [piece, piece];
        document['size'] = 2 * (piece?.entry?.compressedSize ?? 0);
      },
    ],
  ])('with a wrong %s is refused', async (field, edit) => {
    const document = JSON.parse(formatDetachedApk(await split(signed))) as Record<string, unknown>;
    edit(document);
    expect(() => parseDetachedApk(JSON.stringify(document), 'file')).toThrow(
      expect.objectContaining({ field }) as Error,
    );
  });

  test('of any text is read or refused, nothing else', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(() => parseDetachedApk(text, 'file')).toThrow(FormatError);
      }),
    );
  });
});

test('an APK with any byte changed is split into pieces that give it again, or refused', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.nat(signed.length - 1),
      fc.integer({ min: 1, max: 255 }),
      async (at, by) => {
        const bytes = Uint8Array.from(signed);
        bytes[at] = (bytes[at] ?? 0) ^ by;
        try {
          const sink = new MemorySink();
          await putApkTogether(await split(bytes), bytesSource(bytes), sink);
          expect(Buffer.compare(sink.bytes(), bytes)).toBe(0);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      },
    ),
    { numRuns: 300 },
  );
});
