/**
 * Signs APKs with APK Signature Schemes v2 and v3, and makes the v4 idsig, in one pass: every byte is
 * read once, and hashed for the content digest and for the Merkle tree while it is copied.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v3
 * @see https://source.android.com/docs/security/features/apksigning/v4
 */

import { verify, type KeyObject } from 'node:crypto';
import { equalBytes } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import {
  SIGNATURE_RSA_PKCS1_SHA256,
  SIGNATURE_RSA_PKCS1_SHA512,
} from '../../formats/apk/algorithms.ts';
import type { ContentHash } from '../../formats/apk/content-digest.ts';
import {
  encodeIdsigHeader,
  encodeV4SignedData,
  IDSIG_HASH_SHA256,
  IDSIG_LOG2_BLOCK_SIZE,
  type IdsigHeader,
} from '../../formats/apk/idsig.ts';
import {
  encodeSignedData,
  encodeSigners,
  STRIPPING_PROTECTION_ATTRIBUTE_ID,
  type SdkRange,
  type SignerBlock,
} from '../../formats/apk/signer-block.ts';
import {
  APK_SIGNATURE_SCHEME_V2_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
  encodeSigningBlock,
  findApkSections,
  SIGNING_BLOCK_ALIGNMENT,
} from '../../formats/apk/signing-block.ts';
import { readZip } from '../../formats/zip/read.ts';
import { checkStrictZip } from '../../formats/zip/strict.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import type { BlockHasher } from '../../verity/block-hasher.ts';
import type { HashTree } from '../../verity/hash-tree.ts';
import type { Signer } from '../signer.ts';
import { readCertificateKey } from '../x509.ts';
import { planCopy } from './copy-plan.ts';
import { runEntriesPass } from './entries-pass.ts';

export interface SignApkOptions {
  /** The APK: aligned, and unsigned or with signatures that are to be replaced. */
  readonly input: ByteSource;
  /** Must not be the input's file. */
  readonly output: ImageSink;
  /** RSA; signatures are PKCS#1 v1.5, so that the same input gives the same bytes. */
  readonly signer: Signer;
  /** X.509 DER, of the signer's key. */
  readonly certificateDer: Uint8Array;
  /**
   * Where the SDK range of v3 starts, if above 24. Default 24, which is what apksigner writes
   * whatever the manifest says.
   */
  readonly minSdk?: number;
  /** At least one. */
  readonly schemes: { readonly v2?: boolean; readonly v3: boolean };
  /** Where the v4 signature goes; left out, there is none. */
  readonly idsig?: ImageSink;
  /** Signs input with entry comments too, which our guest refuses and Android accepts. */
  readonly entryComments?: boolean;
  /** Hashes the blocks of the Merkle tree. Default: node:crypto on this thread. */
  readonly hasher?: BlockHasher;
}

export interface SignedApk {
  /** Of the signed APK, in bytes. */
  readonly size: number;
  /** The content digest that is signed. */
  readonly contentDigest: Uint8Array;
  /** Undefined without an idsig. */
  readonly idsig: { readonly size: number; readonly rootHash: Uint8Array } | undefined;
}

/** The first release that knows our signature algorithms: v3's lower end, as in apksigner. */
const MIN_SDK = 24;
const MAX_SDK = 0x7fffffff;

/** The id of v3, which v2 names so that v3 cannot be removed unnoticed. */
const STRIPPING_PROTECTION_V3 = Uint8Array.of(3, 0, 0, 0);

/** Keys above this need a hash as strong. */
const MAX_SHA256_MODULUS_BITS = 3072;

/** Everything that is the same for each signature of one run. */
interface SigningKey {
  readonly signer: Signer;
  readonly algorithm: number;
  readonly hash: ContentHash;
  readonly signatureSize: number;
  readonly certificate: Uint8Array;
  readonly publicKey: Uint8Array;
}

const spki = (key: KeyObject): Uint8Array =>
  Uint8Array.from(key.export({ type: 'spki', format: 'der' }));

function signingKey(signer: Signer, certificate: Uint8Array): SigningKey {
  const { publicKey } = signer;
  const bits = publicKey.asymmetricKeyDetails?.modulusLength;
  if (publicKey.asymmetricKeyType !== 'rsa' || bits === undefined) {
    throw new UsageError(
      'key',
      `Cannot sign APK with a key of type ${publicKey.asymmetricKeyType}: unsupported, only RSA signatures can be made again`,
      { hint: 'Use an RSA key' },
    );
  }
  const der = spki(publicKey);
  if (!equalBytes(spki(readCertificateKey(certificate)), der)) {
    throw new UsageError('key', 'Cannot sign APK: the certificate is not of the signing key');
  }
  const small = bits <= MAX_SHA256_MODULUS_BITS;
  return {
    signer,
    algorithm: small ? SIGNATURE_RSA_PKCS1_SHA256 : SIGNATURE_RSA_PKCS1_SHA512,
    hash: small ? 'sha256' : 'sha512',
    signatureSize: Math.ceil(bits / 8),
    certificate,
    publicKey: der,
  };
}

/** Signs, and checks what came back: a token or service may hold another key than it says. */
async function signData(key: SigningKey, data: Uint8Array): Promise<Uint8Array> {
  const signature = await key.signer.sign(data, { hash: key.hash, scheme: 'rsa-pkcs1' });
  if (!verify(key.hash, data, key.signer.publicKey, signature)) {
    throw new UsageError('key', 'Cannot sign APK: the signature does not match the public key');
  }
  return signature;
}

/** The signing block over a content digest. */
async function signingBlock(
  options: SignApkOptions,
  key: SigningKey,
  contentDigest: Uint8Array,
): Promise<Uint8Array> {
  const { schemes } = options;
  const signers = async (sdk: SdkRange | undefined): Promise<Uint8Array> => {
    const protect = sdk === undefined && schemes.v3;
    const signedData = encodeSignedData({
      digests: [{ algorithm: key.algorithm, digest: contentDigest }],
      certificates: [key.certificate],
      sdk,
      attributes: protect
        ? [{ id: STRIPPING_PROTECTION_ATTRIBUTE_ID, value: STRIPPING_PROTECTION_V3 }]
        : [],
    });
    const signature = await signData(key, signedData);
    const signer: SignerBlock = {
      signedData,
      sdk,
      signatures: [{ algorithm: key.algorithm, signature }],
      publicKey: key.publicKey,
    };
    return encodeSigners([signer]);
  };
  const pairs = [];
  if (schemes.v2 === true) {
    pairs.push({ id: APK_SIGNATURE_SCHEME_V2_BLOCK_ID, value: await signers(undefined) });
  }
  if (schemes.v3) {
    const sdk = { min: Math.max(MIN_SDK, options.minSdk ?? MIN_SDK), max: MAX_SDK };
    pairs.push({ id: APK_SIGNATURE_SCHEME_V3_BLOCK_ID, value: await signers(sdk) });
  }
  return encodeSigningBlock(pairs);
}

const zeroIdsig = (key: SigningKey, contentDigest: Uint8Array): IdsigHeader => ({
  hashing: {
    hashAlgorithm: IDSIG_HASH_SHA256,
    log2BlockSize: IDSIG_LOG2_BLOCK_SIZE,
    salt: new Uint8Array(0),
    rawRootHash: new Uint8Array(32),
  },
  signing: {
    apkDigest: contentDigest,
    certificate: key.certificate,
    additionalData: new Uint8Array(0),
    publicKey: key.publicKey,
    signatureAlgorithm: key.algorithm,
    signature: new Uint8Array(key.signatureSize),
  },
  signingBlocks: [],
});

/**
 * Signs an APK.
 *
 * @throws {FormatError} when the input is no APK, or one that readers could take differently: such
 *   input is not worth a signature.
 * @throws {UsageError} `key` when the key is not RSA, does not belong to the certificate, or signs
 *   wrongly; `usage` when no scheme is asked for.
 */
export async function signApk(options: SignApkOptions): Promise<SignedApk> {
  const { input, output, schemes } = options;
  if (schemes.v2 !== true && !schemes.v3) {
    throw new UsageError('usage', 'Cannot sign APK: APK Signature Scheme v4 needs v2 or v3');
  }
  const key = signingKey(options.signer, options.certificateDer);
  const sections = await findApkSections(input);
  const zip = await readZip(input);
  await checkStrictZip(input, zip, {
    contents: false,
    entryComments: options.entryComments ?? false,
    ...(sections.hasSigningBlock && { entriesEnd: sections.entriesEnd }),
  });

  const plan = await planCopy(input, zip);
  const entriesEnd = alignUp(plan.size, SIGNING_BLOCK_ALIGNMENT);
  const content = key.hash === 'sha256' ? 'chunked-sha256' : 'chunked-sha512';
  const pass = await runEntriesPass({
    input,
    output,
    pieces: plan.pieces,
    entriesSize: entriesEnd,
    digests: [content],
    tree: options.idsig !== undefined,
    hasher: options.hasher,
  });
  const digests = await pass.contentDigests(
    plan.centralDirectory,
    plan.endOfCentralDirectory(entriesEnd),
  );
  const contentDigest = digests.get(content) ?? new Uint8Array(0);
  const block = await signingBlock(options, key, contentDigest);
  const end = plan.endOfCentralDirectory(entriesEnd + block.length);
  const { size, tree } = await pass.finish([block, plan.centralDirectory, end]);
  if (options.idsig === undefined || tree === undefined) {
    return { size, contentDigest, idsig: undefined };
  }
  const idsig = await writeIdsig(options.idsig, key, { size, contentDigest, tree });
  return { size, contentDigest, idsig };
}

/** Writes the v4 signature and the tree that it is over. */
async function writeIdsig(
  sink: ImageSink,
  key: SigningKey,
  apk: { readonly size: number; readonly contentDigest: Uint8Array; readonly tree: HashTree },
): Promise<{ readonly size: number; readonly rootHash: Uint8Array }> {
  const { rootDigest, tree } = apk.tree;
  const zero = zeroIdsig(key, apk.contentDigest);
  const hashing = { ...zero.hashing, rawRootHash: rootDigest };
  const signature = await signData(key, encodeV4SignedData(apk.size, hashing, zero.signing));
  const signing = { ...zero.signing, signature };
  const header = encodeIdsigHeader({ hashing, signing, signingBlocks: [] }, tree.length);
  await sink.write(0, header);
  await sink.write(header.length, tree);
  const size = header.length + tree.length;
  await sink.truncate(size);
  return { size, rootHash: rootDigest };
}
