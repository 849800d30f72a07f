/** Formats that `inspect` knows beside those of bundles. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { inspectPath } from '../../../src/bundle/inspect.ts';
import {
  actionMessage,
  actionResultMessage,
  directoryMessage,
} from '../../../src/cache/remote-execution.ts';
import { dumpMessage, messageKind, messageKinds } from '../../../src/cli/inspect/cache-message.ts';
import { inspectOther } from '../../../src/cli/inspect/other-formats.ts';
import { dumpWritten } from '../../../src/cli/inspect/written-text.ts';
import { sha256, toHex } from '../../../src/core/digest.ts';
import type { DumpField, DumpNode } from '../../../src/core/dump.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const fieldsOf = (node: DumpNode): DumpField[] => [
  ...node.fields,
  ...node.children.flatMap(fieldsOf),
];

const errorsOf = (node: DumpNode): string[] => [
  ...(node.error === undefined ? [] : [node.error.message]),
  ...node.children.flatMap(errorsOf),
];

const digest = (text: string) => ({
  hash: toHex(sha256(Buffer.from(text))),
  sizeBytes: text.length,
});

describe('messages of the cache', () => {
  const action = actionMessage.encode({
    commandDigest: digest('command'),
    inputRootDigest: digest('root'),
    salt: Buffer.from('salt'),
  });

  test('have a name for each of their bytes', () => {
    const node = dumpMessage('action', action);
    const ranges = [...node.fields, ...node.children].map(({ offset = -1, size = 0 }) => [
      offset,
      offset + size,
    ]);
    ranges.sort(([a = 0], [b = 0]) => a - b);
    expect(ranges.map(([start]) => start)).toEqual([
      0,
      ...ranges.slice(0, -1).map(([, end]) => end),
    ]);
    expect(ranges.at(-1)?.[1]).toBe(action.length);
    expect(fieldsOf(node).map(({ value }) => value)).toEqual([
      'salt',
      digest('command').hash,
      7,
      digest('root').hash,
      4,
    ]);
  });

  test('are known by their place in the store, and by being canonical', () => {
    const hash = 'ab'.repeat(32);
    const directory = directoryMessage.encode({
      files: [{ name: 'a', digest: digest('a'), isExecutable: false }],
    });
    expect(messageKind(`/c/ac/ab/${hash}`, action)).toBe('action-result');
    expect(messageKind(`/c/cas/ab/${hash}`, action)).toBe('action');
    expect(messageKind(`/c/cas/ab/${hash}`, directory)).toBe('directory');
    expect(messageKind(`/c/cas/ab/${hash}`, Buffer.from('any text'))).toBeUndefined();
    expect(messageKind(`/c/other/ab/${hash}`, action)).toBeUndefined();
    expect(messageKind(`/c/ac/cd/${hash}`, action)).toBeUndefined();
  });

  test('that are cut off or unknown are shown as far as they go', () => {
    const cut = dumpMessage('action', action.subarray(0, action.length - 3));
    expect(cut.error?.code).toBe('truncated');
    expect(fieldsOf(cut).length).toBeGreaterThan(2);
    const other = dumpMessage('command', actionResultMessage.encode({ exitCode: 7 }));
    expect(other.fields).toEqual([{ name: 'field 4, unknown', value: '', offset: 0, size: 2 }]);
  });

  test('any bytes are shown', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom(...messageKinds),
        (bytes, kind) => {
          for (const { offset = 0, size = 0 } of fieldsOf(dumpMessage(kind, bytes))) {
            expect(offset + size).toBeLessThanOrEqual(bytes.length);
          }
        },
      ),
    );
  });
});

describe('recipes and locks', () => {
  const text = `# ü\napiVersion: microbuild/v1\nname: "ä"\npartitions: { system: { contents+: [{ deb: musl }] } }\nvm: { cpus: 1.0 }\n`;

  test('every value stands where it is said to', () => {
    const bytes = Buffer.from(text);
    const found = fieldsOf(dumpWritten('recipe', '/r/microbuild.yaml', bytes)).map(
      ({ name, value, offset = 0, size = 0 }) => [
        name,
        value,
        bytes.subarray(offset, offset + size).toString(),
      ],
    );
    expect(found).toEqual([
      ['apiVersion', 'microbuild/v1', 'microbuild/v1'],
      ['name', 'ä', '"ä"'],
      ['deb', 'musl', 'musl'],
      ['cpus', '1.0', '1.0'],
    ]);
  });

  test('are known by name and content; what is wrong is shown', async () => {
    const folder = tmpDir();
    const kindOf = async (name: string, content: string) => {
      writeFileSync(join(folder, name), content);
      const found = await inspectOther(join(folder, name), undefined);
      return [found?.kind, found?.node.error?.message];
    };
    expect(await kindOf('microbuild.yaml', text)).toEqual(['recipe', undefined]);
    expect(await kindOf('part.yml', 'vm: { cpus: 1 }\npartitions: {}\n')).toEqual([
      'recipe',
      undefined,
    ]);
    expect(await kindOf('other.yaml', 'a: 1\n')).toEqual([undefined, undefined]);
    expect(await kindOf('broken.yaml', 'apiVersion: x\na: [\n')).toEqual([
      'recipe',
      expect.stringMatching(/^\d+:\d+ /),
    ]);
    expect(await kindOf('microbuild.lock', 'version: 2\ndebs: 5\n')).toEqual([
      'lock',
      expect.stringContaining('debs'),
    ]);
  });

  test('any text is shown or told', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        for (const kind of ['recipe', 'lock'] as const) {
          expect(dumpWritten(kind, '/r/a.yaml', bytes).size).toBe(bytes.length);
        }
      }),
    );
  });
});

describe('kernels', () => {
  function bzImage(): Buffer {
    const image = Buffer.alloc(4096);
    image.writeUInt8(1, 0x1f1);
    image.writeUInt16LE(0xaa55, 0x1fe);
    image.write('HdrS', 0x202, 'latin1');
    image.writeUInt16LE(0x020f, 0x206);
    image.writeUInt16LE(0x100, 0x20e);
    image.write('6.6.6 (builder)\0', 0x300, 'latin1');
    image.writeUInt32LE(0x100, 0x248);
    image.writeUInt32LE(0x200, 0x24c);
    image.write('28b52ffd', 1024 + 0x100, 'hex');
    image.writeUInt32LE(123456, 1024 + 0x300 - 4);
    return image;
  }

  async function shown(image: Buffer) {
    const file = join(tmpDir(), 'vmlinuz');
    writeFileSync(file, image);
    return inspectPath(file, undefined, true);
  }

  test('a bzImage is taken apart, to its payload', async () => {
    const { kind, node, isDamaged } = await shown(bzImage());
    expect([kind, isDamaged]).toEqual(['kernel', false]);
    const fields = new Map(fieldsOf(node).map(({ name, value }) => [name, value]));
    expect(fields.get('version')).toBe(0x020f);
    expect(fieldsOf(node)[0]).toMatchObject({
      name: 'version',
      value: '6.6.6 (builder)',
      offset: 0x300,
    });
    expect(fields.get('compression')).toBe('zstd');
    expect(fields.get('unpacked size')).toBe(123456);
  });

  test('one that is cut off says where', async () => {
    const { isDamaged, node } = await shown(bzImage().subarray(0, 1024));
    expect(isDamaged).toBe(true);
    expect(errorsOf(node)).toEqual([expect.stringContaining('outside of the file')]);
  });
});

describe('image layouts', () => {
  function layout(change: (blobs: Map<string, string>) => void = () => undefined): string {
    const folder = tmpDir();
    const blobs = new Map<string, string>();
    const descriptor = (mediaType: string, content: string) => {
      const { hash, sizeBytes } = digest(content);
      blobs.set(hash, content);
      return { mediaType, digest: `sha256:${hash}`, size: sizeBytes };
    };
    const config = descriptor('application/vnd.oci.image.config.v1+json', '{"os":"linux"}');
    const layers = [descriptor('application/vnd.oci.image.layer.v1.tar', 'a layer')];
    const manifest = descriptor(
      'application/vnd.oci.image.manifest.v1+json',
      JSON.stringify({ schemaVersion: 2, config, layers }),
    );
    change(blobs);
    mkdirSync(join(folder, 'blobs/sha256'), { recursive: true });
    writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    writeFileSync(join(folder, 'index.json'), JSON.stringify({ manifests: [manifest] }));
    for (const [hash, content] of blobs) writeFileSync(join(folder, 'blobs/sha256', hash), content);
    return folder;
  }

  test('lead from the index to the layers', async () => {
    const { kind, node, isDamaged } = await inspectPath(layout());
    expect([kind, isDamaged]).toEqual(['oci-layout', false]);
    const text = JSON.stringify(node);
    expect(text).toContain('"linux"');
    expect(text).toContain(`blobs/sha256/${digest('a layer').hash}`);
  });

  test.each([
    [
      'a blob of another size',
      (blobs: Map<string, string>) => blobs.set(digest('a layer').hash, 'x'),
      'has 1 bytes',
    ],
    [
      'a document of another digest',
      (blobs: Map<string, string>) => blobs.set(digest('{"os":"linux"}').hash, '{"os":"minix"}'),
      'another digest',
    ],
  ])('%s is damage', async (_, change, message) => {
    const { node, isDamaged } = await inspectPath(layout(change));
    expect(isDamaged).toBe(true);
    expect(JSON.stringify(node)).toContain(message);
  });

  test('a layer that stayed in its registry is none', async () => {
    const { node, isDamaged } = await inspectPath(
      layout((blobs) => blobs.delete(digest('a layer').hash)),
    );
    expect(isDamaged).toBe(false);
    expect(JSON.stringify(node)).toContain('not there');
  });
});
