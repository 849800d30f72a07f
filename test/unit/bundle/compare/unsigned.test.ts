/** What two signers make of the same is the same; whatever else differs is told, wherever in a file it stands. */

import { createHash, generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { compareContent } from '../../../../src/bundle/compare/content.ts';
import type { Comparison } from '../../../../src/bundle/compare/finding.ts';
import { createRecorder } from '../../../../src/bundle/compare/recorder.ts';
import type { FileKind } from '../../../../src/bundle/file-kind.ts';
import { encodeIdsigHeader, readIdsig } from '../../../../src/formats/apk/idsig.ts';
import { findApkSections } from '../../../../src/formats/apk/signing-block.ts';
import type { Descriptor } from '../../../../src/formats/avb/descriptor.ts';
import { encodeFooter } from '../../../../src/formats/avb/footer.ts';
import { decodeVbmeta } from '../../../../src/formats/avb/vbmeta.ts';
import { layoutGpt, writeGpt } from '../../../../src/formats/gpt/gpt.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import type { ApkSigner } from '../../../../src/signing/apk/sign.ts';
import { signVbmeta } from '../../../../src/signing/avb/sign.ts';
import { keySigner, type Signer } from '../../../../src/signing/signer.ts';
import { createSelfSignedCertificate } from '../../../../src/signing/x509.ts';
import { sign, testApk } from '../../signing/apk/fixtures.ts';

const makeSigner = (): Signer =>
  keySigner(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
const signers = { a: makeSigner(), b: makeSigner() };

async function compare(a: Uint8Array, b: Uint8Array, as?: FileKind): Promise<Comparison> {
  const recorder = createRecorder({}, compareContent);
  const options = as === undefined ? {} : { as };
  await recorder.scope('').content(bytesSource(a, 'a'), bytesSource(b, 'b'), options);
  return recorder.finish({ a: 'a', b: 'b', kind: 'file', measurements: [] });
}

const origins = ({ findings }: Comparison): string[] =>
  findings
    .filter(({ nature }) => nature === 'origin')
    .map(({ path, field }) => [path, field].filter(Boolean).join(' '));

/** Bytes `[from, to)` that are a signature, or are as good as one. */
type Exempt = readonly (readonly [from: number, to: number])[];

async function expectToldWherever(
  a: Uint8Array,
  b: Uint8Array,
  options: { readonly exempt: Exempt; readonly as?: FileKind; readonly numRuns?: number },
): Promise<void> {
  const { exempt, as, numRuns = 150 } = options;
  const isExempt = (at: number): boolean => exempt.some(([from, to]) => from <= at && at < to);
  const place = fc.nat(b.length - 1).filter((at) => !isExempt(at));
  await fc.assert(
    fc.asyncProperty(place, fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const changed = Buffer.from(b);
      changed[at] = (changed[at] ?? 0) ^ flip;
      const { sameUnsigned } = await compare(a, changed, as);
      expect(sameUnsigned).toBe(false);
    }),
    { numRuns },
  );
}

const descriptors: readonly Descriptor[] = [
  { kind: 'property', key: 'com.example.level', value: Buffer.from('2026-11-01') },
  { kind: 'kernel-cmdline', flags: 0, kernelCmdline: 'quiet' },
];
const vbmetaBy = (signer: Signer): Promise<Uint8Array> =>
  signVbmeta({ algorithm: 'SHA256_RSA2048', signer, descriptors, rollbackIndex: 3n });
/** Behind the header and the hash. */
const SIGNATURE: readonly [number, number] = [256 + 32, 256 + 32 + 256];

const padded = (bytes: Uint8Array, size: number): Buffer =>
  Buffer.concat([bytes, Buffer.alloc(size - bytes.length)]);

describe('vbmeta images of two signers', () => {
  test('are the same but for keys and signatures', async () => {
    const [a, b] = [await vbmetaBy(signers.a), await vbmetaBy(signers.b)];
    const comparison = await compare(padded(a, 8192), padded(b, 8192));
    expect(comparison).toMatchObject({ same: false, sameUnsigned: true });
    expect(comparison.causes).toEqual([{ name: 'key', findings: 1 }]);
  });

  test('differ wherever a byte does that is no signature, padding behind them included', async () => {
    const [a, b] = [await vbmetaBy(signers.a), await vbmetaBy(signers.b)];
    await expectToldWherever(padded(a, 4096), padded(b, 4096), { exempt: [SIGNATURE] });
    expect.hasAssertions();
  });

  test('are not the same when the hash is another one than of what is signed', async () => {
    const a = await vbmetaBy(signers.a);
    const b = Buffer.from(await vbmetaBy(signers.b));
    b[256] = (b[256] ?? 0) ^ 1;
    const comparison = await compare(a, b);
    expect(comparison.sameUnsigned).toBe(false);
    expect(comparison.findings.at(-1)).toMatchObject({ field: 'chain of trust' });
    expect(comparison.findings.at(-1)?.a).toBeUndefined();
    expect(comparison.findings.at(-1)?.b).toContain('hash of its vbmeta');
  });
});

describe('kernels of two signers', () => {
  const IMAGE = 8192;
  async function kernelBy(signer: Signer): Promise<Buffer> {
    const image = Buffer.alloc(IMAGE, 'kernel');
    image.write('ARM\x64', 56, 'latin1');
    const salt = Buffer.alloc(32, 1);
    const digest = createHash('sha256').update(salt).update(image).digest();
    const hash: Descriptor = {
      kind: 'hash',
      imageSize: IMAGE,
      hashAlgorithm: 'sha256',
      partitionName: 'boot',
      salt,
      digest,
      flags: 0,
    };
    const vbmeta = await signVbmeta({ algorithm: 'SHA256_RSA2048', signer, descriptors: [hash] });
    const out = Buffer.alloc(IMAGE + 8192);
    image.copy(out);
    out.set(vbmeta, IMAGE);
    const footer = { originalImageSize: IMAGE, vbmetaOffset: IMAGE, vbmetaSize: vbmeta.length };
    out.set(encodeFooter(footer), out.length - 64);
    return out;
  }

  test('are the same but for keys and signatures', async () => {
    const comparison = await compare(await kernelBy(signers.a), await kernelBy(signers.b));
    expect(comparison).toMatchObject({ kind: 'file', same: false, sameUnsigned: true });
  });

  test('bytes between vbmeta and footer are told beside the signatures', async () => {
    const [a, b] = [await kernelBy(signers.a), await kernelBy(signers.b)];
    b[b.length - 1000] = 1;
    expect(origins(await compare(a, b))).toEqual(['vbmeta padding']);
  });

  test('zeros more than there were are told beside the signatures', async () => {
    const [a, b] = [await kernelBy(signers.a), await kernelBy(signers.b)];
    const end = b.length - 64;
    for (const zeros of [1, 4096]) {
      const longer = Buffer.concat([b.subarray(0, end), Buffer.alloc(zeros), b.subarray(end)]);
      expect(origins(await compare(a, longer))).toEqual(['vbmeta padding']);
    }
  });

  test('differ wherever a byte of vbmeta, padding or footer does', async () => {
    const [a, b] = [await kernelBy(signers.a), await kernelBy(signers.b)];
    // The image is believed to be the one that its digest says: reading all of it is another test's.
    const exempt: Exempt = [
      [0, IMAGE],
      [IMAGE + SIGNATURE[0], IMAGE + SIGNATURE[1]],
    ];
    await expectToldWherever(a, b, { exempt });
    expect.hasAssertions();
  });
});

describe('APKs of two signers', () => {
  const apkSigners: { a?: ApkSigner; b?: ApkSigner } = {};
  beforeAll(async () => {
    for (const side of ['a', 'b'] as const) {
      const subject = [{ name: 'CN', value: 'test, do not use' }] as const;
      const signer = signers[side];
      const certificate = await createSelfSignedCertificate(signer, { subject });
      apkSigners[side] = { signer, certificates: [certificate] };
    }
  });
  const signedBy = async (
    side: 'a' | 'b',
    unsigned?: Uint8Array,
    v1 = false,
  ): ReturnType<typeof sign> =>
    sign(unsigned ?? (await testApk()), {
      signers: [apkSigners[side] as ApkSigner],
      schemes: { v1, v2: false, v3: true },
    });

  test.each([false, true])('are the same but for keys and signatures, v1: %s', async (v1) => {
    const [a, b] = [await signedBy('a', undefined, v1), await signedBy('b', undefined, v1)];
    const comparison = await compare(a.apk, b.apk);
    expect(comparison).toMatchObject({ same: false, sameUnsigned: true });
    expect(comparison.causes.map(({ name }) => name)).toContain('key');
  });

  test('differ wherever a byte does in front of or behind what is signed', async () => {
    const [a, b] = [await signedBy('a'), await signedBy('b')];
    const { entriesEnd, centralDirectoryOffset } = await findApkSections(bytesSource(b.apk));
    const exempt: Exempt = [[entriesEnd, centralDirectoryOffset]];
    await expectToldWherever(a.apk, b.apk, { exempt, as: 'apk' });
    expect.hasAssertions();
  });

  test('a pair of the signing block that nobody knows is no signature', async () => {
    const [a, b] = [await signedBy('a'), await signedBy('b')];
    // The padding, under an id that nobody knows, with a byte in it.
    const [x, y] = [Buffer.from(a.apk), Buffer.from(b.apk)];
    for (const bytes of [x, y]) {
      const at = bytes.indexOf(Buffer.from('77657242', 'hex'));
      bytes.writeUInt32LE(0x12345678, at);
      if (bytes === y) bytes[at + 100] = 1;
    }
    const comparison = await compare(x, y, 'apk');
    expect(comparison.sameUnsigned).toBe(false);
  });

  test('bytes between the entries and the signing block are told beside the signatures', async () => {
    const hiding = async (apk: Uint8Array, hidden: string): Promise<Buffer> => {
      const { entriesEnd } = await findApkSections(bytesSource(apk));
      const bytes = Buffer.concat([
        apk.subarray(0, entriesEnd),
        Buffer.from(hidden),
        apk.subarray(entriesEnd),
      ]);
      const end = bytes.lastIndexOf('PK\x05\x06', undefined, 'latin1');
      bytes.writeUInt32LE(bytes.readUInt32LE(end + 16) + hidden.length, end + 16);
      return bytes;
    };
    const [a, b] = [await signedBy('a'), await signedBy('b')];
    const comparison = await compare(
      await hiding(a.apk, 'nothing!'),
      await hiding(b.apk, 'payload!'),
    );
    expect(origins(comparison)).toEqual(['between entries']);
  });

  test('an idsig follows from its APK only where it is of it', async () => {
    const disk = async (apk: Uint8Array, idsig: Uint8Array): Promise<Uint8Array> => {
      const size = (bytes: Uint8Array): number => Math.ceil(bytes.length / 4096) * 4096;
      const layout = layoutGpt({
        diskGuid: new Uint8Array(16).fill(1),
        partitions: [
          { label: 'microdroid-apk', guid: new Uint8Array(16).fill(2), size: size(apk) },
          { label: 'microdroid-apk-idsig', guid: new Uint8Array(16).fill(3), size: size(idsig) },
        ],
      });
      const sink = new MemorySink();
      await writeGpt(sink, layout);
      const out = Buffer.alloc(layout.diskSize);
      out.set(sink.bytes());
      for (const [index, bytes] of [apk, idsig].entries()) {
        out.set(bytes, layout.partitions[index]?.offset);
      }
      return out;
    };
    const [a, b] = [await signedBy('a'), await signedBy('b')];
    const [x, y] = [await disk(a.apk, a.idsig), await disk(b.apk, b.idsig)];
    expect(await compare(x, y)).toMatchObject({ same: false, sameUnsigned: true });
    const { treeOffset, treeSize, ...header } = await readIdsig(bytesSource(b.idsig));
    const tree = b.idsig.subarray(treeOffset, treeOffset + treeSize);
    const lying = encodeIdsigHeader(
      { ...header, hashing: { ...header.hashing, rawRootHash: Buffer.alloc(32, 5) } },
      treeSize,
    );
    const other = await compare(x, await disk(b.apk, Buffer.concat([lying, tree])));
    expect(other.sameUnsigned).toBe(false);
    for (const zeros of [1, 512, 4096]) {
      const longer = Buffer.concat([y, Buffer.alloc(zeros)]);
      expect(origins(await compare(x, longer)).length).toBeGreaterThan(0);
    }
    // A GPT has what nobody reads, too: boot code, and the rest of the sectors of its headers.
    for (const at of [100, 512 + 300, 3 * 512 + 40]) {
      const hidden = Buffer.from(y);
      hidden[at] = 1;
      expect(origins(await compare(x, hidden)).length).toBeGreaterThan(0);
    }
  });
});

test('what follows is an origin where nothing is that it could follow from', async () => {
  const recorder = createRecorder({}, compareContent);
  const scope = recorder.scope('os.img', 'system_a');
  scope.found({ level: 'member', nature: 'consequence', field: 'root_digest', a: '1', b: '2' });
  scope.found({
    level: 'content',
    nature: 'consequence',
    field: 'size',
    proof: () => Promise.resolve(undefined),
  });
  const { findings, sameUnsigned } = await recorder.finish({
    a: 'a',
    b: 'b',
    kind: 'bundle',
    measurements: [],
  });
  expect(sameUnsigned).toBe(false);
  expect(findings.map(({ field, nature }) => `${field} ${nature}`)).toEqual([
    'root_digest origin',
    'size consequence',
  ]);
});

test('a decoded vbmeta is what the tests take it for', async () => {
  const { signature } = decodeVbmeta(await vbmetaBy(signers.a));
  const [from, to] = SIGNATURE;
  expect(
    Buffer.from(await vbmetaBy(signers.a))
      .subarray(from, to)
      .equals(signature),
  ).toBe(true);
});
