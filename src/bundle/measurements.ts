/** The digests by which others recognize a bundle: what a verifier compares, and what to write down of a build. */

import type { Manifest } from './manifest.ts';

/** All in lower-case hexadecimal. */
export interface Measurements {
  /** SHA-256 of the signed `vbmeta_a`: stands for all partitions. */
  readonly vbmetaDigest: string;
  /** Of the AVB hash descriptors, salted. */
  readonly kernelDigest: string;
  readonly initrdNormalDigest: string;
  readonly initrdDebuggableDigest: string;
  /** Root digests of dm-verity by partition, `system` first. */
  readonly partitions: Readonly<Record<string, string>>;
  readonly payload: PayloadMeasurements;
  /** Further payloads by name. */
  readonly payloads: Readonly<Record<string, PayloadMeasurements>>;
}

export interface PayloadMeasurements {
  readonly package: string;
  readonly versionCode: number;
  /** Root hash of its idsig. */
  readonly apkRootDigest: string;
  readonly extraApkRootDigests: readonly string[];
}

export function measurementsOf({ chain, payload, payloads = {} }: Manifest): Measurements {
  const ofPayload = (
    { package: name, versionCode }: Manifest['payload'],
    { apkRootDigest, extraApkRootDigests = [] }: Partial<PayloadMeasurements> & ApkRoot,
  ): PayloadMeasurements => ({ package: name, versionCode, apkRootDigest, extraApkRootDigests });
  return {
    vbmetaDigest: chain.vbmetaDigest,
    kernelDigest: chain.kernelDigest,
    initrdNormalDigest: chain.initrdNormalDigest,
    initrdDebuggableDigest: chain.initrdDebuggableDigest,
    partitions: { system: chain.systemRootDigest, ...chain.partitionRootDigests },
    payload: ofPayload(payload, chain),
    payloads: Object.fromEntries(
      Object.entries(payloads).map(([name, each]) => [name, ofPayload(each, each)]),
    ),
  };
}

interface ApkRoot {
  readonly apkRootDigest: string;
}
