import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../../src/core/errors.ts';
import {
  ANDROID_NAMESPACE,
  type AxmlElement,
  type AxmlValue,
} from '../../../../../src/formats/axml/document.ts';
import { encodeAxml } from '../../../../../src/formats/axml/encode.ts';
import { encodeManifest } from '../../../../../src/formats/axml/manifest.ts';
import { readManifestFacts } from '../../../../../src/signing/apk/verifier/manifest-facts.ts';
import { testManifest } from '../fixtures.ts';

const IDS = { minSdkVersion: 0x0101020c, targetSdkVersion: 0x01010270, sandbox: 0x0101054c };

const element = (
  name: string,
  attributes: Readonly<Partial<Record<keyof typeof IDS, AxmlValue>>> = {},
  children: readonly AxmlElement[] = [],
): AxmlElement => ({
  name,
  attributes: Object.entries(attributes).map(([key, value]) => ({
    namespace: ANDROID_NAMESPACE,
    name: key,
    resourceId: IDS[key as keyof typeof IDS],
    value,
  })),
  children,
});

const integer = (value: number): AxmlValue => ({ kind: 'integer', value });
const text = (value: string): AxmlValue => ({ kind: 'string', value });

const factsOf = (...children: readonly AxmlElement[]) =>
  readManifestFacts(encodeAxml(element('manifest', {}, children)));

describe('readManifestFacts', () => {
  test('reads what a manifest says', () => {
    const facts = readManifestFacts(encodeManifest(testManifest));
    expect([facts.minSdk(), facts.targetSdk, facts.targetSandboxVersion]).toEqual([30, 34, 1]);
    const sandbox = readManifestFacts(encodeAxml(element('manifest', { sandbox: integer(2) })));
    expect(sandbox.targetSandboxVersion).toBe(2);
  });

  test('takes 1 where nothing is said, and the minimum for the target', () => {
    expect(factsOf(element('application')).minSdk()).toBe(1);
    expect(factsOf(element('application')).targetSdk).toBe(1);
    expect(factsOf(element('uses-sdk', { minSdkVersion: integer(24) })).targetSdk).toBe(24);
  });

  test('takes the highest minimum of several elements, and the first target', () => {
    const facts = factsOf(
      element('uses-sdk', { minSdkVersion: integer(21), targetSdkVersion: integer(28) }),
      element('uses-sdk', { minSdkVersion: integer(26), targetSdkVersion: integer(30) }),
      element('uses-sdk', { minSdkVersion: integer(8) }),
      element('application', {}, [element('uses-sdk', { minSdkVersion: integer(33) })]),
    );
    expect([facts.minSdk(), facts.targetSdk]).toEqual([26, 28]);
  });

  test.for([
    ['A', 1],
    ['C', 2],
    ['D', 3],
    ['Gingerbread', 8],
    ['N', 23],
    ['O', 25],
    ['P', 26],
    ['UpsideDownCake', 31],
  ] as const)('reads the code name %s', ([name, sdk]) => {
    expect(factsOf(element('uses-sdk', { minSdkVersion: text(name) })).minSdk()).toBe(sdk);
  });

  test('does not guess a minimum', () => {
    const unreadable: readonly AxmlValue[] = [
      text(''),
      text('21'),
      { kind: 'boolean', value: true },
    ];
    for (const value of unreadable) {
      const facts = factsOf(element('uses-sdk', { minSdkVersion: value }));
      expect(() => facts.minSdk()).toThrow(FormatError);
      expect(facts.targetSdk).toBe(1);
    }
  });

  const good = encodeManifest(testManifest);
  /** Where the chunk of this type starts. */
  const chunk = (wanted: number): number => {
    const view = new DataView(good.buffer, good.byteOffset);
    for (let at = 8; at < good.length; at += view.getUint32(at + 4, true)) {
      if (view.getUint16(at, true) === wanted) return at;
    }
    throw new Error('There is no such chunk');
  };
  const changed = (at: number, value: number): Uint8Array => {
    const out = Uint8Array.from(good);
    new DataView(out.buffer).setUint32(at, value, true);
    return out;
  };

  test.for([
    ['bytes behind the document', Uint8Array.from([...good, 1, 2, 3])],
    ['another chunk before it', Uint8Array.from([9, 0, 8, 0, 8, 0, 0, 0, ...good])],
    ['a string count that no pool holds', changed(chunk(1) + 8, 0x00ffffff)],
    ['a flag that nobody knows', changed(chunk(1) + 16, 0x4000)],
  ] as const)('passes over %s, as Android does', ([, bytes]) => {
    const facts = readManifestFacts(bytes);
    expect([facts.targetSdk, facts.minSdk()]).toEqual([34, 30]);
  });

  test.for([
    ['no document', new Uint8Array(40)],
    ['nothing', new Uint8Array(0)],
    ['strings outside of their pool', changed(chunk(1) + 20, 0x7fffffff)],
    ['a header that is longer than its chunk', changed(chunk(0x102), 0xffff0102)],
  ] as const)('refuses %s', ([, bytes]) => {
    expect(() => readManifestFacts(bytes).minSdk()).toThrow(FormatError);
  });

  test('of any bytes gives facts or a FormatError', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.nat({ max: good.length - 1 }),
        fc.nat({ max: 255 }),
        (junk, at, byte) => {
          const flipped = Uint8Array.from(good);
          flipped[at] = byte;
          for (const bytes of [junk, flipped, good.subarray(0, at)]) {
            try {
              expect(readManifestFacts(bytes).minSdk()).toEqual(expect.any(Number));
            } catch (error) {
              expect(error).toBeInstanceOf(FormatError);
            }
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('readManifestFacts on texts without end', () => {
  test('gives up, and does not take what it has not read for absent', () => {
    // 5000 elements whose names are strings of 14 KB, nearly all in the same bytes.
    const count = 5000;
    const length = 7000;
    const pool = new Uint8Array(28 + 4 * count + 4 + 2 * length + 2 * count);
    const view = new DataView(pool.buffer);
    view.setUint32(0, 0x001c0001, true);
    view.setUint32(4, pool.length, true);
    view.setUint32(8, count, true);
    view.setUint32(20, 28 + 4 * count, true);
    const strings = 28 + 4 * count;
    // Every string has its length at its own place, and zeros behind it.
    for (let index = 0; index < count; index++) {
      view.setUint32(28 + 4 * index, 2 * index, true);
      view.setUint16(strings + 2 * index, length, true);
    }
    const elements = new Uint8Array(36 * count);
    const each = new DataView(elements.buffer);
    for (let index = 0; index < count; index++) {
      each.setUint32(36 * index, 0x00100102, true);
      each.setUint32(36 * index + 4, 36, true);
      each.setUint32(36 * index + 16, 0xffffffff, true);
      each.setUint32(36 * index + 20, index, true);
      each.setUint16(36 * index + 24, 20, true);
      each.setUint16(36 * index + 26, 20, true);
    }
    const document = new Uint8Array(8 + pool.length + elements.length);
    const header = new DataView(document.buffer);
    header.setUint32(0, 0x00080003, true);
    header.setUint32(4, document.length, true);
    document.set(pool, 8);
    document.set(elements, 8 + pool.length);
    expect(() => readManifestFacts(document)).toThrow(/too long/);
  });
});
