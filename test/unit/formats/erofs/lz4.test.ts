import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { decodeLz4 } from '../../../../src/formats/erofs/lz4.ts';
import { openErofs } from '../../../../src/formats/erofs/reader.ts';
import { readTree } from '../../../../src/formats/erofs/read-tree.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { walk, type FileContent } from '../../../../src/io/file-tree.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';

function decoded(hex: string, size: number): string {
  const target = new Uint8Array(size);
  decodeLz4(Buffer.from(hex, 'hex'), target);
  return Buffer.from(target).toString('latin1');
}

describe('decodeLz4', () => {
  test.each([
    ['literals', '50' + '68656c6c6f', 'hello'],
    [
      'a run, told by a match that overlaps itself',
      '14' + '61' + '0100' + '10' + '62',
      'aaaaaaaaab',
    ],
    ['a match further back', '40' + '61626364' + '0400' + '10' + '65', 'abcdabcde'],
    [
      'a long run',
      '1f' + '61' + '0100' + 'ff01' + '10' + '62',
      `${'a'.repeat(1 + 15 + 255 + 1 + 4)}b`,
    ],
    ['many literals', 'f005' + '78'.repeat(20), 'x'.repeat(20)],
  ])('%s', (_, hex, text) => {
    expect(decoded(hex, text.length)).toBe(text);
    // It fills what it is given, as the last extent of a file asks.
    expect(decoded(hex, text.length - 1)).toBe(text.slice(0, -1));
  });

  test.each([
    ['nothing', ''],
    ['a token alone', '50'],
    ['literals that are cut', '50' + '6865'],
    ['a length that is cut', 'f0ff'],
    ['a distance that is cut', '10' + '61' + '01'],
    ['distance 0', '10' + '61' + '0000'],
    ['a distance before the start', '10' + '61' + '0200'],
  ])('%s is refused', (_, hex) => {
    expect(() => decoded(hex, 100)).toThrow(FormatError);
  });

  test('any bytes fill the target or are refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(3000), (source, size) => {
        try {
          decodeLz4(source, new Uint8Array(size));
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe.skipIf(corpus === undefined)('a compressed image', () => {
  test('changed at random, it is read or refused with FormatError', async () => {
    const good = readFileSync(corpusPath('sig-erofs', 'ok-lz4.erofs'));
    await fc.assert(
      fc.asyncProperty(
        // Behind the block of the superblock, whose checksum would be the first to tell: inodes,
        // indexes and data.
        fc.array(
          fc.tuple(
            fc.oneof(
              fc.integer({ min: 8192, max: 9215 }),
              fc.integer({ min: 4096, max: good.length - 1 }),
            ),
            fc.nat(255),
          ),
          { minLength: 1, maxLength: 10 },
        ),
        async (edits) => {
          const image = new Uint8Array(good);
          for (const [at, value] of edits) image[at] = value;
          try {
            const contents: FileContent[] = [];
            walk(await readTree(await openErofs(bytesSource(image))), (_, inode) => {
              if (inode.kind === 'file') contents.push(inode.content);
            });
            for (const content of contents) {
              let size = 0;
              for await (const chunk of content.stream()) size += chunk.length;
              expect(size).toBe(content.size);
            }
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
