/** A bundle: every link of its chain of trust, from the trusted AVB key down. */

import type { KeyObject } from 'node:crypto';
import { ATTESTATION_KINDS, type AttestationKind } from '../../../bundle/attest/files.ts';
import type { AttestationTrust } from '../../../bundle/attest/verify.ts';
import { openBundle, type Bundle } from '../../../bundle/open.ts';
import { verifyBundle, type ChainLink } from '../../../bundle/verify.ts';
import { sha256, toHex } from '../../../core/digest.ts';
import { FormatError, UsageError, VerificationError } from '../../../core/errors.ts';
import { readVbmeta } from '../../../formats/avb/footer.ts';
import { decodeVbmeta } from '../../../formats/avb/vbmeta.ts';
import { publicKeyOfAvb } from '../../../signing/avb/public-key.ts';
import { trustsAvbKey, type TrustAnchor } from '../../../signing/keys/trust-anchor.ts';
import { bundleHasher } from '../../engine.ts';
import { EXIT } from '../../exit-code.ts';
import { renderChain } from '../../render/chain.ts';
import { errorToJson, renderError } from '../../render/error.ts';
import { describeAvbKey, trustAnchors, untrusted } from '../../trust-anchors.ts';
import type { CommandArguments } from '../../command.ts';
import type { VerifyTarget } from './target.ts';

/** The key that the kernel’s footer holds; empty where there is none that can be read. */
async function kernelKey({ kernel }: Bundle): Promise<Uint8Array> {
  try {
    return decodeVbmeta((await readVbmeta(kernel)).bytes).publicKey;
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new VerificationError('kernel', cause.code, cause.message, { cause });
  }
}

function chooseAnchor(anchors: readonly TrustAnchor[], key: Uint8Array): TrustAnchor {
  const found = anchors.find((anchor) => trustsAvbKey(anchor, key));
  if (found !== undefined) return found;
  if (key.length === 0) {
    throw new VerificationError('kernel', 'Verification', 'Cannot trust kernel: it is not signed');
  }
  const trust = `sha256:${toHex(sha256(key))}`;
  throw untrusted('kernel', 'PublicKeyRejected', { signer: describeAvbKey(key), trust, anchors });
}

/** Who may attest: the one who signed the images, and all others that are named. */
function attestationTrust(
  args: CommandArguments,
  anchors: readonly TrustAnchor[],
  imageKey: Uint8Array,
): AttestationTrust {
  const required = (args.optionalText('require') ?? '').split(',').filter((each) => each !== '');
  const unknown = required.find((each) => !ATTESTATION_KINDS.includes(each as AttestationKind));
  if (unknown !== undefined) {
    throw new UsageError('usage', `Cannot require ${unknown}: no attestation is called that`, {
      hint: `Known are ${ATTESTATION_KINDS.join(' and ')}`,
    });
  }
  const builderId = args.optionalText('builder-id');
  const provenance = builderId === undefined ? [] : (['provenance'] as const);
  return {
    keys: [...imageKeys(imageKey), ...anchors.flatMap(({ keys }) => keys)],
    require: [...(required as AttestationKind[]), ...provenance],
    builderId,
  };
}

/** Images may be signed by a kind of key that signs no envelopes. */
function imageKeys(blob: Uint8Array): readonly KeyObject[] {
  try {
    return [publicKeyOfAvb(blob)];
  } catch (error) {
    if (error instanceof FormatError) return [];
    throw error;
  }
}

export const verifyBundleTarget: VerifyTarget = async (path, args, { env, terminal, signal }) => {
  const anchors = await trustAnchors(args.list('trust'), path, env);
  const bundle = await openBundle(path);
  const links: ChainLink[] = [];
  const { name, release } = bundle.manifest;
  let key: Uint8Array | undefined;
  let anchor: TrustAnchor | undefined;
  const head = (): string => {
    const signer = key === undefined ? '' : `, ${describeAvbKey(key)}`;
    return `${name}: chain of trust from ${anchor?.name ?? 'no trusted key'}${signer}`;
  };
  const signed = (): object => ({
    key: key === undefined || key.length === 0 ? null : `sha256:${toHex(sha256(key))}`,
    trustedBy: anchor?.name ?? null,
  });
  try {
    key = await kernelKey(bundle);
    anchor = chooseAnchor(anchors, key);
    const { debugLevel, rollbackIndex } = await verifyBundle(bundle, {
      trustedKey: key,
      minimumRollbackIndex: BigInt(args.optionalNumber('minimum-rollback-index') ?? 0),
      level: 'full',
      hasher: await bundleHasher(),
      attestations: attestationTrust(args, anchors, key),
      signal,
      onLink: (link) => links.push(link),
    });
    return {
      text: `${head()}\n${renderChain(links, terminal)}\nverified: ${links.length} links hold, ${release} keys, debug level ${debugLevel}`,
      json: { verified: true, ...signed(), links, debugLevel, rollbackIndex, release },
    };
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    terminal.err(renderError(error, terminal, false));
    return {
      text: `${head()}\n${renderChain(links, terminal, error)}\nNOT VERIFIED: ${error.link} is broken`,
      json: {
        verified: false,
        ...signed(),
        links,
        error: errorToJson(error, EXIT.verification),
      },
      exitCode: EXIT.verification,
    };
  } finally {
    await bundle.close();
  }
};
