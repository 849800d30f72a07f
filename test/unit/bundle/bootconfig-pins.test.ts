/** Pins of the bootconfig: what the guest's init refuses, the host refuses. */

import { describe, expect, test } from 'vitest';
import { readBootconfigPins } from '../../../src/bundle/bootconfig-pins.ts';

const DIGEST = 'ab'.repeat(32);

function entries(changes: Readonly<Record<string, readonly string[] | undefined>> = {}) {
  const values: Record<string, readonly string[] | undefined> = {
    'androidboot.vbmeta.digest': [DIGEST],
    'androidboot.vbmeta.hash_alg': ['sha256'],
    'androidboot.vbmeta.size': ['704'],
    'androidboot.veritymode': ['enforcing'],
    'microbuild.payload.certificates': ['aa', 'bb'],
    'microbuild.mount.vendor': ['/vendor'],
    ...changes,
  };
  return Object.entries(values).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, values: value }],
  );
}

describe('what a bootconfig pins', () => {
  test('is read', () => {
    const pins = readBootconfigPins(entries());
    expect(Buffer.from(pins.vbmetaDigest).toString('hex')).toBe(DIGEST);
    expect([pins.vbmetaSize, [...pins.mounts], pins.certificates]).toEqual([
      704,
      [['vendor', '/vendor']],
      ['aa', 'bb'],
    ]);
  });

  test.each([
    ['androidboot.vbmeta.size', ['0x2c0']],
    ['androidboot.vbmeta.size', ['1e3']],
    ['androidboot.vbmeta.size', ['-4']],
    ['androidboot.vbmeta.size', ['255']],
    ['androidboot.vbmeta.size', ['65537']],
    ['androidboot.vbmeta.size', ['704', '704']],
    ['androidboot.vbmeta.size', undefined],
    ['androidboot.veritymode', ['logging']],
    ['androidboot.veritymode', undefined],
    ['androidboot.vbmeta.hash_alg', ['sha512']],
    ['androidboot.vbmeta.digest', ['ab']],
    ['androidboot.vbmeta.digest', [`${DIGEST}00`]],
    ['microbuild.mount.vendor', ['/a', '/b']],
  ])('is refused with %s of %j', (key, value) => {
    expect(() => readBootconfigPins(entries({ [key]: value }))).toThrow(key);
  });
});
