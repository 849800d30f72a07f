/** What a bundle can be signed anew with. */

import type { AvbAlgorithmName } from '../formats/avb/algorithm.ts';
import type { SignApkOptions } from '../signing/apk/sign.ts';
import type { ReviewSubject } from '../signing/policy/release.ts';
import type { Signer } from '../signing/signer.ts';

export interface ResignBundleOptions {
  /** Becomes the bundle: a folder, or a file `NAME.mbundle`. */
  readonly output: string;
  /** Left out, the images stay; then the bootconfig must accept the payload's signer already. */
  readonly image?:
    | {
        readonly signer: Signer;
        readonly algorithm?: AvbAlgorithmName | undefined;
        /** Whether microbuild made it for first steps: the manifest says so. */
        readonly development?: boolean | undefined;
      }
    | undefined;
  /** Left out, the payload stays. */
  readonly payload?:
    | {
        readonly signer: Signer;
        /** X.509 DER, the signer's own first; none for a self-signed one, as the builder makes it. */
        readonly certificates: readonly Uint8Array[];
        readonly development?: boolean | undefined;
      }
    | undefined;
  /** Default: as it is. */
  readonly rollbackIndex?: bigint | undefined;
  /** The certificates that the guest shall accept, as `sha256:HEX`; default: the new one instead of the old. */
  readonly payloadCertificates?: readonly string[] | undefined;
  /** AVB's encoding of the key that must have signed the bundle until now; default: any. */
  readonly trustedKey?: Uint8Array | undefined;
  /** Whether the key of the images signs the manifest, too. */
  readonly manifestSignature?: boolean | undefined;
  /** Told of everything that will be signed, before it is. */
  readonly review?: ((subject: ReviewSubject) => Promise<void>) | undefined;
  readonly hasher?: SignApkOptions['hasher'];
  readonly signal?: AbortSignal | undefined;
}
