/**
 * Signing anew what is signed already, or was never: the descriptors stay, so that nothing of what they
 * describe is read, hashed or changed. The bytes are those of making the same vbmeta with the new key.
 */

import { createHash, type KeyObject } from 'node:crypto';
import { equalBytes } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import { avbAlgorithm, type AvbAlgorithmName } from '../../formats/avb/algorithm.ts';
import type { Descriptor } from '../../formats/avb/descriptor.ts';
import { requiredLibavbMinor, type Vbmeta } from '../../formats/avb/vbmeta.ts';
import type { Signer } from '../signer.ts';
import type { MldsaSigner } from './mldsa.ts';
import { avbPublicKey, isMldsa } from './public-key.ts';
import { signVbmeta, type VbmetaSigning } from './sign.ts';

/** What becomes of a vbmeta; what is left out stays as it is. */
export interface ResignOptions {
  readonly signer: Signer | MldsaSigner;
  /** Default: the old one's hash, with the size of the new key. */
  readonly algorithm?: AvbAlgorithmName | undefined;
  readonly rollbackIndex?: bigint | undefined;
  readonly rollbackIndexLocation?: number | undefined;
  /** 1: hash trees disabled, 2: verification disabled. */
  readonly flags?: number | undefined;
  /** Properties to add; one of the same key is replaced where it stands. */
  readonly properties?: ReadonlyMap<string, Uint8Array> | undefined;
  /** Keys of properties to take away. */
  readonly removeProperties?: readonly string[] | undefined;
  /** AVB's encoding of the new keys of chained partitions, by partition. */
  readonly chainKeys?: ReadonlyMap<string, Uint8Array> | undefined;
  /** Needed where there is some and the key changes: it speaks about the old key. May be empty. */
  readonly publicKeyMetadata?: Uint8Array | undefined;
}

/** The AVB algorithms that a key can make, the strongest known to all devices first. */
function algorithmsOf(key: KeyObject): AvbAlgorithmName[] {
  if (isMldsa(key)) {
    return [(key.asymmetricKeyType as string).endsWith('65') ? 'MLDSA65' : 'MLDSA87'];
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (key.asymmetricKeyType === 'rsa' && [2048, 4096, 8192].includes(bits)) {
    return [`SHA256_RSA${bits}`, `SHA512_RSA${bits}`] as AvbAlgorithmName[];
  }
  throw new UsageError(
    'key',
    `Cannot sign images with this key: AVB takes RSA of 2048, 4096 or 8192 bits, this is ${key.asymmetricKeyType}${bits === 0 ? '' : ` ${bits}`}`,
  );
}

/**
 * The algorithm for a key.
 *
 * @param old What an image was signed with, whose hash is kept where that can be.
 * @param wanted Asked for outright.
 * @throws {UsageError} `key` when the key cannot make it.
 */
export function algorithmForKey(
  key: KeyObject,
  old: AvbAlgorithmName = 'NONE',
  wanted?: AvbAlgorithmName,
): AvbAlgorithmName {
  const possible = algorithmsOf(key);
  if (wanted !== undefined) {
    if (possible.includes(wanted)) return wanted;
    throw new UsageError('key', `Cannot sign with ${wanted}: the key is not one of it`, {
      hint: `Ask for ${possible.join(' or ')}, or use another key`,
    });
  }
  const { hash } = avbAlgorithm(old);
  const kept = possible.find((name) => avbAlgorithm(name).hash === hash);
  const [first = 'NONE'] = possible;
  return kept ?? first;
}

/** @throws {UsageError} naming what is not there. */
function changedDescriptors(
  vbmeta: Vbmeta,
  options: ResignOptions,
  hasOwnDescriptor: boolean,
): Descriptor[] {
  const { properties = new Map(), removeProperties = [], chainKeys = new Map() } = options;
  const chains = new Set<string>();
  const replaced = new Set<string>();
  const removed = new Set<string>();
  const changed: Descriptor[] = [];
  for (const descriptor of vbmeta.descriptors) {
    if (descriptor.kind === 'chain-partition') {
      const publicKey = chainKeys.get(descriptor.partitionName);
      chains.add(descriptor.partitionName);
      changed.push(publicKey === undefined ? descriptor : { ...descriptor, publicKey });
    } else if (descriptor.kind !== 'property') {
      changed.push(descriptor);
    } else if (removeProperties.includes(descriptor.key)) {
      removed.add(descriptor.key);
    } else {
      const value = properties.get(descriptor.key);
      // Of several with one key, the first takes the new value and the others go.
      if (!replaced.has(descriptor.key)) {
        changed.push(value === undefined ? descriptor : { ...descriptor, value });
      }
      if (value !== undefined) replaced.add(descriptor.key);
    }
  }
  const strange = [...chainKeys.keys()].find((name) => !chains.has(name));
  if (strange !== undefined) {
    throw new UsageError(
      'usage',
      `Cannot change the key of ${strange}: no such chained partition`,
      {
        hint: chains.size === 0 ? 'The vbmeta has none' : `It has ${[...chains].join(', ')}`,
      },
    );
  }
  const absent = removeProperties.find((key) => !removed.has(key));
  if (absent !== undefined) {
    throw new UsageError('usage', `Cannot remove property ${absent}: the vbmeta has none such`);
  }
  const added = [...properties].filter(([key]) => !replaced.has(key));
  changed.splice(
    placeOfProperties(changed, hasOwnDescriptor),
    0,
    ...added.map(([key, value]) => ({ kind: 'property', key, value }) as const),
  );
  return changed;
}

/** Where avbtool puts a further property: behind the others, or behind the own descriptor and the chains. */
function placeOfProperties(descriptors: readonly Descriptor[], hasOwn: boolean): number {
  const last = descriptors.findLastIndex(({ kind }) => kind === 'property');
  if (last !== -1) return last + 1;
  let at = hasOwn && descriptors.length > 0 ? 1 : 0;
  while (descriptors[at]?.kind === 'chain-partition') at++;
  return at;
}

/** The new metadata of the key: it certifies a key, so it cannot stay when another one signs. */
function metadataOf(vbmeta: Vbmeta, options: ResignOptions): Uint8Array {
  if (options.publicKeyMetadata !== undefined) return options.publicKeyMetadata;
  const isSameKey = equalBytes(avbPublicKey(options.signer.publicKey), vbmeta.publicKey);
  if (vbmeta.publicKeyMetadata.length === 0 || isSameKey) return vbmeta.publicKeyMetadata;
  const digest = createHash('sha256').update(vbmeta.publicKeyMetadata).digest('hex');
  throw new UsageError(
    'usage',
    `Cannot keep the public key metadata (${vbmeta.publicKeyMetadata.length} bytes, sha256 ${digest.slice(0, 16)}…): it is about the old key`,
    { hint: 'Name that of the new key with --public-key-metadata, or an empty file for none' },
  );
}

/** How a vbmeta will be signed, and what it will hold: known before a key is asked for anything. */
export interface ResignPlan extends VbmetaSigning {
  readonly algorithm: AvbAlgorithmName;
  readonly rollbackIndex: bigint;
  readonly rollbackIndexLocation: number;
  readonly flags: number;
  readonly descriptors: readonly Descriptor[];
}

/**
 * Works out what a vbmeta becomes.
 *
 * @param hasFooter Whether the vbmeta stands behind the image that its first descriptor describes.
 * @throws {UsageError} when the key cannot sign it, or what is to be changed is not there.
 */
export function planResign(vbmeta: Vbmeta, options: ResignOptions, hasFooter: boolean): ResignPlan {
  const { rollbackIndexLocation = vbmeta.rollbackIndexLocation, signer } = options;
  // Made by somebody who asked for more than its content needs: still so.
  const asked = vbmeta.requiredMinor > requiredLibavbMinor(vbmeta) ? vbmeta.requiredMinor : 0;
  return {
    algorithm: algorithmForKey(signer.publicKey, vbmeta.algorithm, options.algorithm),
    signer,
    descriptors: changedDescriptors(vbmeta, options, hasFooter),
    rollbackIndex: options.rollbackIndex ?? vbmeta.rollbackIndex,
    rollbackIndexLocation,
    flags: options.flags ?? vbmeta.flags,
    publicKeyMetadata: metadataOf(vbmeta, options),
    releaseString: vbmeta.releaseString,
    requiredMinor: asked,
  };
}

/**
 * Signs what was planned.
 *
 * @returns the new vbmeta, not padded.
 * @throws {UsageError} when a value does not fit, or the vbmeta would be larger than libavb reads.
 */
export async function signPlan(plan: ResignPlan): Promise<Uint8Array> {
  try {
    return await signVbmeta(plan);
  } catch (cause) {
    if (!(cause instanceof RangeError) || !cause.message.startsWith('Cannot ')) throw cause;
    throw new UsageError('usage', cause.message, { cause });
  }
}
