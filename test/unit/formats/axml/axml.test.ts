import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { decodeAxml } from '../../../../src/formats/axml/decode.ts';
import { ANDROID_NAMESPACE, type AxmlElement } from '../../../../src/formats/axml/document.ts';
import { dumpAxml } from '../../../../src/formats/axml/dump.ts';
import { encodeAxml } from '../../../../src/formats/axml/encode.ts';
import {
  decodeManifest,
  encodeManifest,
  type Manifest,
} from '../../../../src/formats/axml/manifest.ts';
import { decodeStringPool, encodeStringPool } from '../../../../src/formats/axml/string-pool.ts';

const manifest: Manifest = {
  package: 'dev.microbuild.hello',
  versionCode: 7,
  versionName: '1.2 – ü 🎉',
  minSdk: 30,
  targetSdk: 34,
  debuggable: true,
  hasCode: false,
  extractNativeLibs: false,
  features: [
    { name: 'android.software.virtualization_framework', required: true },
    { name: 'android.hardware.camera', required: false },
  ],
};

const manifests: fc.Arbitrary<Manifest> = fc.record(
  {
    package: fc.stringMatching(/^[a-z]{1,9}(\.[a-z][a-z0-9_]{0,9}){1,4}$/),
    versionCode: fc.nat(),
    versionName: fc.string({ maxLength: 40, unit: 'grapheme' }),
    minSdk: fc.nat({ max: 10000 }),
    targetSdk: fc.nat({ max: 10000 }),
    debuggable: fc.boolean(),
    hasCode: fc.boolean(),
    extractNativeLibs: fc.boolean(),
    features: fc.array(fc.record({ name: fc.string(), required: fc.boolean() }), {
      minLength: 1,
      maxLength: 4,
    }),
  },
  {
    requiredKeys: [
      'package',
      'versionCode',
      'minSdk',
      'targetSdk',
      'debuggable',
      'hasCode',
      'extractNativeLibs',
    ],
  },
);

describe('manifest', () => {
  test('decodeManifest reads what encodeManifest wrote', () => {
    fc.assert(
      fc.property(manifests, (value) => {
        expect(decodeManifest(encodeManifest(value))).toEqual(value);
      }),
    );
  });

  test('encodeManifest gives these bytes', () => {
    const digest = createHash('sha256').update(encodeManifest(manifest)).digest('hex');
    expect(digest).toMatchInlineSnapshot(
      `"4b60fbb63a3298da60e33bd50d15ff59c66307baac61d1d368c4888bee283f7d"`,
    );
  });

  test('absent attributes have the defaults of Android', () => {
    const bare: AxmlElement = {
      name: 'manifest',
      attributes: [{ name: 'package', value: { kind: 'string', value: 'a.b' } }],
      children: [],
    };
    expect(decodeManifest(encodeAxml(bare))).toEqual({
      package: 'a.b',
      versionCode: 0,
      minSdk: 1,
      targetSdk: 1,
      debuggable: false,
      hasCode: true,
      extractNativeLibs: true,
    });
  });

  test.each(['hello', '', 'a..b', '1a.b', 'a.b-c', `a.${'b'.repeat(230)}`])(
    'encodeManifest refuses the package name %j',
    (name) => {
      expect(() => encodeManifest({ ...manifest, package: name })).toThrow(RangeError);
    },
  );

  test.each([-1, 0.5, 2 ** 31])('encodeManifest refuses the version code %d', (versionCode) => {
    expect(() => encodeManifest({ ...manifest, versionCode })).toThrow(RangeError);
  });

  test('decodeManifest refuses another root, no package and attributes of another type', () => {
    const element = (name: string, attributes: AxmlElement['attributes']): Uint8Array =>
      encodeAxml({ name, attributes, children: [] });
    const versionCode = {
      namespace: ANDROID_NAMESPACE,
      name: 'versionCode',
      resourceId: 0x0101021b,
      value: { kind: 'string', value: '1' },
    } as const;
    const packageName = { name: 'package', value: { kind: 'string', value: 'a.b' } } as const;
    for (const bytes of [
      element('resources', [packageName]),
      element('manifest', []),
      element('manifest', [packageName, versionCode]),
    ]) {
      expect(() => decodeManifest(bytes)).toThrow(FormatError);
    }
  });
});

describe('binary XML', () => {
  test('attributes are found by ascending resource id, those without one last', () => {
    const root = decodeAxml(encodeManifest(manifest));
    expect(root.attributes.map(({ name, resourceId }) => [name, resourceId])).toEqual([
      ['versionCode', 0x0101021b],
      ['versionName', 0x0101021c],
      ['package', undefined],
    ]);
  });

  test('values of other types keep their type', () => {
    const root: AxmlElement = {
      name: 'a',
      attributes: [{ name: 'x', value: { kind: 'other', dataType: 5, data: 0x7f010000 } }],
      children: [],
    };
    expect(decodeAxml(encodeAxml(root))).toEqual(root);
    expect(dumpAxml(encodeAxml(root)).fields).toEqual([
      { name: 'x', value: '0x7f010000 (type 0x5)' },
    ]);
  });

  test('dumpAxml shows the tree', () => {
    expect(dumpAxml(encodeManifest(manifest)).children[2]).toEqual({
      name: '<uses-feature>',
      fields: [
        { name: 'android:name', value: 'android.hardware.camera' },
        { name: 'android:required', value: false },
      ],
      children: [],
    });
  });

  test('elements that nest too deep are refused', () => {
    let element: AxmlElement = { name: 'a', attributes: [], children: [] };
    for (let depth = 0; depth < 100; depth++) element = { ...element, children: [element] };
    expect(() => decodeAxml(encodeAxml(element))).toThrow(/nest deeper/);
  });
});

describe('string pools', () => {
  test('a UTF-8 pool is read', () => {
    // One string of 3 UTF-16 units and 4 bytes.
    const data = Uint8Array.of(3, 4, 0x61, 0xc3, 0xa9, 0x62, 0, 0);
    const header = Uint32Array.of((28 << 16) | 1, 28 + 4 + 8, 1, 0, 0x100, 32, 0, 0);
    const pool = new Uint8Array(40);
    pool.set(new Uint8Array(header.buffer));
    pool.set(data, 32);
    expect(decodeStringPool(pool, 100).get(0)).toBe('aéb');
  });

  test('strings that are decoded again and again from overlapping bytes run out of budget', () => {
    const pool = encodeStringPool(['x'.repeat(1000), 'y']);
    const view = new DataView(pool.buffer);
    // The second string starts four units into the first, whose units read as a length of 120.
    view.setUint32(28 + 4, 8, true);
    const strings = decodeStringPool(pool, 2100);
    expect(strings.get(0).length).toBe(1000);
    expect(() => strings.get(1)).toThrow(FormatError);
  });

  test('long strings are refused by the encoder', () => {
    expect(() => encodeStringPool(['x'.repeat(0x8000)])).toThrow(RangeError);
  });
});

describe('hostile bytes', () => {
  const isVerdict = (decode: () => unknown): boolean => {
    try {
      decode();
      return true;
    } catch (error) {
      return error instanceof FormatError;
    }
  };

  test('any bytes decode or throw FormatError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(isVerdict(() => decodeManifest(bytes))).toBe(true);
      }),
    );
  });

  test('any change of one byte decodes or throws FormatError', () => {
    const bytes = encodeManifest(manifest);
    for (let at = 0; at < bytes.length; at++) {
      for (const mask of [0xff, 0x80, 0x01]) {
        const changed = Uint8Array.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ mask;
        expect(isVerdict(() => decodeManifest(changed))).toBe(true);
      }
    }
  });

  test('any shorter file throws FormatError', () => {
    const bytes = encodeManifest(manifest);
    for (let size = 0; size < bytes.length; size++) {
      expect(() => decodeManifest(bytes.subarray(0, size))).toThrow(FormatError);
    }
  });
});
