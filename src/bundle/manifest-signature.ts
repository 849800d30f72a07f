/**
 * `manifest.dsse.json`: a signature over `manifest.json` by the key of the images, for those who check a
 * bundle without reading its images. It is no part of what is built twice and compared: not every key signs
 * the same bytes twice.
 */

import { equalBytes } from '../core/digest.ts';
import { VerificationError } from '../core/errors.ts';
import { DSSE_MAX_SIZE, encodeEnvelope } from '../formats/dsse/envelope.ts';
import { publicKeyOfAvb } from '../signing/avb/public-key.ts';
import { signDsse } from '../signing/dsse.ts';
import type { Signer } from '../signing/signer.ts';
import { verifyDsse } from '../signing/verify-dsse.ts';
import { BUNDLE_FILES } from './layout.ts';
import type { Bundle } from './open.ts';

/** What the signature says that it is over. */
export const MANIFEST_PAYLOAD_TYPE = 'application/vnd.microbuild.manifest+json';

/** Signs the text of a manifest. @returns the text of the envelope. */
export async function signManifest(text: string, signer: Signer): Promise<string> {
  const payload = new TextEncoder().encode(text);
  const content = { payloadType: MANIFEST_PAYLOAD_TYPE, payload };
  return encodeEnvelope(await signDsse(content, [signer]));
}

/**
 * Proves that the trusted key signed this bundle's manifest.
 *
 * @param trustedKey AVB's encoding.
 * @returns the size of the manifest in bytes.
 * @throws {VerificationError} `manifest-signature` when it did not, or signed another one.
 * @throws {FormatError} when the envelope is none.
 */
export async function verifyManifestSignature(
  bundle: Bundle,
  trustedKey: Uint8Array,
): Promise<number> {
  const read = async (name: string): Promise<Uint8Array> => {
    const source = await bundle.open(name);
    return source.read(0, Math.min(source.size, DSSE_MAX_SIZE + 1));
  };
  const trust = { keys: [publicKeyOfAvb(trustedKey)], payloadType: MANIFEST_PAYLOAD_TYPE };
  const envelope = await read(BUNDLE_FILES.manifestSignature);
  const { payload } = asLink(() => verifyDsse(envelope, trust));
  if (equalBytes(payload, await read(BUNDLE_FILES.manifest))) return payload.length;
  throw new VerificationError(
    'manifest-signature',
    'digest-mismatch',
    'Cannot trust manifest.json: another one was signed',
  );
}

/** What is wrong with an envelope is wrong with this link of the chain. */
function asLink<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!(cause instanceof VerificationError)) throw cause;
    const { code, message, expected = '', actual = '' } = cause;
    throw new VerificationError('manifest-signature', code, message, { expected, actual, cause });
  }
}
