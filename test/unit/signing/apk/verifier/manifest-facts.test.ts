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
