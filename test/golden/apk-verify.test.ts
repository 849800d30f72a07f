/** Our verdicts on APKs that AOSP made for its own verifier. */

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../src/core/digest.ts';
import { VerificationError } from '../../src/core/errors.ts';
import { findApkSections, readSigningBlock } from '../../src/formats/apk/signing-block.ts';
import { readIdsig } from '../../src/formats/apk/idsig.ts';
import { bytesSource, type ByteSource } from '../../src/io/byte-source.ts';
import { digestContent } from '../../src/signing/apk/content-digests.ts';
import { computeHashTree } from '../../src/verity/hash-tree.ts';
import { verifyIdsig } from '../../src/signing/apk/verify-idsig.ts';
import { verifyApkV3, verifyPayload, type VerifiedApk } from '../../src/signing/apk/verify.ts';
import { corpus, corpusPath } from '../support/corpus.ts';

const folder = (...parts: string[]): string => corpusPath('apkverify', ...parts);
const open = (path: string): ByteSource => bytesSource(readFileSync(path), basename(path));

const names = corpus ? readdirSync(folder()).filter((name) => name.endsWith('.apk')) : [];

/** What apksig says of an APK on one range of SDK versions. */
interface Verdict {
  readonly verified?: boolean;
  readonly v3?: boolean;
  readonly v3_certs?: readonly string[];
}

const verdicts = (
  corpus ? JSON.parse(readFileSync(folder('EXPECTED_verify.json'), 'utf8')) : {}
) as Readonly<Record<string, Readonly<Record<string, Verdict>>>>;

/** Where Android's guest verifier is known to differ from apksig: it takes no DSA. */
const isAccepted = (name: string, { verified, v3 }: Verdict): boolean =>
  verified === true && v3 === true && !name.includes('-dsa-');

async function codeOf(verifying: Promise<VerifiedApk>): Promise<string> {
  const error: unknown = await verifying.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(VerificationError);
  return `${(error as VerificationError).link}/${(error as VerificationError).code}`;
}

describe.skipIf(corpus === undefined)('verifyApkV3 judges as apksig does on Android 9', () => {
  test.for(names)('%s', async (name) => {
    const verdict = verdicts[name]?.['28-32'] ?? {};
    if (!isAccepted(name, verdict)) {
      await codeOf(verifyApkV3(open(folder(name)), { sdk: 28 }));
      return;
    }
    const verified = await verifyApkV3(open(folder(name)), { sdk: 28 });
    expect(toHex(verified.certificateDigests.sha256)).toBe(verdict.v3_certs?.[0]);
    if (existsSync(folder(`${name}.der`))) {
      expect(toHex(verified.publicKey)).toBe(toHex(readFileSync(folder(`${name}.der`))));
    }
    if (existsSync(folder(`${name}.apk_digest`))) {
      const digest = readFileSync(folder(`${name}.apk_digest`));
      expect(toHex(verified.contentDigest)).toBe(toHex(digest));
    }
  });
});

/** The texts of Android's guest verifier, by what the file's name says is wrong with it. */
const REASONS: readonly (readonly [RegExp, string, RegExp])[] = [
  [/sig-does-not-verify/, 'bad-signature', /^Signature is invalid\.$/],
  [/(?<!dsa-sha256-3072-)digest-mismatch/, 'digest-mismatch', /^Digest mismatch: computed=/],
  [/no-certs-in-sig/, 'no-certificate', /^No certificates listed$/],
  [
    /no-supported-sig-algs/,
    'unsupported',
    /^No supported APK signatures found; DSA is not supported$/,
  ],
  [/dsa-sha256/, 'unsupported', /^No supported APK signatures found; DSA is not supported$/],
  [/wrong-apk-sig-block-magic/, 'bad-magic', /^No APK Signing Block/],
  [
    /sig-block-size-mismatch/,
    'bad-value',
    /^APK Signing Block sizes in header and footer do not match/,
  ],
  [
    /cert-and-public-key-mismatch/,
    'public-key-mismatch',
    /^Public key mismatch between certificate/,
  ],
];

const refused = names.flatMap((name) => {
  const reason = REASONS.find(([pattern]) => name.startsWith('v3-only') && pattern.test(name));
  return reason === undefined ? [] : [[name, reason[1], reason[2]] as const];
});

describe.skipIf(corpus === undefined)('verifyApkV3 says why it refuses', () => {
  test.for(refused)('%s', async ([name, code, text]) => {
    await expect(verifyApkV3(open(folder(name)), { sdk: 28 })).rejects.toMatchObject({
      link: 'payload-signature',
      code,
      message: expect.stringMatching(text) as string,
    });
  });

  const rotated = 'v31-rsa-2048_2-tgt-33-1-tgt-28.apk';
  test.skipIf(!names.includes(rotated))(
    'one signer for the SDK version: rotation is not followed',
    async () => {
      for (const sdk of [24, 28, 32]) await verifyApkV3(open(folder(rotated)), { sdk });
      for (const sdk of [23, 33]) {
        const verifying = verifyApkV3(open(folder(rotated)), { sdk });
        expect(await codeOf(verifying)).toBe('payload-signature/signer-count');
      }
    },
  );

  test('an APK without a v3 block is refused', async () => {
    const path = corpusPath('sig-apksig', 'apk', 'v2-only-with-rsa-pkcs1-sha256-2048.apk');
    expect(await codeOf(verifyApkV3(open(path)))).toBe('payload-signature/no-v3-block');
  });
});

interface ExpectedBlock {
  readonly eocd: number;
  readonly cd_off: number;
  readonly cd_size: number;
  readonly block: {
    readonly offset: number;
    readonly size: number;
    readonly size_header: number;
    readonly pairs: readonly {
      readonly id: string;
      readonly len: number;
      readonly sha256: string;
    }[];
  } | null;
  readonly chunked_sha256?: string;
  readonly chunked_sha512?: string;
}

const blocks = (
  corpus ? JSON.parse(readFileSync(folder('EXPECTED_blocks.json'), 'utf8')) : {}
) as Readonly<Record<string, ExpectedBlock>>;

/** Those whose ZIP structure and block are whole; the others are refused above. */
const wholeBlocks = Object.entries(blocks).filter(
  ([name, { eocd, cd_off, cd_size, block }]) =>
    existsSync(folder(name)) &&
    cd_off + cd_size === eocd &&
    block !== null &&
    block.size === block.size_header,
);

describe.skipIf(corpus === undefined)('signing block and content digests', () => {
  test.for(wholeBlocks)('%s', async ([name, expected]) => {
    const source = open(folder(name));
    const sections = await findApkSections(source);
    expect(sections.entriesEnd).toBe(expected.block?.offset);
    expect(sections.centralDirectoryOffset).toBe(expected.cd_off);
    const pairs = await readSigningBlock(source, sections);
    expect(
      pairs.map(({ id, value }) => ({
        id: `0x${id.toString(16).padStart(8, '0')}`,
        len: value.length,
        sha256: createHash('sha256').update(value).digest('hex'),
      })),
    ).toEqual(expected.block?.pairs.map(({ id, len, sha256 }) => ({ id, len, sha256 })));
    const algorithms = ['chunked-sha256', 'chunked-sha512'] as const;
    const { digests } = await digestContent(source, sections, { digests: algorithms, tree: false });
    expect(algorithms.map((each) => toHex(digests.get(each) ?? new Uint8Array(0)))).toEqual([
      expected.chunked_sha256,
      expected.chunked_sha512,
    ]);
  });
});

describe.skipIf(corpus === undefined)('an APK that is signed with DSA', () => {
  const dsa = (name: string): ByteSource => open(corpusPath('apkdmverity', name));

  test('is refused, although apksig verifies it', async () => {
    expect(await codeOf(verifyApkV3(dsa('test.apk')))).toBe('payload-signature/unsupported');
  });

  test('has the root hash that its idsig says', async () => {
    const { hashing, treeOffset, treeSize } = await readIdsig(dsa('test.apk.idsig'));
    const { rootDigest, tree } = await computeHashTree(dsa('test.apk'), { algorithm: 'sha256' });
    expect(toHex(rootDigest)).toBe(toHex(hashing.rawRootHash));
    const stored = await dsa('test.apk.idsig').read(treeOffset, treeSize);
    expect(Buffer.from(stored).equals(tree)).toBe(true);
  });
});

/** Verdicts of AOSP's own tests on its signer's files, by range of SDK versions. */
const apksig = (
  corpus
    ? JSON.parse(readFileSync(corpusPath('sig-apksig', 'manifest.json'), 'utf8'))
    : { files: {} }
) as {
  readonly files: Readonly<
    Record<string, { readonly checks: readonly { readonly expect: string }[] }>
  >;
};
/** Refused on releases that need JAR signatures, which is the only range they were judged on. */
const WITHOUT_V1 = /^golden-.*-v(?:2v3|3)(?:-lineage)?-out\.apk$/;

const neverVerified = Object.entries(apksig.files)
  .filter(
    ([name, { checks }]) =>
      existsSync(corpusPath('sig-apksig', 'apk', name)) &&
      checks.every((check) => check.expect === 'reject'),
  )
  .map(([name]) => name)
  .filter((name) => !WITHOUT_V1.test(name));

describe.skipIf(corpus === undefined)('verifyPayload on what apksig never accepts', () => {
  test.for(neverVerified)('refuses %s', async (name) => {
    for (const sdk of [24, 28, 33, 35]) {
      const source = open(corpusPath('sig-apksig', 'apk', name));
      expect(await codeOf(verifyPayload(source, { sdk }))).toMatch(/^payload-(?:signature|zip)\//);
    }
  });
});

/** Golden idsigs whose APK is here and has a v3 signature of one signer. */
const idsigs = corpus
  ? readdirSync(corpusPath('sig-apksig', 'idsig')).filter(
      (name) =>
        /v2v3-out|aligned-out|no-verity-out/.test(name) &&
        existsSync(corpusPath('sig-apksig', 'apk', name.replace(/\.idsig$/, ''))),
    )
  : [];

describe.skipIf(corpus === undefined)("verifyIdsig takes apksigner's idsigs", () => {
  test.for(idsigs)('%s', async (name) => {
    const idsig = open(corpusPath('sig-apksig', 'idsig', name));
    const apk = open(corpusPath('sig-apksig', 'apk', name.replace(/\.idsig$/, '')));
    const verified = await verifyIdsig(apk, idsig, { sdk: 28 });
    expect(verified.treeOffset + verified.treeSize).toBe(idsig.size);
  });
});
