import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RecipeError, type Diagnostic } from '../../../src/core/errors.ts';
import { parseRecipe } from '../../../src/recipe/parse.ts';

const hello = readFileSync('recipes/hello/microbuild.yaml', 'utf8');

/** The problems of a recipe text. */
function problems(text: string): readonly Diagnostic[] {
  try {
    parseRecipe(Buffer.from(text), '/r/microbuild.yaml');
  } catch (error) {
    if (error instanceof RecipeError) return error.diagnostics;
    throw error;
  }
  return [];
}

/** hello with one change, which must apply. */
function changed(from: string, to: string): string {
  expect(hello).toContain(from);
  return hello.replace(from, to);
}

describe('parseRecipe()', () => {
  test('fills in every default of a valid recipe', () => {
    const { data } = parseRecipe(Buffer.from(hello), '/r/microbuild.yaml');
    expect(data).toMatchObject({
      name: 'hello',
      arch: 'x86_64',
      partitions: { system: { filesystem: { type: 'erofs', compression: 'none' } } },
      signing: { image: { rollbackIndex: 0 }, payload: { schemes: ['v3', 'v4'] } },
      vm: { memory: 128, cpus: 1, debug: 'none', rpcPort: 5678 },
    });
  });

  test.each([
    ['{ compression: lz4, level: 3 }', 'Leave out level: lz4 has none'],
    ['{ compression: deflate, level: 10 }', 'Write a level of 1 to 9 for deflate'],
    ['{ clusterSize: 65536 }', 'Leave out clusterSize: nothing is compressed'],
    ['{ tails: blocks }', 'Leave out tails: nothing is compressed'],
    ['{ compression: zstd, clusterSize: 5000 }', 'clusterSize'],
    ['{ compression: zstd, deduplicate: true }', 'Leave out deduplicate'],
  ])('refuses the file system %s', (filesystem, message) => {
    const found = problems(changed('{ type: erofs }', filesystem));
    expect(found.map((each) => `${each.message} ${each.hint}`).join()).toContain(message);
  });

  test('gives each compression its usual level', () => {
    const levelOf = (compression: string): number =>
      parseRecipe(
        Buffer.from(changed('{ type: erofs }', `{ compression: ${compression} }`)),
        '/r/microbuild.yaml',
      ).data.partitions.system.filesystem.level;
    expect(['lz4', 'lz4hc', 'deflate', 'zstd'].map(levelOf)).toEqual([0, 9, 6, 9]);
  });

  test.each([
    ['an unknown key', 'filesystem:', 'filesystm:', 'Unknown key "filesystm"', '"filesystem"'],
    [
      'two forms at once',
      'source: { deb: ',
      'source: { file: vmlinux, deb: ',
      '"kernel.source" has both "deb" and "file"',
      '"deb: null"',
    ],
    ['a misspelled source', '{ deb: musl', '{ debb: musl', 'Unknown key "debb"', '"deb"'],
    ['a wrong type', 'versionCode: 1', 'versionCode: one', 'write a number', undefined],
    ['a wrong choice', 'arch: x86_64', 'arch: x86', 'cannot be the text "x86"', 'x86_64'],
    ['a missing value', '  versionCode: 1\n', '', '"payload.versionCode" is missing', undefined],
    ['nothing to run', '  entry: libhello.so\n', '', '"payload.entry" is not valid', 'or config'],
    [
      'two things to run',
      '  entry: libhello.so\n',
      '  entry: libhello.so\n  config: vm_config.json\n',
      '"payload.entry" is not valid',
      'Leave out entry',
    ],
    ['a relative image path', 'to: /system/etc/motd', 'to: motd', 'is not valid', 'absolute path'],
    ['.. in an image path', 'to: /system/etc/motd', 'to: /a/../b', 'is not valid', 'Leave out'],
    ['a key written twice', 'cpus: 1', 'cpus: 1, cpus: 2', '"cpus" is written twice', 'Keep one'],
    ['an alias', 'name: hello', 'name: &a hello\nx: *a', 'Aliases are not part', undefined],
  ])('tells %s with its line, column and a remedy', (_, from, to, message, hint) => {
    const text = changed(from, to);
    const found = problems(text).find((each) => each.message.includes(message));
    expect(found).toBeDefined();
    if (hint !== undefined) expect(found?.hint).toContain(hint);
    const lines = text.split('\n');
    expect(found?.source).toBe(lines[(found?.line ?? 0) - 1]);
    expect(found?.column).toBeLessThanOrEqual((found?.source ?? '').length);
  });

  test('points at the very key or value', () => {
    const [unknown] = problems(changed('filesystem:', 'filesystm:'));
    expect(unknown?.source?.slice(unknown.column - 1)).toMatch(/^filesystm:/);
    const [wrong] = problems(changed('versionCode: 1', 'versionCode: one'));
    expect(wrong?.source?.slice(wrong.column - 1)).toMatch(/^one/);
  });

  test('reports all problems at once', () => {
    const text = hello
      .replace('versionCode: 1', 'versionCode: one')
      .replace('cpus: 1', 'cpus: 0')
      .replace('filesystem:', 'filesystm:');
    expect(problems(text)).toHaveLength(3);
  });

  test.each([
    ['nothing', ''],
    ['a scalar', 'hello'],
    ['a list', '- a'],
    ['two documents', `${hello}\n---\n${hello}`],
    ['a custom tag', 'name: !!js/function "x"'],
    ['an unclosed bracket', 'name: ['],
  ])('refuses %s', (_, text) => {
    expect(problems(text).length).toBeGreaterThan(0);
  });

  test('refuses bytes that are not UTF-8', () => {
    expect(() => parseRecipe(Uint8Array.of(0x6e, 0xff, 0xfe), '/r')).toThrow(RecipeError);
  });

  test('takes time linear in the number of keys', () => {
    const text = Array.from({ length: 20_000 }, (_, index) => `k${index}: 1`).join('\n');
    const started = performance.now();
    expect(problems(text).length).toBeGreaterThan(0);
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test('does not take __proto__ for a key of every object', () => {
    expect(problems(`${hello}\n__proto__: { polluted: true }\n`)[0]?.message).toContain(
      '__proto__',
    );
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  test('parses or throws RecipeError, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (junk) => {
        try {
          parseRecipe(junk, '/r');
        } catch (error) {
          expect(error).toBeInstanceOf(RecipeError);
        }
      }),
    );
  });

  test('parses or throws RecipeError, whatever is cut out of a valid recipe', () => {
    fc.assert(
      fc.property(fc.nat(hello.length), fc.nat(80), (start, length) => {
        const text = hello.slice(0, start) + hello.slice(start + length);
        expect(() => problems(text)).not.toThrow();
      }),
    );
  });
});
