/**
 * The verbs of avbtool that have a counterpart here, as a table from command line to our functions.
 * Files are byte arrays by name.
 */

import { createHash, createPrivateKey } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { equalBytes, fromHex, sha256, toHex } from '../../../src/core/digest.ts';
import { VerificationError } from '../../../src/core/errors.ts';
import { alignUp } from '../../../src/core/math.ts';
import type { AvbAlgorithmName } from '../../../src/formats/avb/algorithm.ts';
import type { Descriptor } from '../../../src/formats/avb/descriptor.ts';
import { readVbmeta } from '../../../src/formats/avb/footer.ts';
import { decodeVbmeta, requiredLibavbMinor } from '../../../src/formats/avb/vbmeta.ts';
import { bytesSource } from '../../../src/io/byte-source.ts';
import { MemorySink } from '../../../src/io/image-sink.ts';
import { avbPublicKey } from '../../../src/signing/avb/public-key.ts';
import {
  addHashFooter,
  addHashtreeFooter,
  hashtreeDescriptor,
  signVbmeta,
  type VbmetaSigning,
} from '../../../src/signing/avb/sign.ts';
import { verifyHashtreeImage } from '../../../src/signing/avb/verify-hashtree.ts';
import {
  computeVbmetaDigest,
  verifyHashDescriptor,
  verifyVbmeta,
} from '../../../src/signing/avb/verify.ts';
import { keySigner } from '../../../src/signing/signer.ts';
import { computeHashTree } from '../../../src/verity/hash-tree.ts';
import { corpusPath } from '../../support/corpus.ts';
import type { Arguments } from './avb-cases.ts';
import { infoImage } from './avb-info.ts';

export type Files = Map<string, Uint8Array>;

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

function get(files: Files, name: string | undefined): Uint8Array {
  const bytes = name === undefined ? undefined : files.get(name);
  if (bytes !== undefined) return bytes;
  const path = corpusPath('avb', name ?? '');
  if (name !== undefined && existsSync(path)) return new Uint8Array(readFileSync(path));
  throw new Error(`No file ${name}`);
}

const signerOf = (name: string): ReturnType<typeof keySigner> =>
  keySigner(createPrivateKey(readFileSync(corpusPath('avb/keys', name))));

/** The public key of a key file or of AVB's own encoding of it. */
function keyBlob(files: Files, name: string): Uint8Array {
  const chained = /^pk_(.*)\.bin$/.exec(name)?.[1];
  if (files.has(name)) return get(files, name);
  return avbPublicKey(signerOf(chained ?? name).publicKey);
}

function signing(args: Arguments, files: Files): VbmetaSigning {
  const key = args.one('key');
  const metadata = args.one('public_key_metadata');
  const release = args.one('internal_release_string') ?? 'avbtool 1.3.0';
  const appended = args.one('append_to_release_string');
  let flags = Number(args.one('flags') ?? 0);
  if (args.flag('set_hashtree_disabled_flag')) flags |= 1;
  if (args.flag('set_verification_disabled_flag')) flags |= 2;
  return {
    algorithm: (args.one('algorithm') ?? 'NONE') as AvbAlgorithmName,
    ...(key !== undefined && { signer: signerOf(key) }),
    rollbackIndex: BigInt(args.one('rollback_index') ?? 0),
    rollbackIndexLocation: Number(args.one('rollback_index_location') ?? 0),
    flags,
    releaseString: appended === undefined ? release : `${release} ${appended}`,
    ...(metadata !== undefined && { publicKeyMetadata: get(files, metadata) }),
  };
}

async function vbmetaOf(files: Files, name: string): ReturnType<typeof readVbmeta> {
  return readVbmeta(bytesSource(get(files, name), name));
}

/** Descriptors beside an image's own, in avbtool's order. */
async function moreDescriptors(args: Arguments, files: Files): Promise<Descriptor[]> {
  const chain = (name: string, flags: number): Descriptor[] =>
    args.all(name).map((option) => {
      const [partitionName = '', location = '', key = ''] = option.split(':');
      return {
        kind: 'chain-partition',
        partitionName,
        rollbackIndexLocation: Number(location),
        publicKey: keyBlob(files, key),
        flags,
      };
    });
  const properties = args.all('prop').map((option): Descriptor => {
    const at = option.indexOf(':');
    return { kind: 'property', key: option.slice(0, at), value: text(option.slice(at + 1)) };
  });
  const cmdlines = args
    .all('kernel_cmdline')
    .map((kernelCmdline): Descriptor => ({ kind: 'kernel-cmdline', flags: 0, kernelCmdline }));
  const included: Descriptor[] = [];
  for (const name of args.all('include_descriptors_from_image')) {
    included.push(...decodeVbmeta((await vbmetaOf(files, name)).bytes).descriptors);
  }
  return [
    ...chain('chain_partition', 0),
    ...chain('chain_partition_do_not_use_ab', 1),
    ...properties,
    ...cmdlines,
    ...orderIncluded(included),
  ];
}

/** Those without partition first, then by class and partition; the last of a partition wins. */
function orderIncluded(descriptors: readonly Descriptor[]): Descriptor[] {
  const named = new Map<string, Descriptor>();
  const rest: Descriptor[] = [];
  for (const descriptor of descriptors) {
    if (descriptor.kind === 'property' || descriptor.kind === 'kernel-cmdline') {
      rest.push(descriptor);
    } else {
      named.set(`${descriptor.kind} ${descriptor.partitionName}`, descriptor);
    }
  }
  const order = [...named.keys()].toSorted();
  return [...rest, ...order.flatMap((key) => named.get(key) ?? [])];
}

function appendVbmeta(args: Arguments, files: Files, image: Uint8Array, vbmeta: Uint8Array): void {
  const output = args.one('output_vbmeta_image');
  if (output !== undefined) files.set(output, vbmeta);
  files.set(args.one('image') ?? '', image);
}

async function addHash(args: Arguments, files: Files): Promise<string> {
  const hashAlgorithm = (args.one('hash_algorithm') ?? 'sha256') as 'sha256';
  const persistentDigest = args.flag('use_persistent_digest');
  const flags = args.flag('do_not_use_ab') ? 1 : 0;
  const salt = fromHex(args.one('salt') ?? '');
  const image = get(files, args.one('image'));
  const partitionSize = args.flag('dynamic_partition_size')
    ? 'dynamic'
    : Number(args.one('partition_size'));
  const hash = {
    partitionName: args.one('partition_name') ?? '',
    salt,
    hashAlgorithm,
    persistentDigest,
    flags,
  };
  const vbmeta = signing(args, files);
  const descriptors = await moreDescriptors(args, files);
  const sink = new MemorySink();
  const result = await addHashFooter(bytesSource(image), sink, {
    hash,
    vbmeta,
    partitionSize,
    descriptors,
  });
  if (args.flag('print_required_libavb_version')) {
    return `1.${decodeVbmeta(result.vbmeta).requiredMinor}\n`;
  }
  const appended = !args.flag('do_not_append_vbmeta_image');
  appendVbmeta(args, files, appended ? sink.bytes() : image, result.vbmeta);
  return '';
}

async function addHashtree(args: Arguments, files: Files): Promise<string> {
  args.flag('do_not_generate_fec');
  const algorithm = (args.one('hash_algorithm') ?? 'sha1') as 'sha256';
  const original = get(files, args.one('image'));
  const partitionSize = Number(args.one('partition_size') ?? 0);
  if (partitionSize === 0 && original.length % 4096 !== 0) {
    throw new RangeError('Without partition size the image must be whole blocks');
  }
  const imageSize = alignUp(original.length, 4096);
  const data = new Uint8Array(imageSize);
  data.set(original);
  const salt = fromHex(args.one('salt') ?? '');
  const { rootDigest, tree } = await computeHashTree(bytesSource(data), { algorithm, salt });
  const treeOptions = {
    partitionName: args.one('partition_name') ?? '',
    imageSize,
    treeOffset: imageSize,
    treeSize: tree.length,
    rootDigest: args.flag('use_persistent_digest') ? new Uint8Array(0) : rootDigest,
    salt,
    hashAlgorithm: algorithm,
    flags: (args.flag('do_not_use_ab') ? 1 : 0) | (args.flag('check_at_most_once') ? 2 : 0),
  };
  const vbmeta = signing(args, files);
  const descriptors = await moreDescriptors(args, files);
  if (args.flag('print_required_libavb_version')) {
    const all = [hashtreeDescriptor(treeOptions), ...descriptors];
    return `1.${requiredLibavbMinor({ descriptors: all, rollbackIndexLocation: vbmeta.rollbackIndexLocation ?? 0 })}\n`;
  }
  const sink = new MemorySink();
  await sink.write(0, data);
  await sink.write(imageSize, tree);
  const withoutVbmeta = sink.bytes();
  const result = await addHashtreeFooter(sink, {
    tree: treeOptions,
    vbmeta,
    partitionSize: partitionSize === 0 ? 'minimal' : partitionSize,
    originalImageSize: original.length,
    descriptors,
  });
  const appended = !args.flag('do_not_append_vbmeta_image');
  appendVbmeta(args, files, appended ? sink.bytes() : withoutVbmeta, result.vbmeta);
  return '';
}

async function makeVbmeta(args: Arguments, files: Files): Promise<string> {
  const options = signing(args, files);
  const vbmeta = await signVbmeta({ ...options, descriptors: await moreDescriptors(args, files) });
  if (args.flag('print_required_libavb_version')) {
    return `1.${decodeVbmeta(vbmeta).requiredMinor}\n`;
  }
  const padding = Number(args.one('padding_size') ?? 0);
  const padded = new Uint8Array(padding === 0 ? vbmeta.length : alignUp(vbmeta.length, padding));
  padded.set(vbmeta);
  files.set(args.one('output') ?? '', padded);
  return '';
}

/** A partition is the image `<partition>.<extension of the first image>`, as avbtool looks for it. */
function partitionImage(files: Files, image: string, partition: string): string {
  const own = [...files.keys()].find((name) => name.split('.')[0] === partition);
  return own ?? image;
}

async function verifyImage(args: Arguments, files: Files): Promise<string> {
  const name = args.one('image') ?? '';
  const { bytes } = await vbmetaOf(files, name);
  const unverified = decodeVbmeta(bytes);
  const key = args.one('key');
  const vbmeta =
    unverified.algorithm === 'NONE'
      ? unverified
      : verifyVbmeta(bytes, {
          trustedKey: key === undefined ? unverified.publicKey : keyBlob(files, key),
        });
  const expected = args.all('expected_chain_partition').map((option) => option.split(':'));
  const follow = args.flag('follow_chain_partitions');
  for (const descriptor of vbmeta.descriptors) {
    if (descriptor.kind === 'property' || descriptor.kind === 'kernel-cmdline') continue;
    const image = get(files, partitionImage(files, name, descriptor.partitionName));
    if (descriptor.kind === 'hash') {
      // avbtool also takes sha1, which libavb and our verifier refuse.
      if (descriptor.hashAlgorithm === 'sha1') continue;
      await verifyHashDescriptor(bytesSource(image), descriptor, 'image');
    } else if (descriptor.kind === 'hashtree') {
      await verifyHashtreeImage(bytesSource(image), descriptor);
    } else if (!follow) {
      const match = expected.some(
        ([partition, location, file]) =>
          partition === descriptor.partitionName &&
          Number(location) === descriptor.rollbackIndexLocation &&
          equalBytes(keyBlob(files, file ?? ''), descriptor.publicKey),
      );
      if (!match) throw new VerificationError('vbmeta', 'Verification', 'Chain not expected');
    }
  }
  return '';
}

async function vbmetaDigest(args: Arguments, files: Files): Promise<string> {
  const algorithm = (args.one('hash_algorithm') ?? 'sha256') as 'sha256';
  const name = args.one('image') ?? '';
  const { bytes } = await vbmetaOf(files, name);
  const vbmeta = decodeVbmeta(bytes);
  const chained = vbmeta.descriptors.filter(({ kind }) => kind === 'chain-partition');
  if (chained.length === 0) return `${toHex(computeVbmetaDigest(bytes, algorithm))}\n`;
  const hash = createHash(algorithm).update(bytes.subarray(0, vbmeta.size));
  for (const descriptor of chained) {
    if (descriptor.kind !== 'chain-partition') continue;
    const image = partitionImage(files, name, descriptor.partitionName);
    hash.update((await vbmetaOf(files, image)).bytes);
  }
  return `${hash.digest('hex')}\n`;
}

async function partitionDigests(args: Arguments, files: Files): Promise<string> {
  const name = args.one('image') ?? '';
  const found: { name: string; digest: string }[] = [];
  const collect = async (image: string): Promise<void> => {
    for (const descriptor of decodeVbmeta((await vbmetaOf(files, image)).bytes).descriptors) {
      if (descriptor.kind === 'chain-partition') {
        await collect(partitionImage(files, image, descriptor.partitionName));
      } else if (descriptor.kind === 'hash') {
        found.push({ name: descriptor.partitionName, digest: toHex(descriptor.digest) });
      } else if (descriptor.kind === 'hashtree') {
        found.push({ name: descriptor.partitionName, digest: toHex(descriptor.rootDigest) });
      }
    }
  };
  await collect(name);
  if (args.flag('json')) return JSON.stringify({ partitions: found }, null, 2);
  return found.map((partition) => `${partition.name}: ${partition.digest}\n`).join('');
}

/** What each verb prints, by name; a failure is a thrown error. */
export const verbs: Readonly<
  Record<string, (args: Arguments, files: Files) => Promise<string> | string>
> = {
  make_vbmeta_image: makeVbmeta,
  add_hash_footer: addHash,
  add_hashtree_footer: addHashtree,
  verify_image: verifyImage,
  calculate_vbmeta_digest: vbmetaDigest,
  print_partition_digests: partitionDigests,
  info_image: async (args, files) => {
    const name = args.one('image') ?? '';
    return infoImage(get(files, name));
  },
  extract_public_key(args, files) {
    files.set(args.one('output') ?? '', keyBlob(files, args.one('key') ?? ''));
    return '';
  },
  extract_public_key_digest(args, files) {
    const digest = toHex(sha256(keyBlob(files, args.one('key') ?? '')));
    files.set(args.one('output') ?? '', text(digest));
    return '';
  },
};
