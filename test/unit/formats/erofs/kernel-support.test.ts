import { describe, expect, test } from 'vitest';
import {
  checkErofsSupport,
  erofsKernelNeeds,
  type ErofsNeeds,
} from '../../../../src/formats/erofs/kernel-support.ts';

describe('checkErofsSupport', () => {
  test.each<[ErofsNeeds, string, string]>([
    [{}, '5.3.18', '5.4'],
    [{ algorithm: 'lz4' }, '4.19.0-27-amd64', '5.4.0'],
    [{ algorithm: 'lz4hc' }, '5.3', '5.4'],
    [{ algorithm: 'deflate' }, '6.5.13', '6.6.0-rc1'],
    [{ algorithm: 'zstd' }, '6.9.12-fc', '6.10'],
    [{ algorithm: 'zstd' }, '6.1.0-18-amd64', '7.0'],
    [{ algorithm: 'lz4', largeClusters: true }, '5.12.19', '5.13'],
    [{ algorithm: 'lz4', tailPacking: true }, '5.16.0', '5.17.0+'],
    [{ algorithm: 'lz4', fragments: true }, '6.0.9', '6.1.0-18-amd64'],
    [{ algorithm: 'lz4', tailPacking: false }, '5.3', '5.4'],
    [{ chunks: true }, '5.14', '5.15.1'],
  ])('%j is refused for Linux %s and taken for %s', (needs, old, young) => {
    const error = { code: 'usage', message: expect.stringContaining(old) as string };
    expect(() => checkErofsSupport(needs, old)).toThrow(expect.objectContaining(error) as Error);
    expect(() => checkErofsSupport(needs, young)).not.toThrow();
  });

  test.each(['', '6', 'six.one', '6.', '99999.1', '-1.2'])('%j is no version', (version) => {
    expect(() => checkErofsSupport({}, version)).toThrow(RangeError);
  });
});

describe('erofsKernelNeeds', () => {
  test('names the newest version and each setting once', () => {
    const needs = { algorithm: 'zstd', largeClusters: true, tailPacking: true } as const;
    expect(erofsKernelNeeds(needs)).toEqual({
      since: [6, 10],
      config: ['CONFIG_EROFS_FS', 'CONFIG_EROFS_FS_ZIP_ZSTD', 'CONFIG_EROFS_FS_ZIP'],
    });
    expect(erofsKernelNeeds({})).toEqual({ since: [5, 4], config: ['CONFIG_EROFS_FS'] });
  });
});
