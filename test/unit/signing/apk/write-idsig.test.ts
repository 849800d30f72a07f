import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { VerificationError } from '../../../../src/core/errors.ts';
import { decodeIdsig } from '../../../../src/formats/apk/idsig.ts';
import { bytesSource, openFileSource, type ByteSource } from '../../../../src/io/byte-source.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import { verifyIdsig } from '../../../../src/signing/apk/verify-idsig.ts';
import { writeUnsignedIdsig } from '../../../../src/signing/apk/write-idsig.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';

interface Case {
  readonly apk: string;
  readonly file: string;
  readonly root: string;
  /** Of the signature of v3. */
  readonly alg: string;
}

/** DSA, which no guest takes. */
const REFUSED = '0x0301';

/** Half of the files may be elsewhere. */
const cases = (): readonly Case[] => {
  if (corpus === undefined) return [];
  const manifest = JSON.parse(
    readFileSync(corpusPath('idsig-unsigned', 'manifest.json'), 'utf8'),
  ) as { readonly cases: readonly Case[] };
  return manifest.cases.filter(
    ({ apk, file, alg }) =>
      alg !== REFUSED &&
      existsSync(corpusPath(apk)) &&
      existsSync(corpusPath('idsig-unsigned', file)),
  );
};

describe.skipIf(corpus === undefined)('writeUnsignedIdsig()', () => {
  test.each(cases())('writes for $apk what a host without a key writes', async (each) => {
    const apk = await openFileSource(corpusPath(each.apk));
    try {
      const sink = new MemorySink();
      const { rootHash, size } = await writeUnsignedIdsig(apk, sink);
      const written = sink.bytes();
      expect(Buffer.from(rootHash).toString('hex')).toBe(each.root);
      expect(size).toBe(written.length);
      const theirs = readFileSync(corpusPath('idsig-unsigned', each.file));
      expect(Buffer.compare(written, theirs)).toBe(0);
    } finally {
      await apk.close();
    }
  });

  /** An APK and the idsig that is made for it. */
  const made = async (): Promise<{ apk: ByteSource; idsig: Uint8Array }> => {
    const apk = bytesSource(
      readFileSync(corpusPath('apkverify', 'v3-only-with-rsa-pkcs1-sha512-2048.apk')),
    );
    const sink = new MemorySink();
    await writeUnsignedIdsig(apk, sink);
    return { apk, idsig: sink.bytes() };
  };

  test('its result is accepted only by who accepts idsigs without a signature', async () => {
    const { apk, idsig } = await made();
    const judged = verifyIdsig(apk, bytesSource(idsig));
    await expect(judged).rejects.toMatchObject({ code: 'unsigned' });
    const verified = await verifyIdsig(apk, bytesSource(idsig), { allowUnsigned: true });
    expect(verified.rootHash).toEqual(decodeIdsig(idsig).hashing.rawRootHash);
  });

  test('one without a signature, but for other contents or with another tree, is refused', async () => {
    const { apk, idsig } = await made();
    const { treeOffset, hashing, signing } = decodeIdsig(idsig);
    const bytes = Buffer.from(idsig);
    const places = {
      'root-mismatch': bytes.indexOf(Buffer.from(hashing.rawRootHash)),
      'digest-mismatch': bytes.indexOf(Buffer.from(signing.apkDigest)),
      'tree-mismatch': treeOffset + 5,
    };
    for (const [code, place] of Object.entries(places)) {
      const changed = Uint8Array.from(idsig);
      changed[place] = (changed[place] ?? 0) ^ 1;
      const result = verifyIdsig(apk, bytesSource(changed), { allowUnsigned: true });
      await expect(result).rejects.toThrow(VerificationError);
      await expect(result).rejects.toMatchObject({ code });
    }
  });

  test('an APK that is no payload gets none', async () => {
    const apk = bytesSource(readFileSync(corpusPath('apkverify', 'v2-only-truncated-cd.apk')));
    await expect(writeUnsignedIdsig(apk, new MemorySink())).rejects.toThrow(VerificationError);
  });
});
