/** The payload disk's part of the chain of trust: what is started, and every APK that goes with it. */

import { ARCHITECTURES } from '../core/arch.ts';
import { toHex } from '../core/digest.ts';
import {
  FormatError,
  MicrobuildError,
  VerificationError,
  type VerificationCode,
} from '../core/errors.ts';
import { decodePayloadMetadata, type PayloadStart } from '../formats/payload-metadata/metadata.ts';
import { readEntry } from '../formats/zip/read-entry.ts';
import { readZip } from '../formats/zip/read.ts';
import { sliceSource, type ByteSource } from '../io/byte-source.ts';
import type { ApkHasher } from '../signing/apk/content-digests.ts';
import { verifyIdsig } from '../signing/apk/verify-idsig.ts';
import { verifyPayload, type VerifiedApk } from '../signing/apk/verify.ts';
import { extraApkCount, extraApkLabel, extraIdsigLabel, LABELS } from './layout.ts';
import type { Bundle, Disk } from './open.ts';
import {
  APK_DIRECTORY,
  MAX_PAYLOAD_CONFIG_SIZE,
  parsePayloadConfig,
  type PayloadConfig,
  type PayloadTask,
} from './payload-config.ts';

/** Proves one link: its name, for people what vouches for what, and the work that finds out. */
export type Prove = <T>(
  link: string,
  title: string,
  work: () => Promise<readonly [detail: string, value: T]>,
) => Promise<T>;

/** Whom the guest trusts with the payload. */
export interface Trust {
  /** Digests of accepted certificates, from the bootconfig. */
  readonly certificates: readonly string[];
  readonly hasher?: ApkHasher | undefined;
}

/** A payload disk, and what is known of it. */
interface PayloadDisk {
  readonly disk: Disk;
  /** Whether its idsigs may be such as were made without the signer's key. */
  readonly isComposed: boolean;
  readonly abi: string;
}

/**
 * Proves all links of all payload disks.
 *
 * @throws {VerificationError} with the broken link's name.
 */
export async function verifyPayloads(bundle: Bundle, prove: Prove, trust: Trust): Promise<void> {
  const { abi } = ARCHITECTURES[bundle.manifest.arch];
  const { isComposed } = bundle;
  await verifyPayloadDisk({ disk: bundle.payload, isComposed, abi }, prove, trust);
  for (const [name, disk] of bundle.payloads) {
    const suffix = `, of payload ${name}`;
    const titled: Prove = (link, title, work) =>
      prove(link, `${title}${suffix}`, () => naming(name, work));
    await verifyPayloadDisk({ disk, isComposed, abi }, titled, trust);
  }
}

/** Errors about one of several payloads say which one. */
async function naming<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof MicrobuildError) cause.message = `In payload ${name}: ${cause.message}`;
    throw cause;
  }
}

async function verifyPayloadDisk(of: PayloadDisk, prove: Prove, trust: Trust): Promise<void> {
  const start = await prove('payload-metadata', 'payload disk → what to start', async () => {
    const partition = await of.disk.partition(LABELS.metadata);
    const { payload, apexes } = decodePayloadMetadata(await partition.read(0, partition.size));
    if (payload === undefined || apexes.length > 0) {
      const why = payload === undefined ? 'It names no payload' : 'It names APEXes';
      throw new FormatError('payload-metadata', 'unsupported', why);
    }
    const detail = payload.kind === 'config' ? payload.payloadBinaryName : payload.path;
    return [detail, payload] as const;
  });
  const apk = await verifyOne(of, prove, trust, {
    name: 'the APK',
    apk: LABELS.apk,
    idsig: LABELS.idsig,
    unsignedIdsig: of.isComposed,
  });
  const count = extraApkCount((await of.disk.table()).partitions.map(({ label }) => label));
  for (let index = 0; index < count; index++) {
    await verifyOne(of, prove, trust, {
      name: extraApkLabel(index),
      apk: extraApkLabel(index),
      idsig: extraIdsigLabel(index),
      unsignedIdsig: true,
    });
  }
  await verifyStart(of, prove, start, { apk, extraApks: count });
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
  { disk }: PayloadDisk,
  prove: Prove,
  { certificates, hasher }: Trust,
  of: ApkPartitions,
): Promise<ByteSource> {
  const { apk: partition, verified } = await prove(
    'payload-signature',
    `signer → every byte of ${of.name} (v3)`,
    async () => {
      const source = await disk.partition(of.apk);
      const found = await verifyPayload(source, { hasher, tree: true });
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
    const idsig = await disk.partition(of.idsig);
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
  { abi }: PayloadDisk,
  prove: Prove,
  start: PayloadStart,
  payload: { readonly apk: ByteSource; readonly extraApks: number },
): Promise<void> {
  const { apk, extraApks } = payload;
  const names = new Set((await readZip(apk)).entries.map(({ name }) => name));
  const check = (task: PayloadTask, wanted: number): void => {
    if (wanted !== extraApks) {
      const counts = `it expects ${wanted} extra APKs, and the disk has ${extraApks}`;
      throw startError('extra-apk-count', counts);
    }
    const name = entryOf(task, abi);
    if (name !== undefined && !names.has(name)) throw startError('missing', `it has no ${name}`);
  };
  if (start.kind === 'config') {
    check({ type: 'microdroid_launcher', command: start.payloadBinaryName }, start.extraApkCount);
    return;
  }
  await prove('payload-config', 'APK → what to run', async () => {
    const config = await readPayloadConfig(apk, start.path);
    check(config.task, config.extraApkCount);
    return [`${config.task.type} ${config.task.command}`, undefined];
  });
}

const startError = (code: VerificationCode, why: string): VerificationError =>
  new VerificationError('payload-config', code, `Cannot start payload: ${why}`);

/** The file of the APK that is run; a program of the system is looked for by the guest. */
function entryOf({ type, command }: PayloadTask, abi: string): string | undefined {
  if (type === 'microdroid_launcher') return `lib/${abi}/${command}`;
  return command.startsWith(APK_DIRECTORY) ? command.slice(APK_DIRECTORY.length) : undefined;
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
