/** Verdicts on vbmeta images and on kernels with initrds, after libavb's and pvmfw's own tests. */

import { createHash, createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../src/core/digest.ts';
import { FormatError, VerificationError } from '../../src/core/errors.ts';
import { decodeVbmeta } from '../../src/formats/avb/vbmeta.ts';
import { bytesSource } from '../../src/io/byte-source.ts';
import { verifyKernelAndInitrd } from '../../src/signing/avb/policy.ts';
import { avbPublicKey } from '../../src/signing/avb/public-key.ts';
import { verifyVbmeta } from '../../src/signing/avb/verify.ts';
import { corpus, corpusPath } from '../support/corpus.ts';

interface GuestCase {
  readonly kernel: string;
  readonly initrd: string | null;
  readonly trusted_key: string;
  readonly expect: {
    readonly ok?: boolean;
    readonly error?: string;
    readonly debug_level?: string;
    readonly capabilities?: readonly string[];
    readonly rollback_index?: number;
    readonly kernel_digest?: string;
    readonly initrd_digest?: string | null;
  };
}

const read = (...path: string[]): Uint8Array => new Uint8Array(readFileSync(corpusPath(...path)));
const json = (...path: string[]): unknown =>
  JSON.parse(readFileSync(corpusPath(...path), 'utf8')) as unknown;

const keyOf = (name: string): Uint8Array =>
  name === ''
    ? new Uint8Array(0)
    : avbPublicKey(
        createPublicKey(createPrivateKey(readFileSync(corpusPath('avb/keys', `${name}.pem`)))),
      );

async function outcomeOf(golden: GuestCase): Promise<Record<string, unknown>> {
  try {
    const initrd = golden.initrd;
    const proved = await verifyKernelAndInitrd({
      kernel: bytesSource(read('avb/guest-policy', golden.kernel)),
      ...(initrd !== null && { initrd: bytesSource(read('avb/guest-policy', initrd)) }),
      trustedKey: keyOf(golden.trusted_key),
    });
    return {
      ok: true,
      debug_level: proved.debugLevel === 'none' ? 'None' : 'Full',
      capabilities: proved.capabilities,
      rollback_index: Number(proved.rollbackIndex),
      kernel_digest: toHex(proved.kernelDigest),
      initrd_digest: proved.initrdDigest === undefined ? null : toHex(proved.initrdDigest),
    };
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    return { error: error.code };
  }
}

/** The name before a bracket; a sentence instead of a name stands for any refusal that fits it. */
function expectedOf(golden: GuestCase): Record<string, unknown> {
  const { error } = golden.expect;
  if (error === undefined) return golden.expect;
  const name = /^([A-Za-z]+)(?:\(.*\))?$/.exec(error)?.[1];
  return { error: name ?? 'InvalidDescriptors' };
}

const guestCases =
  corpus === undefined
    ? []
    : (json('avb/guest-policy/manifest.json') as { cases: GuestCase[] }).cases;

describe.skipIf(corpus === undefined)('kernel and initrd by the rules of pvmfw', () => {
  test.each(guestCases.map((golden) => ({ ...golden, want: JSON.stringify(expectedOf(golden)) })))(
    '$kernel with $initrd under key "$trusted_key" gives $want',
    async (golden) => {
      expect(await outcomeOf(golden)).toMatchObject(expectedOf(golden));
    },
  );
});

interface AvbVerdict {
  readonly expect: string;
  readonly policy_verdict?: string;
  readonly sha256: string;
}

const vbmetas =
  corpus === undefined
    ? {}
    : (json('sig-avb/manifest.json') as { files: Record<string, AvbVerdict> }).files;

/** Accepted only when it decodes whole and its own key, one of the test keys, signed it. */
function verdictOf(data: Uint8Array): 'accept' | 'reject' {
  try {
    verifyVbmeta(data, { trustedKey: decodeVbmeta(data).publicKey });
    return 'accept';
  } catch (error) {
    if (error instanceof VerificationError || error instanceof FormatError) return 'reject';
    throw error;
  }
}

const judged = Object.entries(vbmetas).filter(([, { expect: what }]) => what !== 'footer');
const withFooter = Object.entries(vbmetas).filter(([, { expect: what }]) => what === 'footer');

describe.skipIf(corpus === undefined)('vbmeta images judged by libavb', () => {
  test.each(judged)('%s', (name, { policy_verdict: wanted, expect: libavb, sha256 }) => {
    const data = read('sig-avb', name);
    expect(createHash('sha256').update(data).digest('hex')).toBe(sha256);
    // Without a wish of the collection, libavb's verdict; where it leaves a choice, the strict one.
    const fallback = libavb === 'OK' ? 'accept' : 'reject';
    const verdict = (wanted ?? fallback) === 'accept' ? 'accept' : 'reject';
    expect(verdictOf(data)).toBe(verdict);
  });

  test.each(withFooter)('%s: a hash footer whose digest holds', async (name) => {
    const data = read('sig-avb', name);
    const { readVbmeta } = await import('../../src/formats/avb/footer.ts');
    const { verifyHashDescriptor } = await import('../../src/signing/avb/verify.ts');
    const { bytes } = await readVbmeta(bytesSource(data));
    const vbmeta = verifyVbmeta(bytes, { trustedKey: decodeVbmeta(bytes).publicKey });
    const hashes = vbmeta.descriptors.filter((descriptor) => descriptor.kind === 'hash');
    expect(hashes.length + vbmeta.descriptors.length).toBeGreaterThan(0);
    for (const descriptor of hashes) {
      await expect(verifyHashDescriptor(bytesSource(data), descriptor, 'boot')).resolves.toEqual(
        descriptor.digest,
      );
    }
  });
});
