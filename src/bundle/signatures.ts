/** Who signed a bundle, and every signature in it: of kernel, vbmeta, APKs, idsigs and manifest. Nothing is verified. */

import { createPublicKey, type KeyObject } from 'node:crypto';
import { FormatError } from '../core/errors.ts';
import type { AvbAlgorithmName } from '../formats/avb/algorithm.ts';
import { readVbmeta } from '../formats/avb/footer.ts';
import { decodeVbmeta, type Vbmeta } from '../formats/avb/vbmeta.ts';
import { readIdsig } from '../formats/apk/idsig.ts';
import { decodeSignedData, decodeSigners, type SignerBlock } from '../formats/apk/signer-block.ts';
import {
  APK_SIGNATURE_SCHEME_V2_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V31_BLOCK_ID,
  findApkSections,
  readSigningBlock,
} from '../formats/apk/signing-block.ts';
import { decodeEnvelope, DSSE_MAX_SIZE } from '../formats/dsse/envelope.ts';
import type { ByteSource } from '../io/byte-source.ts';
import { publicKeyOfAvb } from '../signing/avb/public-key.ts';
import { BUNDLE_FILES, LABELS, VBMETA_PARTITION_SIZE } from './layout.ts';
import type { Bundle, Disk } from './open.ts';

export interface BundleSignatures {
  readonly image: { readonly publicKey: KeyObject; readonly algorithm: AvbAlgorithmName };
  readonly payload: {
    readonly publicKey: KeyObject;
    /** X.509 DER. */
    readonly certificateDer: Uint8Array;
  };
  readonly signatures: readonly Uint8Array[];
  /** Whether the manifest is signed. */
  readonly hasManifestSignature: boolean;
}

/** @throws {FormatError} when a part is not as its format says, or has no signer. */
export async function readSignatures(bundle: Bundle): Promise<BundleSignatures> {
  const signatures: Uint8Array[] = [];
  const kernel = decodeVbmeta((await readVbmeta(bundle.kernel)).bytes);
  const partition = await bundle.os.partition(LABELS.vbmeta);
  const system: Vbmeta = decodeVbmeta(
    await partition.read(0, Math.min(partition.size, VBMETA_PARTITION_SIZE)),
  );
  signatures.push(kernel.signature, system.signature);
  if (kernel.publicKey.length === 0) {
    throw new FormatError('avb', 'bad-value', 'Cannot take signatures: the kernel has none', {
      field: 'header.algorithm_type',
    });
  }
  let signer: SignerBlock | undefined;
  for (const disk of [bundle.payload, ...bundle.payloads.values()]) {
    const found = await readPayload(disk, signatures);
    signer ??= found;
  }
  const [certificateDer] = signer ? decodeSignedData(signer.signedData, 'v3').certificates : [];
  if (signer === undefined || certificateDer === undefined) {
    throw new FormatError('apk', 'bad-value', 'Cannot take signatures: the payload has no signer');
  }
  const hasManifestSignature = bundle.names.includes(BUNDLE_FILES.manifestSignature);
  if (hasManifestSignature) {
    const source = await bundle.open(BUNDLE_FILES.manifestSignature);
    const envelope = decodeEnvelope(await readWhole(source, DSSE_MAX_SIZE));
    signatures.push(...envelope.signatures.map(({ signature }) => signature));
  }
  return {
    image: { publicKey: publicKeyOfAvb(kernel.publicKey), algorithm: kernel.algorithm },
    payload: { publicKey: publicKeyOf(signer), certificateDer },
    signatures,
    hasManifestSignature,
  };
}

/** @returns the signer of scheme v3, which every payload has. */
async function readPayload(disk: Disk, signatures: Uint8Array[]): Promise<SignerBlock | undefined> {
  const apk = await disk.partition(LABELS.apk);
  const pairs = await readSigningBlock(apk, await findApkSections(apk));
  let own: SignerBlock | undefined;
  for (const { id, value, offset } of pairs) {
    const layout =
      id === APK_SIGNATURE_SCHEME_V2_BLOCK_ID
        ? 'v2'
        : id === APK_SIGNATURE_SCHEME_V3_BLOCK_ID || id === APK_SIGNATURE_SCHEME_V31_BLOCK_ID
          ? 'v3'
          : undefined;
    if (layout === undefined) continue;
    const signers = decodeSigners(value, layout, offset);
    for (const each of signers) signatures.push(...each.signatures.map((one) => one.signature));
    if (id === APK_SIGNATURE_SCHEME_V3_BLOCK_ID) [own] = signers;
  }
  const { signing, signingBlocks } = await readIdsig(await disk.partition(LABELS.idsig));
  signatures.push(signing.signature, ...signingBlocks.map(({ signature }) => signature));
  return own;
}

function publicKeyOf({ publicKey }: SignerBlock): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' });
  } catch (cause) {
    throw new FormatError(
      'apk',
      'bad-value',
      'Cannot read the public key of the payload’s signer',
      {
        cause,
      },
    );
  }
}

function readWhole(source: ByteSource, limit: number): Promise<Uint8Array> {
  if (source.size > limit) {
    throw new FormatError('dsse', 'too-large', `The signature takes ${source.size} bytes`);
  }
  return source.read(0, source.size);
}
