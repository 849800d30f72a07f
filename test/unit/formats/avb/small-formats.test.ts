/** A/B metadata, certificates, command lines of root file systems, the order of descriptors. */

import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../../../src/core/digest.ts';
import { FormatError } from '../../../../src/core/errors.ts';
import { encodeAbMetadata } from '../../../../src/formats/avb/ab-metadata.ts';
import {
  decodeCertificate,
  decodeCertificateMetadata,
  encodeCertificate,
  encodeCertificateMetadata,
  encodePermanentAttributes,
  encodeUnlockCredential,
} from '../../../../src/formats/avb/certificate.ts';
import type { Descriptor, HashtreeDescriptor } from '../../../../src/formats/avb/descriptor.ts';
import { applicableCmdlines, rootfsCmdlines } from '../../../../src/formats/avb/kernel-cmdline.ts';
import { orderDescriptors } from '../../../../src/formats/avb/order.ts';
import { avbPublicKey } from '../../../../src/signing/avb/public-key.ts';

describe('A/B metadata', () => {
  test('has the bytes that avbtool writes: 32, a CRC-32 at the end', () => {
    const slot = { priority: 15, triesRemaining: 7, successfulBoot: false };
    const other = { priority: 14, triesRemaining: 7, successfulBoot: true };
    expect(toHex(encodeAbMetadata(slot, other))).toBe(
      '00414230010000000f0700000e070100000000000000000000000000e4fe04c9',
    );
  });

  test('has the limits of libavb_ab', () => {
    const slot = { priority: 15, triesRemaining: 7, successfulBoot: false };
    expect(() => encodeAbMetadata(slot, { ...slot, priority: 16 })).toThrow(RangeError);
    expect(() => encodeAbMetadata({ ...slot, triesRemaining: 8 }, slot)).toThrow(RangeError);
  });
});

describe('certificates', () => {
  const publicKey = avbPublicKey(generateKeyPairSync('rsa', { modulusLength: 4096 }).publicKey);
  const certificate = {
    publicKey,
    subject: new Uint8Array(32).fill(1),
    usage: new Uint8Array(32).fill(2),
    keyVersion: 42n,
  };
  const signed = new Uint8Array(1620);
  signed.set(encodeCertificate(certificate));

  test('are read as they were written', () => {
    expect(decodeCertificate(signed)).toEqual(certificate);
    const metadata = decodeCertificateMetadata(encodeCertificateMetadata(signed, signed));
    expect(metadata).toEqual({ version: 1, intermediate: certificate, signing: certificate });
  });

  test('have one size, one version and a whole key', () => {
    for (const bad of [signed.subarray(1), new Uint8Array(1621), new Uint8Array(1620)]) {
      expect(() => decodeCertificate(bad)).toThrow(FormatError);
      expect(() => encodeUnlockCredential(signed, bad)).toThrow(FormatError);
      expect(() => encodeCertificateMetadata(bad, signed)).toThrow(FormatError);
    }
    const version = signed.slice();
    version[0] = 2;
    expect(() => decodeCertificate(version)).toThrow(/version is 2/);
    expect(() => encodePermanentAttributes(publicKey, new Uint8Array(15))).toThrow(RangeError);
    expect(() => encodePermanentAttributes(publicKey.subarray(8), new Uint8Array(16))).toThrow(
      RangeError,
    );
  });

  test('any bytes decode or are refused', () => {
    fc.assert(
      fc.property(fc.nat(3243), fc.nat(255), fc.boolean(), (at, value, whole) => {
        const bytes = encodeCertificateMetadata(signed, signed);
        bytes[at] = value;
        try {
          decodeCertificateMetadata(whole ? bytes : bytes.subarray(0, at));
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
    );
  });
});

const tree: HashtreeDescriptor = {
  kind: 'hashtree',
  dmVerityVersion: 1,
  imageSize: 8 * 4096,
  treeOffset: 8 * 4096,
  treeSize: 4096,
  dataBlockSize: 4096,
  hashBlockSize: 4096,
  fecNumRoots: 0,
  fecOffset: 0,
  fecSize: 0,
  hashAlgorithm: 'sha256',
  partitionName: 'system',
  salt: new Uint8Array([0xd0]),
  rootDigest: new Uint8Array([0xab]),
  flags: 0,
};

describe('the command line of a root file system', () => {
  const part = 'PARTUUID=$(ANDROID_SYSTEM_PARTUUID)';

  test.each([
    ['plain', {}, '2 $(ANDROID_VERITY_MODE) ignore_zero_blocks'],
    [
      'checked once',
      { flags: 2 },
      '3 check_at_most_once $(ANDROID_VERITY_MODE) ignore_zero_blocks',
    ],
    [
      'with parity',
      { fecNumRoots: 2, fecOffset: 9 * 4096, fecSize: 8192 },
      `10 $(ANDROID_VERITY_MODE) ignore_zero_blocks use_fec_from_device ${part} fec_roots 2 fec_blocks 9 fec_start 9`,
    ],
    [
      'with parity, checked once',
      { fecNumRoots: 4, fecOffset: 9 * 4096, fecSize: 8192, flags: 3 },
      `11 check_at_most_once $(ANDROID_VERITY_MODE) ignore_zero_blocks use_fec_from_device ${part} fec_roots 4 fec_blocks 9 fec_start 9`,
    ],
  ])('%s', (_, change, options) => {
    const [verity, plain] = rootfsCmdlines({ ...tree, ...change });
    expect(verity.kernelCmdline).toBe(
      `dm="1 vroot none ro 1,0 64 verity 1 ${part} ${part} 4096 4096 8 8 sha256 ab d0 ${options}" root=/dev/dm-0`,
    );
    expect(plain.kernelCmdline).toBe(`root=${part}`);
    expect(applicableCmdlines([verity, plain], false)).toEqual([verity.kernelCmdline]);
    expect(applicableCmdlines([verity, plain], true)).toEqual([plain.kernelCmdline]);
  });
});

test('included descriptors: those of no partition as they come, the last of a partition, sorted', () => {
  const hash = (partitionName: string, byte: number): Descriptor => ({
    kind: 'hash',
    imageSize: byte,
    hashAlgorithm: 'sha256',
    partitionName,
    salt: new Uint8Array(0),
    digest: new Uint8Array(0),
    flags: 0,
  });
  const property: Descriptor = { kind: 'property', key: 'k', value: new Uint8Array(0) };
  const chain: Descriptor = {
    kind: 'chain-partition',
    rollbackIndexLocation: 1,
    partitionName: 'z',
    publicKey: new Uint8Array(0),
    flags: 0,
  };
  const cmdline = { kind: 'kernel-cmdline', flags: 0, kernelCmdline: 'x' } as const;
  const included = [tree, hash('b', 1), property, hash('a', 2), hash('b', 3), chain, cmdline];
  expect(
    orderDescriptors(tree, { included, kernelCmdlines: [cmdline], rootfs: tree }, true),
  ).toEqual([
    tree,
    ...rootfsCmdlines(tree),
    ...rootfsCmdlines(tree),
    cmdline,
    property,
    cmdline,
    chain,
    hash('a', 2),
    hash('b', 3),
    tree,
  ]);
});
