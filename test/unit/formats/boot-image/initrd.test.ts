import { describe, expect, test } from 'vitest';
import { toHex, sha256 } from '../../../../src/core/digest.ts';
import { FormatError } from '../../../../src/core/errors.ts';
import {
  decodeInitrd,
  encodeInitrd,
  replaceBootconfig,
} from '../../../../src/formats/boot-image/initrd.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { bytesContent, type FileContent } from '../../../../src/io/file-tree.ts';

const text = (value: string): FileContent => bytesContent(new TextEncoder().encode(value));

const content = {
  init: text('#!/init'),
  modules: [
    { name: 'virtio_ring.ko', content: text('ring') },
    { name: 'dm-verity.ko', content: text('verity!') },
  ],
  bootconfig: [
    { key: 'androidboot.microdroid.debuggable', values: ['0'] },
    { key: 'androidboot.vbmeta.digest', values: ['ab'] },
  ],
  mtime: 1611926769,
};

async function build(change: Partial<typeof content> = {}): Promise<Uint8Array> {
  const archive = encodeInitrd({ ...content, ...change });
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive.stream()) chunks.push(chunk.slice());
  const data = new Uint8Array(Buffer.concat(chunks));
  expect(data.length).toBe(archive.size);
  return data;
}

describe('encodeInitrd', () => {
  test('lays out what docs/guest-interface.md says, in this order', async () => {
    const data = await build();
    const initrd = await decodeInitrd(bytesSource(data));
    expect(initrd.entries.map(({ name, mode }) => `${name} ${mode.toString(8)}`)).toEqual([
      'dev 40755',
      'proc 40755',
      'sys 40755',
      'newroot 40755',
      'init 100755',
      'modules.order 100644',
      'modules 40755',
      'modules/virtio_ring.ko 100644',
      'modules/dm-verity.ko 100644',
      'bootconfig 100444',
    ]);
    expect(initrd.modulesOrder).toEqual(['virtio_ring.ko', 'dm-verity.ko']);
    expect(initrd.bootconfig).toEqual(content.bootconfig);
    expect(Buffer.from(data.subarray(-12)).toString()).toBe('#BOOTCONFIG\n');
  });

  test('two variants differ in the bootconfig member only', async () => {
    const normal = await build();
    const debuggable = await build({
      bootconfig: [{ key: 'androidboot.microdroid.debuggable', values: ['1'] }],
    });
    const { entries } = await decodeInitrd(bytesSource(normal));
    const end = entries.at(-1)?.offset ?? 0;
    expect(toHex(debuggable.subarray(0, end))).toBe(toHex(normal.subarray(0, end)));
    expect(toHex(debuggable)).not.toBe(toHex(normal));
  });

  test('the same content gives the same bytes, and they are pinned', async () => {
    const data = await build();
    expect(await build()).toEqual(data);
    // Changes only together with the layout of the initrd, which guests and verifiers share.
    expect(toHex(sha256(data))).toBe(
      'f637324de1f7d7a02ffe3ff6c372af214198fe9a99a165ccb475d844503677ca',
    );
  });

  test.each(['', '../x.ko', 'a/b.ko', 'x', '.ko', 'a\nb.ko'])('refuses module name %j', (name) => {
    const modules = [{ name, content: text('') }];
    expect(() => encodeInitrd({ ...content, modules })).toThrow(RangeError);
  });

  test('refuses a module given twice', () => {
    const [first] = content.modules;
    const modules = first === undefined ? [] : [first, first];
    expect(() => encodeInitrd({ ...content, modules })).toThrow(RangeError);
  });
});

describe('decodeInitrd', () => {
  test('refuses bytes behind the bootconfig, and a file cut anywhere', async () => {
    const data = await build();
    const longer = new Uint8Array(data.length + 4);
    longer.set(data);
    await expect(decodeInitrd(bytesSource(longer))).rejects.toThrow(FormatError);
    for (let length = 0; length < data.length; length += 7) {
      const cut = bytesSource(data.subarray(0, length));
      await expect(decodeInitrd(cut), `${length}`).rejects.toThrow(FormatError);
    }
  });

  test('refuses a bootconfig file that is not the trailer', async () => {
    const data = await build();
    const { entries } = await decodeInitrd(bytesSource(data));
    const file = entries.at(-1);
    data[file?.dataOffset ?? 0] = 0x62;
    await expect(decodeInitrd(bytesSource(data))).rejects.toThrow('disagree');
  });

  test('refuses a module order that names what is not there', async () => {
    const data = await build();
    const { entries } = await decodeInitrd(bytesSource(data));
    const order = entries.find(({ name }) => name === 'modules.order');
    data[order?.dataOffset ?? 0] = 0x58;
    await expect(decodeInitrd(bytesSource(data))).rejects.toThrow(FormatError);
  });
});

describe('replaceBootconfig', () => {
  test('gives the bytes of an initrd that was made with that bootconfig', async () => {
    const initrd = bytesSource(await build());
    for (const values of [['cd'], ['a much longer one', 'and another'], ['']]) {
      const bootconfig = [{ key: 'androidboot.vbmeta.digest', values }];
      const replaced = replaceBootconfig(initrd, await decodeInitrd(initrd), bootconfig);
      const chunks: Uint8Array[] = [];
      for await (const chunk of replaced.stream()) chunks.push(chunk.slice());
      const bytes = new Uint8Array(Buffer.concat(chunks));
      expect(bytes).toEqual(await build({ bootconfig }));
      expect(bytes.length).toBe(replaced.size);
    }
  });
});
