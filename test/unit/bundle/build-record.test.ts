import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatBuildRecord,
  parseBuildRecord,
  type BuildRecord,
} from '../../../src/bundle/build-record.ts';
import { FormatError } from '../../../src/core/errors.ts';

const sha256 = 'ab'.repeat(32);
const record: BuildRecord = {
  schemaVersion: 1,
  microbuild: '0.1.0',
  recipe: {
    files: [{ path: 'microbuild.yaml', sha256, text: 'name: x\n' }],
    profiles: ['release'],
    vars: { version: '1.2', count: 3, on: true },
    data: { name: 'x' },
  },
  lock: null,
  sourceDate: 1,
  inputs: [
    {
      at: 'partitions.system.contents[1]',
      file: 'microbuild.yaml',
      line: 7,
      kind: 'deb',
      name: 'musl',
      version: 'musl 1.2.3-1',
      digest: `sha256:${sha256}`,
    },
  ],
  partitions: {
    system: {
      origins: [
        [3, 0],
        [1, -1],
      ],
    },
  },
  payload: { entries: [{ name: 'lib/x86_64/libx.so', input: 'payload.libraries.x86_64[0]' }] },
  payloads: { other: { entries: [] } },
  kernel: { release: '6.1.0', sha256, modules: [{ name: 'fuse.ko', sha256 }] },
  guest: { sha256 },
};

describe('build.json', () => {
  test('parseBuildRecord() reads what formatBuildRecord() wrote', () => {
    expect(parseBuildRecord(formatBuildRecord(record))).toEqual(record);
  });

  test.each([
    ['schemaVersion', { schemaVersion: 2 }],
    ['recipe', { recipe: { ...record.recipe, files: [{ path: 'x', sha256: 'ab', text: '' }] } }],
    ['lock', { lock: 3 }],
    ['inputs', { inputs: [{ at: 'x' }] }],
    ['partitions', { partitions: { system: { origins: [[1, -2]] } } }],
    ['payload', { payload: undefined }],
    ['payloads', { payloads: [] }],
    ['kernel', { kernel: { release: 'x' } }],
    ['guest', { guest: null }],
  ])('parseBuildRecord() refuses a bad %s', (field, change) => {
    const refused = (): unknown => parseBuildRecord(JSON.stringify({ ...record, ...change }));
    expect(refused).toThrow(FormatError);
    expect(refused).toThrow(field);
  });

  test('parses or throws FormatError, whatever the text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          parseBuildRecord(text);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
    );
  });
});
