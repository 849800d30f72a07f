/** To the byte: what is shown covers the file exactly once or says where it does not, whatever the bytes are. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareContent } from '../../../../src/bundle/compare/content.ts';
import { createRecorder } from '../../../../src/bundle/compare/recorder.ts';
import { fileKinds, type FileKind } from '../../../../src/bundle/file-kind.ts';
import { byteMap, hasError } from '../../../../src/bundle/inspect/byte-map.ts';
import type { DumpNode } from '../../../../src/core/dump.ts';
import { MicrobuildError } from '../../../../src/core/errors.ts';
import { encodeIdsigHeader } from '../../../../src/formats/apk/idsig.ts';
import { encodeUnsignedVbmeta, encodeVbmeta } from '../../../../src/formats/avb/vbmeta.ts';
import { encodeManifest } from '../../../../src/formats/axml/manifest.ts';
import { encodeInitrd } from '../../../../src/formats/boot-image/initrd.ts';
import { planErofs } from '../../../../src/formats/erofs/plan.ts';
import { writeErofs } from '../../../../src/formats/erofs/writer.ts';
import { layoutGpt, writeGpt } from '../../../../src/formats/gpt/gpt.ts';
import {
  encodePayloadMetadata,
  payloadMetadata,
} from '../../../../src/formats/payload-metadata/metadata.ts';
import { writeZip } from '../../../../src/formats/zip/write.ts';
import { encodeCbor } from '../../../../src/dice/cbor.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { bytesContent, directory, regularFile, symlink } from '../../../../src/io/file-tree.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';

async function erofs(): Promise<Uint8Array> {
  const root = directory();
  root.children.set('file', regularFile(bytesContent(Buffer.alloc(9000, 7))));
  const small = regularFile(bytesContent(Buffer.from('small')));
  small.xattrs.set('user.name', Buffer.from('value'));
  root.children.set('small', small);
  root.children.set('link', symlink('small'));
  const sink = new MemorySink();
  await writeErofs(planErofs(root, { buildTime: 1, uuid: new Uint8Array(16) }), sink);
  return sink.bytes();
}

async function zip(): Promise<Uint8Array> {
  const sink = new MemorySink();
  await writeZip(
    [
      {
        name: 'AndroidManifest.xml',
        content: bytesContent(Buffer.alloc(500, 'x')),
        compress: true,
      },
      { name: 'lib/x86_64/a.so', content: bytesContent(Buffer.alloc(100, 'y')), compress: false },
    ],
    sink,
  );
  return sink.bytes();
}

function vbmeta(): Uint8Array {
  const unsigned = encodeUnsignedVbmeta({
    algorithm: 'NONE',
    descriptors: [
      { kind: 'property', key: 'a', value: Buffer.from('b') },
      { kind: 'kernel-cmdline', flags: 0, kernelCmdline: 'quiet' },
    ],
    publicKey: new Uint8Array(0),
    publicKeyMetadata: new Uint8Array(0),
    rollbackIndex: 3n,
    rollbackIndexLocation: 0,
    flags: 0,
    releaseString: 'test',
  });
  return encodeVbmeta(unsigned, new Uint8Array(0), new Uint8Array(0));
}

async function disk(): Promise<Uint8Array> {
  const layout = layoutGpt({
    diskGuid: new Uint8Array(16).fill(1),
    partitions: [{ label: 'vbmeta_a', guid: new Uint8Array(16).fill(2), size: 4096 }],
  });
  const sink = new MemorySink();
  await writeGpt(sink, layout);
  const bytes = Buffer.alloc(layout.diskSize);
  bytes.set(sink.bytes().subarray(0, layout.diskSize));
  bytes.set(vbmeta(), layout.partitions[0]!.offset);
  return bytes;
}

async function initrd(): Promise<Uint8Array> {
  const content = encodeInitrd({
    init: bytesContent(Buffer.from('#!init')),
    modules: [],
    bootconfig: [{ key: 'a.b', values: ['c'] }],
    mtime: 1,
  });
  const parts: Uint8Array[] = [];
  for await (const chunk of content.stream()) parts.push(chunk.slice());
  return Buffer.concat(parts);
}

const idsig = (): Uint8Array =>
  Buffer.concat([
    encodeIdsigHeader(
      {
        hashing: {
          hashAlgorithm: 1,
          log2BlockSize: 12,
          salt: new Uint8Array(0),
          rawRootHash: new Uint8Array(32),
        },
        signing: {
          apkDigest: new Uint8Array(32).fill(1),
          certificate: new Uint8Array(0),
          additionalData: new Uint8Array(0),
          publicKey: new Uint8Array(0),
          signatureAlgorithm: 0x0103,
          signature: new Uint8Array(0),
        },
        signingBlocks: [],
      },
      4096,
    ),
    new Uint8Array(4096),
  ]);

const samples: readonly (readonly [FileKind, () => Uint8Array | Promise<Uint8Array>])[] = [
  ['erofs', erofs],
  ['apk', zip],
  ['vbmeta', vbmeta],
  ['gpt', disk],
  ['initrd', initrd],
  ['idsig', idsig],
  [
    'axml',
    () =>
      encodeManifest({
        package: 'a.b',
        versionCode: 1,
        minSdk: 30,
        targetSdk: 34,
        debuggable: false,
        hasCode: false,
        extractNativeLibs: false,
      }),
  ],
  [
    'payload-metadata',
    () =>
      encodePayloadMetadata(
        payloadMetadata({ kind: 'config', payloadBinaryName: 'a.so', extraApkCount: 0 }),
      ),
  ],
  [
    'dice',
    () =>
      encodeCbor(
        new Map([
          [1, new Uint8Array(32)],
          [2, new Uint8Array(32)],
        ]),
      ),
  ],
  ['json', () => Buffer.from('{"a":[1,{"b":"c"}]}')],
];

/** Every innermost run with a place. */
function runs(node: DumpNode, into: [number, number][] = []): [number, number][] {
  const before = into.length;
  for (const { offset, size } of node.fields) {
    if (offset !== undefined && size !== undefined) into.push([offset, size]);
  }
  for (const child of node.children) runs(child, into);
  if (into.length === before && node.offset !== undefined && node.size !== undefined) {
    into.push([node.offset, node.size]);
  }
  return into;
}

describe('byteMap()', () => {
  test.each(samples.filter(([kind]) => kind !== 'json' && kind !== 'dice'))(
    'accounts for every byte of a sound %s',
    async (kind, make) => {
      const bytes = await make();
      const node = await byteMap(kind, bytesSource(bytes));
      expect(hasError(node)).toBe(false);
      const covered = new Uint8Array(bytes.length);
      for (const [offset, size] of runs(node)) {
        expect(offset + size).toBeLessThanOrEqual(bytes.length);
        covered.fill(1, offset, offset + size);
      }
      expect(covered.indexOf(0)).toBe(-1);
    },
  );

  test.each(samples)(
    'shows a %s that is cut off as far as it goes, and says so',
    async (kind, make) => {
      const bytes = await make();
      const cut = bytes.subarray(0, Math.floor(bytes.length * 0.4));
      const node = await byteMap(kind, bytesSource(cut));
      expect(hasError(node)).toBe(true);
    },
  );

  test('secrets of a DICE handover are not shown', async () => {
    const secret = new Uint8Array(32).fill(0xab);
    const bytes = encodeCbor(
      new Map([
        [1, secret],
        [2, secret],
      ]),
    );
    const node = await byteMap('dice', bytesSource(bytes));
    expect(JSON.stringify(node)).not.toContain('abab');
  });
});

describe('hostile bytes', () => {
  /** What was thrown is one of ours, or nothing was. */
  const expectOurs = async (work: () => Promise<unknown>): Promise<void> => {
    let thrown: unknown;
    try {
      await work();
    } catch (error) {
      thrown = error;
    }
    expect(thrown === undefined || thrown instanceof MicrobuildError).toBe(true);
  };

  test('junk as any format is shown or refused', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...fileKinds),
        fc.uint8Array({ maxLength: 3000 }),
        async (kind, bytes) => {
          await expectOurs(() => byteMap(kind, bytesSource(bytes)));
        },
      ),
      { numRuns: 400 },
    );
    expect.hasAssertions();
  });

  test.each(samples)('a %s with flipped bytes is shown and compared', async (kind, make) => {
    expect.hasAssertions();
    const sound = await make();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(sound.length - 1), fc.integer({ min: 0, max: 255 })), {
          minLength: 1,
          maxLength: 6,
        }),
        fc.option(fc.nat(sound.length)),
        async (flips, cut) => {
          const bytes = Buffer.from(sound);
          for (const [at, value] of flips) bytes[at] = value;
          const mutated = cut === null ? bytes : bytes.subarray(0, cut);
          await expectOurs(() => byteMap(kind, bytesSource(mutated)));
          const recorder = createRecorder({}, compareContent);
          const scope = recorder.scope('');
          await expectOurs(() =>
            scope.content(bytesSource(sound), bytesSource(mutated), { as: kind }),
          );
          // A difference is never silent.
          if (!Buffer.from(sound).equals(mutated)) expect(scope.told().total).toBeGreaterThan(0);
        },
      ),
      { numRuns: 60 },
    );
  });
});
