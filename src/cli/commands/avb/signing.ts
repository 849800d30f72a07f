/** From the command line to what a vbmeta is signed with and holds: the options of all signing verbs. */

import { readFile } from 'node:fs/promises';
import type { Options } from 'yargs';
import { UsageError } from '../../../core/errors.ts';
import { avbAlgorithm, type AvbAlgorithm } from '../../../formats/avb/algorithm.ts';
import type { ChainPartitionDescriptor, Descriptor } from '../../../formats/avb/descriptor.ts';
import { orderDescriptors, type DescriptorSources } from '../../../formats/avb/order.ts';
import { requiredLibavbMinor } from '../../../formats/avb/vbmeta.ts';
import { readAvbKey } from '../../../signing/avb/key-file.ts';
import { vbmetaOf } from '../../../signing/avb/loaded-vbmeta.ts';
import { mldsaSigner, type MldsaSigner } from '../../../signing/avb/mldsa.ts';
import { requireMldsa } from '../../../signing/avb/public-key.ts';
import type { VbmetaSigning } from '../../../signing/avb/sign.ts';
import { helperSigner } from '../../../signing/keys/helper-signer.ts';
import { knownTestKey } from '../../../signing/keys/known-test-keys.ts';
import { readPrivateKey } from '../../../signing/keys/private-key-file.ts';
import type { Signer } from '../../../signing/signer.ts';
import type { CommandArguments, CommandContext } from '../../command.ts';
import { openForReading } from './images.ts';
import { keyPassOption, openForVerb } from './opened-keys.ts';
import {
  flagOption,
  lastText,
  listOption,
  parseNumber,
  splitAtColons,
  textOption,
  u32Of,
  u64Of,
} from './options.ts';

export const helperOptions: Record<string, Options> = {
  ...keyPassOption,
  signing_helper: textOption(
    'Program that signs: gets algorithm and key as arguments, the padded digest on stdin, answers on stdout',
  ),
  signing_helper_with_files: textOption('The same, with a file as third argument instead of pipes'),
};

/** Of `make_vbmeta_image`, `add_hash_footer` and `add_hashtree_footer`. */
export const signingOptions: Record<string, Options> = {
  algorithm: textOption(
    'NONE, SHA256_RSA2048, SHA256_RSA4096, SHA256_RSA8192, SHA512_RSA2048, SHA512_RSA4096, SHA512_RSA8192, MLDSA65 or MLDSA87',
    { default: 'NONE' },
  ),
  key: textOption(
    'Private key: a file, or p12:, jks:, pkcs11: or helper:; with a signing helper, the public key',
  ),
  ...helperOptions,
  public_key_metadata: textOption('File with metadata of the public key'),
  rollback_index: textOption('Devices refuse an image with a lower one', { default: '0' }),
  rollback_index_location: textOption('Where the device counts it', { default: '0' }),
  internal_release_string: textOption('Release string, whole', { hidden: true }),
  append_to_release_string: textOption('Text behind the release string'),
  prop: listOption('Property, as KEY:VALUE; again for more'),
  prop_from_file: listOption('Property with the content of a file, as KEY:PATH'),
  kernel_cmdline: listOption('Text for the kernel command line'),
  setup_rootfs_from_kernel: textOption('Add the command line that makes this image the root', {
    alias: 'generate_dm_verity_cmdline_from_hashtree',
  }),
  include_descriptors_from_image: listOption('Take over the descriptors of this image'),
  print_required_libavb_version: flagOption(
    'Only print which libavb a device needs for these options',
  ),
  chain_partition: listOption('Leave a partition to another key, as NAME:LOCATION:KEY'),
  chain_partition_do_not_use_ab: listOption('The same, for a partition without A/B slots'),
  flags: textOption('Flags of the vbmeta', { default: '0' }),
  set_hashtree_disabled_flag: flagOption('Set the flag that disables hash trees'),
  set_verification_disabled_flag: flagOption('Set the flag that disables verification'),
};

/** Of `add_hash_footer` and `add_hashtree_footer`. */
export const footerOptions: Record<string, Options> = {
  output_vbmeta_image: textOption('Write the vbmeta to this file, too'),
  do_not_append_vbmeta_image: flagOption('Leave vbmeta and footer out of the image'),
  use_persistent_digest: flagOption('The device keeps the digest, the descriptor leaves it out'),
  do_not_use_ab: flagOption('The partition has no A/B slots'),
  calc_max_image_size: flagOption('Only print how large an image may be in such a partition'),
};

const HASHTREE_DISABLED = 1;
const VERIFICATION_DISABLED = 2;
const DEFAULT_RELEASE = 'microbuild';
/** In seconds. avbtool waits for ever; a person at a token needs less. */
const HELPER_TIMEOUT = 600;

/** A program that signs with a key, or undefined when none is asked for. */
async function helperOf(
  args: CommandArguments,
  keyPath: string,
  { env, signal }: CommandContext,
): Promise<Signer | undefined> {
  const withFiles = lastText(args, 'signing_helper_with_files');
  const program = withFiles ?? lastText(args, 'signing_helper');
  if (program === undefined) return undefined;
  const { key } = await readAvbKey(keyPath);
  return helperSigner({
    program,
    args: [],
    mode: withFiles === undefined ? 'raw' : 'raw-file',
    key: keyPath,
    publicKey: key,
    timeoutSeconds: HELPER_TIMEOUT,
    env,
    signal,
  });
}

/** Signs with the RSA key that `path` refers to, or through the helper that the options name. */
export async function rsaSigner(
  args: CommandArguments,
  path: string,
  context: CommandContext,
): Promise<Signer> {
  const { reporter } = context;
  const signer = (await helperOf(args, path, context)) ?? (await openForVerb(path, args, context));
  const published = knownTestKey(signer.publicKey);
  if (published !== undefined) {
    reporter.report({
      kind: 'warning',
      message: `${path} is a test key that everybody has (${published})`,
      hint: 'Sign releases with a key of your own',
    });
  }
  return signer;
}

async function signerOf(
  args: CommandArguments,
  algorithm: AvbAlgorithm,
  context: CommandContext,
): Promise<Signer | MldsaSigner | undefined> {
  const path = lastText(args, 'key');
  if (algorithm.scheme === 'none') {
    if (path !== undefined) {
      context.reporter.report({
        kind: 'warning',
        message: `--key ${path} is not used: with --algorithm NONE nothing is signed`,
      });
    }
    return undefined;
  }
  if (path === undefined) {
    throw new UsageError('key', `Cannot sign with ${algorithm.name}: a key is needed`, {
      hint: 'Name it with --key',
    });
  }
  if (algorithm.scheme === 'rsa') return rsaSigner(args, path, context);
  requireMldsa();
  if (lastText(args, 'signing_helper') ?? lastText(args, 'signing_helper_with_files')) {
    throw new UsageError('key', 'Cannot sign ML-DSA with a signing helper: it signs no digest');
  }
  return mldsaSigner(await readPrivateKey(path));
}

async function readInput(path: string): Promise<Uint8Array> {
  return new Uint8Array(await readFile(path));
}

async function chainsOf(
  args: CommandArguments,
  option: string,
  flags: number,
): Promise<ChainPartitionDescriptor[]> {
  const chains: ChainPartitionDescriptor[] = [];
  for (const text of args.list(option)) {
    const { partition, location, publicKey } = await parseChain(text);
    chains.push({
      kind: 'chain-partition',
      partitionName: partition,
      rollbackIndexLocation: location,
      publicKey,
      flags,
    });
  }
  return chains;
}

/** Reads `NAME:LOCATION:KEY`, where KEY is a file. */
export async function parseChain(text: string): Promise<{
  readonly partition: string;
  readonly location: number;
  readonly publicKey: Uint8Array;
}> {
  const [partition = '', location = '', path = ''] = splitAtColons(text, 3, 'NAME:LOCATION:KEY');
  return {
    partition,
    location: Number(parseNumber(location, 'chain_partition', 0xffff_ffffn)),
    publicKey: (await readAvbKey(path)).blob,
  };
}

/** What a vbmeta will hold and how it will be signed. */
export interface SigningRequest {
  readonly vbmeta: VbmetaSigning;
  readonly descriptors: DescriptorSources;
}

/** Reads every file that the options name, but no key. */
async function descriptorSourcesOf(
  args: CommandArguments,
): Promise<{ readonly sources: DescriptorSources; readonly requiredMinor: number }> {
  const properties = [];
  for (const text of args.list('prop')) {
    const [key = '', value = ''] = splitAtColons(text, 2, 'KEY:VALUE');
    properties.push({ kind: 'property', key, value: new TextEncoder().encode(value) } as const);
  }
  for (const text of args.list('prop_from_file')) {
    const [key = '', path = ''] = splitAtColons(text, 2, 'KEY:PATH');
    properties.push({ kind: 'property', key, value: await readInput(path) } as const);
  }
  const included: Descriptor[] = [];
  let requiredMinor = 0;
  for (const path of args.list('include_descriptors_from_image')) {
    const { vbmeta } = await vbmetaOf(path, openForReading);
    included.push(...vbmeta.descriptors);
    requiredMinor = Math.max(requiredMinor, vbmeta.requiredMinor);
  }
  const rootfsPath = lastText(args, 'setup_rootfs_from_kernel');
  const rootfs =
    rootfsPath === undefined
      ? undefined
      : (await vbmetaOf(rootfsPath, openForReading)).vbmeta.descriptors.find(
          (each) => each.kind === 'hashtree',
        );
  if (rootfsPath !== undefined && rootfs === undefined) {
    throw new UsageError('input', `Cannot set up ${rootfsPath} as root: it has no hash tree`);
  }
  const sources: DescriptorSources = {
    chains: [
      ...(await chainsOf(args, 'chain_partition', 0)),
      ...(await chainsOf(args, 'chain_partition_do_not_use_ab', 1)),
    ],
    properties,
    ...(rootfs !== undefined && { rootfs }),
    kernelCmdlines: args
      .list('kernel_cmdline')
      .map((kernelCmdline) => ({ kind: 'kernel-cmdline', flags: 0, kernelCmdline }) as const),
    included,
  };
  return { sources, requiredMinor };
}

/** The libavb 1.x that a device needs for a vbmeta with these options. */
export async function requiredMinorOf(args: CommandArguments, usesFlags: boolean): Promise<number> {
  const { sources, requiredMinor } = await descriptorSourcesOf(args);
  const rollbackIndexLocation = u32Of(args, 'rollback_index_location');
  const descriptors = orderDescriptors(undefined, sources);
  return Math.max(
    requiredMinor,
    usesFlags ? 1 : 0,
    requiredLibavbMinor({ descriptors, rollbackIndexLocation }),
  );
}

/** Reads the options, the files they name, and the key. */
export async function signingRequest(
  args: CommandArguments,
  context: CommandContext,
): Promise<SigningRequest> {
  const algorithm = avbAlgorithm(lastText(args, 'algorithm') ?? 'NONE');
  const { sources, requiredMinor } = await descriptorSourcesOf(args);
  const metadata = lastText(args, 'public_key_metadata');
  const release = lastText(args, 'internal_release_string') ?? DEFAULT_RELEASE;
  const appended = lastText(args, 'append_to_release_string');
  const signer = await signerOf(args, algorithm, context);
  return {
    descriptors: sources,
    vbmeta: {
      algorithm: algorithm.name,
      ...(signer !== undefined && { signer }),
      rollbackIndex: u64Of(args, 'rollback_index'),
      rollbackIndexLocation: u32Of(args, 'rollback_index_location'),
      flags:
        (u32Of(args, 'flags') |
          (args.flag('set_hashtree_disabled_flag') ? HASHTREE_DISABLED : 0) |
          (args.flag('set_verification_disabled_flag') ? VERIFICATION_DISABLED : 0)) >>>
        0,
      releaseString: appended === undefined ? release : `${release} ${appended}`,
      requiredMinor,
      ...(metadata !== undefined && { publicKeyMetadata: await readInput(metadata) }),
    },
  };
}
