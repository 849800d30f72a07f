/** The payload disk's part of the chain of trust: what is started, and every APK that goes with it. */

import { toHex } from '../core/digest.ts';
import { FormatError, VerificationError } from '../core/errors.ts';
import { decodePayloadMetadata, type PayloadStart } from '../formats/payload-metadata/metadata.ts';
import { readEntry } from '../formats/zip/read-entry.ts';
import { sliceSource, type ByteSource } from '../io/byte-source.ts';
import type { ApkHasher } from '../signing/apk/content-digests.ts';
import { verifyIdsig } from '../signing/apk/verify-idsig.ts';
import { verifyPayload, type VerifiedApk } from '../signing/apk/verify.ts';
import { extraApkCount, extraApkLabel, extraIdsigLabel, LABELS } from './layout.ts';
import type { Bundle } from './open.ts';
import {
  APK_DIRECTORY,
  MAX_PAYLOAD_CONFIG_SIZE,
  parsePayloadConfig,
  type PayloadConfig,
} from './payload-config.ts';

/** Proves one link: its name, for people what vouches for what, and the work that finds out. */
export type Prove = <T>(
  link: string,
  title: string,
  work: () => Promise<readonly [detail: string, value: T]>,
) => Promise<T>;

interface Trust {
  /** Digests of accepted certificates, from the bootconfig. */
  readonly certificates: readonly string[];
  readonly hasher?: ApkHasher | undefined;
}

/**
 * Proves all links of the payload disk.
 *
 * @throws {VerificationError} with the broken link's name.
 */
export async function verifyPayloadDisk(bundle: Bundle, prove: Prove, trust: Trust): Promise<void> {
  const start = await prove('payload-metadata', 'payload disk → what to start', async () => {
    const partition = await bundle.payload.partition(LABELS.metadata);
    const { payload, apexes } = decodePayloadMetadata(await partition.read(0, partition.size));
    if (payload === undefined || apexes.length > 0) {
      const why = payload === undefined ? 'It names no payload' : 'It names APEXes';
      throw new FormatError('payload-metadata', 'unsupported', why);
    }
    const detail = payload.kind === 'config' ? payload.payloadBinaryName : payload.path;
    return [detail, payload] as const;
  });
  const apk = await verifyOne(bundle, prove, trust, {
    name: 'the APK',
    apk: LABELS.apk,
    idsig: LABELS.idsig,
    unsignedIdsig: bundle.isComposed,
  });
  const count = extraApkCount((await bundle.payload.table()).partitions.map(({ label }) => label));
  for (let index = 0; index < count; index++) {
    await verifyOne(bundle, prove, trust, {
      name: extraApkLabel(index),
      apk: extraApkLabel(index),
      idsig: extraIdsigLabel(index),
      unsignedIdsig: true,
    });
  }
  await verifyStart(prove, start, apk, count);
}

interface ApkPartitions {
  /** For people. */
  readonly name: string;
  readonly apk: string;
  readonly idsig: string;
  /** Whether the idsig may be one that was made without the signer's key. */
  readonly unsignedIdsig: boolean;
}

async function verifyOne(
  bundle: Bundle,
  prove: Prove,
  { certificates, hasher }: Trust,
  of: ApkPartitions,
): Promise<ByteSource> {
  const { apk: partition, verified } = await prove(
    'payload-signature',
    `signer → every byte of ${of.name} (v3)`,
    async () => {
      const source = await bundle.payload.partition(of.apk);
      const found = await verifyPayload(source, { hasher });
      return [
        `content digest ${toHex(found.contentDigest)}`,
        { apk: source, verified: found },
      ] as const;
    },
  );
  await prove('payload-certificate', `bootconfig → signer’s certificate${ofExtra(of)}`, () =>
    Promise.resolve([accepted(verified, certificates, of), undefined]),
  );
  const signed = of.unsignedIdsig ? 'content digest' : 'APK’s signer';
  await prove('idsig', `${signed} → idsig → every block of ${of.name}`, async () => {
    const idsig = await bundle.payload.partition(of.idsig);
    const { rootHash } = await verifyIdsig(partition, idsig, {
      apk: verified,
      allowUnsigned: of.unsignedIdsig,
      ...(hasher && { hasher }),
    });
    return [`sha256 root digest ${toHex(rootHash)}`, undefined];
  });
  return sliceSource(partition, 0, verified.size);
}

const ofExtra = ({ name, apk }: ApkPartitions): string =>
  apk === LABELS.apk ? '' : `, of ${name}`;

function accepted(
  { certificateDigests: { sha256, sha512 } }: VerifiedApk,
  certificates: readonly string[],
  of: ApkPartitions,
): string {
  const own = [`sha256:${toHex(sha256)}`, `sha512:${toHex(sha512)}`];
  const found = own.find((each) => certificates.includes(each));
  if (found !== undefined) return found;
  const what = of.apk === LABELS.apk ? 'payload' : of.name;
  throw new VerificationError(
    'payload-certificate',
    'untrusted-certificate',
    `Cannot trust ${what}: its certificate is not one that the bootconfig names`,
    {
      expected: certificates.join(' or ') || 'no certificate at all',
      actual: own[0] ?? '',
    },
  );
}

/** What is started is there, and wants as many extra APKs as there are. */
async function verifyStart(
  prove: Prove,
  start: PayloadStart,
  apk: ByteSource,
  count: number,
): Promise<void> {
  if (start.kind === 'config') {
    requireCount(start.extraApkCount, count);
    return;
  }
  await prove('payload-config', 'APK → what to run', async () => {
    const config = await readPayloadConfig(apk, start.path);
    requireCount(config.extraApkCount, count);
    return [`${config.task.type} ${config.task.command}`, undefined];
  });
}

function requireCount(wanted: number, count: number): void {
  if (wanted === count) return;
  throw new VerificationError(
    'payload-config',
    'extra-apk-count',
    `Cannot start payload: it expects ${wanted} extra APKs, and the disk has ${count}`,
  );
}

/** @param path As the guest sees it, below `/mnt/apk/`. */
async function readPayloadConfig(apk: ByteSource, path: string): Promise<PayloadConfig> {
  const entry = path.startsWith(APK_DIRECTORY) ? path.slice(APK_DIRECTORY.length) : undefined;
  const bytes = entry && (await readEntry(apk, entry, MAX_PAYLOAD_CONFIG_SIZE));
  if (!bytes) {
    throw new FormatError('payload-config', 'bad-value', `The APK has no configuration ${path}`);
  }
  return parsePayloadConfig(bytes);
}
