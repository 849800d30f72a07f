/** What a kernel says of itself is found wherever it stands, and nothing else is taken for it. */

import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  erofsOptions,
  findBanner,
  scanKernel,
  type KernelFacts,
} from '../../../../src/formats/boot-image/kernel-facts.ts';

const LINE = 'Linux version 6.1.0-13-cloud-amd64 (root@ci) (gcc 12.2.0) #1 SMP';
const CONFIG =
  'CONFIG_EROFS_FS=m\nCONFIG_EROFS_FS_ZIP=y\n# CONFIG_EROFS_FS_DEBUG is not set\nCONFIG_NET=y\n';
const packed = (config: string): Buffer =>
  Buffer.concat([Buffer.from('IKCFG_ST'), gzipSync(config), Buffer.from('IKCFG_ED')]);

const scan = (kernel: Uint8Array, config = true): Promise<KernelFacts> =>
  scanKernel((at, length) => Promise.resolve(kernel.subarray(at, at + length)), kernel.length, {
    config,
  });

test('the format of banners, which stands in front of the banner, is none', () => {
  const kernel = Buffer.from(`\0Linux version %s (%s)\0Linux version \0${LINE}\n\0`);
  expect(findBanner(kernel)).toEqual({ release: '6.1.0-13-cloud-amd64', text: LINE });
});

describe('scanKernel()', () => {
  test.each([0, 100, (4 << 20) - 20, 4 << 20, (9 << 20) + 7])(
    'finds banner and options from byte %d on, behind decoys of both',
    async (at) => {
      const decoys = Buffer.from('Linux version %s\0IKCFG_STnot packed');
      const facts = Buffer.concat([decoys, Buffer.from(`${LINE}\0`), packed(CONFIG)]);
      const kernel = Buffer.alloc(at + facts.length + 1000);
      facts.copy(kernel, at);
      expect(await scan(kernel)).toEqual({
        banner: { release: '6.1.0-13-cloud-amd64', text: LINE },
        erofs: ['CONFIG_EROFS_FS', 'CONFIG_EROFS_FS_ZIP'],
      });
      expect(Object.keys(await scan(kernel, false))).toEqual(['banner']);
    },
  );

  test('any bytes are searched, and nothing is made up', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), async (bytes) => {
        expect(await scan(bytes)).toEqual({});
        const marked = Buffer.concat([Buffer.from('IKCFG_ST'), bytes]);
        expect((await scan(marked)).banner).toBeUndefined();
      }),
    );
  });
});

test('options are those that are set, in order', () => {
  expect(erofsOptions(CONFIG)).toEqual(['CONFIG_EROFS_FS', 'CONFIG_EROFS_FS_ZIP']);
});
