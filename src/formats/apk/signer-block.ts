/**
 * The values of the v2, v3 and v3.1 pairs: who signed, over which digests.
 *
 * FORMAT, each part behind its u32 length unless marked:
 * sequence of signers
 *   signed data
 *     sequence of digests: u32 algorithm (bare), digest
 *     sequence of certificates: X.509 DER
 *     v3: u32 min SDK, u32 max SDK (bare)
 *     sequence of attributes: u32 id (bare), value (the rest)
 *   v3: u32 min SDK, u32 max SDK (bare)
 *   sequence of signatures: u32 algorithm (bare), signature
 *   public key: SubjectPublicKeyInfo DER
 *
 * @see https://source.android.com/docs/security/features/apksigning/v3#format
 */

import { cursor, prefixed, readSequence, u32, type Cursor } from './length-prefixed.ts';

export const STRIPPING_PROTECTION_ATTRIBUTE_ID = 0xbeeff00d;
export const ROTATION_MIN_SDK_ATTRIBUTE_ID = 0x559f8b02;
export const ROTATION_ON_DEV_RELEASE_ATTRIBUTE_ID = 0xc2a6b3ba;

const ATTRIBUTE_NAMES: ReadonlyMap<number, string> = new Map([
  [STRIPPING_PROTECTION_ATTRIBUTE_ID, 'stripping protection'],
  [0x3ba06f8c, 'proof of rotation'],
  [ROTATION_MIN_SDK_ATTRIBUTE_ID, 'rotation minimum SDK'],
  [ROTATION_ON_DEV_RELEASE_ATTRIBUTE_ID, 'rotation on development release'],
]);
/** What an attribute id stands for, or undefined. */
export const findAttributeName = (id: number): string | undefined => ATTRIBUTE_NAMES.get(id);

/** v3 has SDK ranges; v2 does not. v3.1 is laid out as v3. */
export type SignerLayout = 'v2' | 'v3';

/** SDK versions, both ends included. */
export interface SdkRange {
  readonly min: number;
  readonly max: number;
}

export interface AlgorithmDigest {
  readonly algorithm: number;
  readonly digest: Uint8Array;
}

export interface AlgorithmSignature {
  readonly algorithm: number;
  readonly signature: Uint8Array;
}

export interface SignerAttribute {
  readonly id: number;
  readonly value: Uint8Array;
}

export interface SignedData {
  readonly digests: readonly AlgorithmDigest[];
  /** X.509 DER; the first is the signer's. */
  readonly certificates: readonly Uint8Array[];
  /** Undefined in v2. */
  readonly sdk: SdkRange | undefined;
  readonly attributes: readonly SignerAttribute[];
}

export interface SignerBlock {
  /** The bytes that the signatures are over: `decodeSignedData` reads them. */
  readonly signedData: Uint8Array;
  /** Undefined in v2. Not signed: it must equal the range in the signed data. */
  readonly sdk: SdkRange | undefined;
  readonly signatures: readonly AlgorithmSignature[];
  /** SubjectPublicKeyInfo DER. */
  readonly publicKey: Uint8Array;
}

/** apksig signs with at most ten signers; ours is far more than the algorithms there are. */
const MAX_SIGNERS = 10;
const MAX_ELEMENTS = 64;

const encodeSdk = (sdk: SdkRange | undefined): readonly Uint8Array[] =>
  sdk === undefined ? [] : [u32(sdk.min), u32(sdk.max)];

/** Encodes signed data, without its own length. */
export function encodeSignedData(data: SignedData): Uint8Array {
  const parts = [
    prefixed(
      ...data.digests.map(({ algorithm, digest }) => prefixed(u32(algorithm), prefixed(digest))),
    ),
    prefixed(...data.certificates.map((certificate) => prefixed(certificate))),
    ...encodeSdk(data.sdk),
    prefixed(...data.attributes.map(({ id, value }) => prefixed(u32(id), value))),
  ];
  // apksig ends v2's signed data with one more, empty, element; so its outputs are ours.
  if (data.sdk === undefined) parts.push(u32(0));
  return Uint8Array.from(Buffer.concat(parts));
}

/** Encodes the value of a v2, v3 or v3.1 pair. */
export const encodeSigners = (signers: readonly SignerBlock[]): Uint8Array =>
  prefixed(
    ...signers.map((signer) =>
      prefixed(
        prefixed(signer.signedData),
        ...encodeSdk(signer.sdk),
        prefixed(
          ...signer.signatures.map(({ algorithm, signature }) =>
            prefixed(u32(algorithm), prefixed(signature)),
          ),
        ),
        prefixed(signer.publicKey),
      ),
    ),
  );

const readSdk = (from: Cursor, layout: SignerLayout): SdkRange | undefined =>
  layout === 'v2' ? undefined : { min: from.u32('minSdk'), max: from.u32('maxSdk') };

/**
 * Decodes the value of a pair. Nothing may follow a signer's parts, since no signature covers it.
 *
 * @param offset Where the value stands in the file, for errors.
 * @throws {FormatError} when a length leaves its parent, or there are more than ten signers.
 */
export function decodeSigners(
  value: Uint8Array,
  layout: SignerLayout,
  offset = 0,
): readonly SignerBlock[] {
  const outer = cursor(value, offset);
  const sequence = outer.nested('signers');
  outer.end('the signers');
  return readSequence(sequence, 'signer', MAX_SIGNERS, (signer) => {
    const signedData = signer.prefixed('signed data');
    const sdk = readSdk(signer, layout);
    const signatures = readSequence(
      signer.nested('signatures'),
      'signature',
      MAX_ELEMENTS,
      (element) => {
        const algorithm = element.u32('signature algorithm');
        const signature = element.prefixed('signature');
        element.end('a signature');
        return { algorithm, signature };
      },
    );
    const publicKey = signer.prefixed('public key');
    signer.end('a signer');
    return { signedData, sdk, signatures, publicKey };
  });
}

/**
 * Decodes signed data. Later versions may add to its end: what follows is signed and has no meaning.
 *
 * @throws {FormatError} when a length leaves its parent.
 */
export function decodeSignedData(bytes: Uint8Array, layout: SignerLayout): SignedData {
  const data = cursor(bytes);
  const digests = readSequence(data.nested('digests'), 'digest', MAX_ELEMENTS, (element) => {
    const algorithm = element.u32('digest algorithm');
    const digest = element.prefixed('digest');
    element.end('a digest');
    return { algorithm, digest };
  });
  const certificates = readSequence(
    data.nested('certificates'),
    'certificate',
    MAX_ELEMENTS,
    (element) => element.rest(),
  );
  const sdk = readSdk(data, layout);
  const attributes = readSequence(
    data.nested('attributes'),
    'attribute',
    MAX_ELEMENTS,
    (element) => ({ id: element.u32('attribute id'), value: element.rest() }),
  );
  return { digests, certificates, sdk, attributes };
}
