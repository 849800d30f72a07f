import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RecipeError } from '../../../../src/core/errors.ts';
import { parseAidl } from '../../../../src/runner/aidl/parse.ts';
import { formatMethod } from '../../../../src/runner/aidl/types.ts';

const SOURCE = `/* licence
 */
package dev.microbuild.hello;

import dev.microbuild.hello.Other; // not used by a method

/** Says hello. */
@JavaDerive(toString=true, equals=false)
interface IHello {
    const int PORT = 5678;
    const String NAME = "a;b";
    @utf8InCpp String hello(in @utf8InCpp String name);
    long add(int a, long b);
    oneway void forget(boolean yes, in byte[] data);
    @nullable String maybe(@nullable String s, double d, char c, in float[] f);
}
`;

test('an interface becomes its descriptor and its methods in order', () => {
  const { descriptor, name, methods } = parseAidl(SOURCE);
  expect([descriptor, name]).toEqual(['dev.microbuild.hello.IHello', 'IHello']);
  expect(methods.map((method) => [method.code, formatMethod(method)])).toEqual([
    [1, 'String hello(String name)'],
    [2, 'long add(int a, long b)'],
    [3, 'oneway void forget(boolean yes, byte[] data)'],
    [4, 'String maybe(String s, double d, char c, float[] f)'],
  ]);
  expect(methods[3]?.returns?.nullable).toBe(true);
  expect(methods[3]?.args[0]?.type.nullable).toBe(true);
  expect(methods[0]?.returns?.nullable).toBe(false);
});

test('explicit ids give the code id + 1, in decimal or hexadecimal', () => {
  const { methods } = parseAidl('interface I { void a() = 10; int b() = 0x14; void c() = 0; }');
  expect(methods.map(({ code }) => code)).toEqual([11, 21, 1]);
});

test('a oneway interface makes every method oneway', () => {
  const { methods } = parseAidl('oneway interface I { void a(); void b(int x); }');
  expect(methods.every((method) => method.oneway)).toBe(true);
});

describe('what cannot be used is refused where it stands', () => {
  test.each([
    ['interface I {\n  Foo a();\n}', 2, 3, 'type "Foo"'],
    ['interface I {\n  void a(in\n    List<String> x);\n}', 3, 5, 'type "List"'],
    ['interface I { void a(out int[] x); }', 1, 22, '"out"'],
    ['interface I { int[3] a(); }', 1, 19, 'fixed size'],
    ['interface I { int[][] a(); }', 1, 20, 'array of arrays'],
    ['interface I { @nullable int a(); }', 1, 25, 'no null'],
    ['interface I { oneway int a(); }', 1, 22, 'oneway'],
    ['interface I { void a() = 1; void b(); }', 1, 34, 'an id for "b"'],
    ['interface I { void a() = 1; void b() = 1; }', 1, 34, 'id 1 twice'],
    ['interface I { void a() = 99999999; }', 1, 26, 'method id'],
    ['interface I { void a(); void a(); }', 1, 30, '"a" twice'],
    ['parcelable P { int x; }', 1, 1, 'only an interface'],
    ['interface I { void a() }', 1, 24, 'Expected ";", found "}"'],
    ['interface I { void a();', 1, 24, 'the end of the file'],
    ['interface I { } junk', 1, 17, 'Expected the end'],
    ['interface I { void a(); /* open', 1, 25, 'does not end'],
    ['interface I { void § (); }', 1, 20, '"§"'],
    ['', 1, 1, 'only an interface'],
  ])('%j', (source, line, column, message) => {
    let error: unknown;
    try {
      parseAidl(source, 'x.aidl');
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(RecipeError);
    const [diagnostic] = (error as RecipeError).diagnostics;
    expect(diagnostic).toMatchObject({ file: 'x.aidl', line, column });
    expect(diagnostic?.message).toContain(message);
  });
});

test('any text parses or is a RecipeError', () => {
  const word = fc.constantFrom(
    'interface',
    'I',
    '{',
    '}',
    'void',
    'a',
    '(',
    ')',
    ';',
    '@',
    'int',
    '[',
    ']',
    'oneway',
    '= 1',
    'const',
    'package',
    ',',
    '/*',
    '//',
    '\n',
    '"',
    '§',
    'nullable',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.array(word).map((words) => words.join(' ')),
      ),
      (source) => {
        try {
          parseAidl(source);
        } catch (error) {
          expect(error).toBeInstanceOf(RecipeError);
        }
      },
    ),
    { numRuns: 1000 },
  );
});
