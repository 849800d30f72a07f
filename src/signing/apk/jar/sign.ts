/**
 * Signs an APK with JAR signatures (v1) as apksigner does: who is given the digests of the entries says
 * which files to add to META-INF.
 *
 * @see https://docs.oracle.com/javase/8/docs/technotes/guides/jar/jar.html#Signed_JAR_File
 */

import { createHash, type KeyObject } from 'node:crypto';
import { UsageError } from '../../../core/errors.ts';
import {
  encodeSection,
  inNameOrder,
  MANIFEST_NAME,
  META_INF,
  type ManifestAttribute,
} from '../../../formats/jar/manifest.ts';
import { MANIFEST_VERSION, readSourceManifest } from '../../../formats/jar/source-manifest.ts';
import { signDetached } from '../../cms/sign-detached.ts';
import type { Signer } from '../../signer.ts';

/** One of those who sign. */
export interface JarSigner {
  readonly signer: Signer;
  /** X.509: of the signer's key, then any that go along with it. */
  readonly certificates: readonly Uint8Array[];
  /** What the signature's files are called, as far as such names go. Default `CERT`. */
  readonly name?: string;
}

/** Of the entries and of the manifest. */
export type JarDigestAlgorithm = 'sha1' | 'sha256';

export interface SignJarOptions {
  /** At least one, at most 10, of different names. */
  readonly signers: readonly JarSigner[];
  /** The oldest release that must be able to verify. */
  readonly minSdk: number;
  /** By entry name: what `jarDigestAlgorithm` gives, of each file for which `isListedInManifest`. */
  readonly digests: ReadonlyMap<string, Uint8Array>;
  /** Ids of the schemes that also sign, which must then not be stripped: `[2, 3]`. */
  readonly schemes: readonly number[];
  /** The manifest that the input has, whose main section is kept. */
  readonly sourceManifest?: Uint8Array | undefined;
  /** Default `1.0 (Android)`. */
  readonly createdBy?: string | undefined;
}

/** A file of a signature. */
export interface JarFile {
  readonly name: string;
  readonly content: Uint8Array;
}

const MAX_SIGNERS = 10;
const DEFAULT_NAME = 'CERT';
const DEFAULT_CREATED_BY = '1.0 (Android)';
/** Android 4.3 and 5.0: the first releases that know SHA-256 with these keys. */
const SDK_SHA256 = { rsa: 18, ec: 18, dsa: 21 } as const;

const EXTENSIONS = { rsa: 'RSA', ec: 'EC', dsa: 'DSA' } as const;
const DIGEST_NAMES: Readonly<Record<JarDigestAlgorithm, string>> = {
  sha1: 'SHA1-Digest',
  sha256: 'SHA-256-Digest',
};

function keyType({ asymmetricKeyType: type }: KeyObject): keyof typeof EXTENSIONS {
  if (type === 'rsa' || type === 'ec' || type === 'dsa') return type;
  throw new UsageError('key', `Cannot sign v1 with a key of type ${type}: unsupported`, {
    hint: 'Use an RSA or EC key, or turn v1 off, which Android 7 and later do not need',
  });
}

/** The hash of a signer's own signature. */
function signatureHash({ signer }: JarSigner, minSdk: number): JarDigestAlgorithm {
  const type = keyType(signer.publicKey);
  if (minSdk >= SDK_SHA256[type]) return 'sha256';
  if (type !== 'ec') return 'sha1';
  throw new UsageError(
    'key',
    `Cannot sign v1 with an EC key for SDK ${minSdk}: Android knows them from SDK ${SDK_SHA256.ec} on`,
    { hint: 'Use an RSA key, or raise the minimum SDK' },
  );
}

/**
 * The hash that entries are digested with: as strong as the strongest of the signers'.
 *
 * @throws {UsageError} `key` when a key cannot sign for this release.
 */
export function jarDigestAlgorithm(
  signers: readonly JarSigner[],
  minSdk: number,
): JarDigestAlgorithm {
  const hashes = signers.map((signer) => signatureHash(signer, minSdk));
  return hashes.includes('sha256') ? 'sha256' : 'sha1';
}

const MAX_NAME = 8;

/** At most 8 characters of A-Z, 0-9, `-` and `_`, as the names of signature files have to be. */
function safeName(name: string): string {
  if (name === '') throw new UsageError('usage', 'Cannot sign v1: the name of a signer is empty');
  return name
    .toUpperCase()
    .slice(0, MAX_NAME)
    .replaceAll(/[^A-Z0-9_-]/g, '_');
}

/** Names of a signer's signature file and its block. */
function fileNames({ name = DEFAULT_NAME, signer }: JarSigner): { file: string; block: string } {
  const base = `${META_INF}${safeName(name)}`;
  return { file: `${base}.SF`, block: `${base}.${EXTENSIONS[keyType(signer.publicKey)]}` };
}

/**
 * The entries that a signature will be made of; those of the same name in the input are replaced.
 *
 * @throws {UsageError} `usage` when the signers are too many or have the same name.
 */
export function jarSignatureNames(signers: readonly JarSigner[]): readonly string[] {
  if (signers.length === 0 || signers.length > MAX_SIGNERS) {
    throw new UsageError(
      'usage',
      `Cannot sign v1 with ${signers.length} signers: it takes 1 to ${MAX_SIGNERS}`,
    );
  }
  const names = signers.map(fileNames);
  const files = new Set(names.map(({ file }) => file));
  if (files.size !== signers.length) {
    throw new UsageError(
      'usage',
      `Cannot sign v1: several signers have the same name, of which ${MAX_NAME} characters count`,
      { hint: 'Give each signer a name of its own' },
    );
  }
  return [...names.flatMap(({ file, block }) => [file, block]), MANIFEST_NAME];
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const digestBase64 = (algorithm: JarDigestAlgorithm, bytes: Uint8Array): string =>
  createHash(algorithm).update(bytes).digest('base64');

interface EncodedManifest {
  readonly content: Uint8Array;
  readonly sections: readonly { readonly name: string; readonly bytes: Uint8Array }[];
}

function encodeManifest(options: SignJarOptions, digestName: string): EncodedManifest {
  const { sourceManifest, digests } = options;
  const attributes: readonly ManifestAttribute[] =
    sourceManifest === undefined
      ? [{ name: MANIFEST_VERSION, value: '1.0' }]
      : readSourceManifest(sourceManifest);
  const version = attributes.find(
    ({ name }) => name.toLowerCase() === MANIFEST_VERSION.toLowerCase(),
  );
  const main = encodeSection(
    { name: MANIFEST_VERSION, value: version?.value ?? '1.0' },
    attributes.filter(({ name }) => name !== MANIFEST_VERSION),
  );
  const sections = [...digests]
    .toSorted(([a], [b]) => inNameOrder(a, b))
    .map(([name, digest]) => ({
      name,
      bytes: encodeSection({ name: 'Name', value: name }, [
        { name: digestName, value: base64(digest) },
      ]),
    }));
  const content = Buffer.concat([main, ...sections.map(({ bytes }) => bytes)]);
  return { content: new Uint8Array(content), sections };
}

/** Android 1.6 and before cannot read files whose size is a multiple of this. */
const UNREADABLE_SIZE = 1024;

function encodeSignatureFile(
  { schemes, createdBy = DEFAULT_CREATED_BY }: SignJarOptions,
  { content, sections }: EncodedManifest,
  algorithm: JarDigestAlgorithm,
): Uint8Array {
  const digestName = DIGEST_NAMES[algorithm];
  const main = encodeSection({ name: 'Signature-Version', value: '1.0' }, [
    { name: 'Created-By', value: createdBy },
    { name: `${digestName}-Manifest`, value: digestBase64(algorithm, content) },
    ...(schemes.length === 0 ? [] : [{ name: 'X-Android-APK-Signed', value: schemes.join(', ') }]),
  ]);
  const signed = sections.map(({ name, bytes }) =>
    encodeSection({ name: 'Name', value: name }, [
      { name: digestName, value: digestBase64(algorithm, bytes) },
    ]),
  );
  const file = Buffer.concat([main, ...signed]);
  const isUnreadable = file.length % UNREADABLE_SIZE === 0;
  return new Uint8Array(isUnreadable ? Buffer.concat([file, Buffer.from('\r\n')]) : file);
}

/**
 * Makes the files of a JAR signature, in the order in which they are added to the archive.
 *
 * @throws {UsageError} `key` or `usage` when the signers cannot sign so.
 * @throws {FormatError} `jar` when a name cannot be written, or the input's manifest cannot be read.
 */
export async function signJar(options: SignJarOptions): Promise<readonly JarFile[]> {
  const { signers, minSdk } = options;
  jarSignatureNames(signers);
  const algorithm = jarDigestAlgorithm(signers, minSdk);
  const manifest = encodeManifest(options, DIGEST_NAMES[algorithm]);
  const signatureFile = encodeSignatureFile(options, manifest, algorithm);
  const files = await Promise.all(
    signers.map(async (signer): Promise<readonly JarFile[]> => {
      const [certificate, ...more] = signer.certificates;
      if (certificate === undefined) {
        throw new UsageError('key', 'Cannot sign v1: the key has no certificate');
      }
      const { file, block } = fileNames(signer);
      const content = await signDetached(signatureFile, {
        signer: signer.signer,
        certificates: [certificate, ...more],
        hash: signatureHash(signer, minSdk),
        form: 'apksig',
        includeCertificates: true,
        purpose: 'jar',
      });
      return [
        { name: file, content: signatureFile },
        { name: block, content },
      ];
    }),
  );
  return [...files.flat(), { name: MANIFEST_NAME, content: manifest.content }];
}
