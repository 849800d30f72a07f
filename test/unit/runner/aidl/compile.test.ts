import { describe, expect, test } from 'vitest';
import { type Diagnostic, RecipeError, UsageError } from '../../../../src/core/errors.ts';
import { type CompileOptions, compileAidl } from '../../../../src/runner/aidl/compile.ts';
import { parseAidl } from '../../../../src/runner/aidl/parse.ts';
import { formatMethod, type TypeDescription } from '../../../../src/runner/aidl/types.ts';
import { aidlFolder, problemsOf } from '../../../support/aidl.ts';

const SOURCE = `/* licence
 */
package dev.microbuild.hello;

/** Says hello. */
@JavaDefault
interface IHello {
    const int PORT = 5678;
    const String NAME = "a;b";
    @utf8InCpp String hello(in @utf8InCpp String name);
    long add(int a, long b);
    /** Without an answer. */
    oneway void forget(boolean yes, in byte[] data);
    @nullable String maybe(@nullable String s, double d, char c, in float[] f);
}
`;

test('an interface becomes its descriptor and its methods in order', () => {
  const { descriptor, name, methods, doc, constants } = parseAidl(SOURCE);
  expect([descriptor, name, doc]).toEqual(['dev.microbuild.hello.IHello', 'IHello', 'Says hello.']);
  expect(methods.map((method) => [method.code, formatMethod(method)])).toEqual([
    [1, 'String hello(String name)'],
    [2, 'long add(int a, long b)'],
    [3, 'oneway void forget(boolean yes, byte[] data)'],
    [4, '@nullable String maybe(@nullable String s, double d, char c, float[] f)'],
  ]);
  expect(methods[2]?.doc).toBe('Without an answer.');
  expect(constants.map(({ name: each, value }) => [each, value])).toEqual([
    ['PORT', 5678],
    ['NAME', 'a;b'],
  ]);
});

test('explicit ids give the code id + 1', () => {
  const { methods } = parseAidl('interface I { void a() = 10; int b() = 16777114; void c() = 0; }');
  expect(methods.map(({ code }) => code)).toEqual([11, 16777115, 1]);
});

test('a oneway interface makes every method oneway', () => {
  const { methods } = parseAidl('oneway interface I { void a(); void b(int x); }');
  expect(methods.every((method) => method.oneway)).toBe(true);
});

test('a descriptor of its own replaces the full name', () => {
  const source = 'package p; @Descriptor(value="old.IOld") interface INew { void f(); }';
  expect(parseAidl(source).descriptor).toBe('old.IOld');
});

const structure = (type: TypeDescription | undefined): readonly (readonly unknown[])[] =>
  type !== undefined && 'fields' in type ? type.fields.map(({ name, value }) => [name, value]) : [];

test('fields keep their defaults, computed', () => {
  const { types } = compileAidl([
    {
      path: 'p/P.aidl',
      text: `package p;
        parcelable P {
          enum Color { RED, GREEN = 4, BLUE }
          @Backing(type="long") enum Big { A = 1L << 40, B }
          const int SIZE = 1 + 2 * 3;
          int a = SIZE << 1; long b = 0xFFFFFFFFFF; byte c = 255u8; boolean d = 3 > 2 && !false;
          char e = 'x'; float f = -1.5f; double g = 1e3; String h = "a" + "b";
          Color i = Color.BLUE; Big j = Big.B; int[] k = {1, SIZE, -1,}; int[2][2] l = {{1, 2}, {3, 4}};
          Color[] m = {Color.RED, p.P.Color.BLUE}; @nullable String n; int o = 0xffffffff;
          String p = '' + 0;
        }`.replace("String p = '' + 0;", ''),
    },
  ]);
  expect(Object.fromEntries(structure(types[0]) as [string, unknown][])).toEqual({
    a: 14,
    b: 0xffffffffffn,
    c: -1,
    d: true,
    e: 'x',
    f: -1.5,
    g: 1000,
    h: 'ab',
    i: { enumerator: 'BLUE', value: 5 },
    j: { enumerator: 'B', value: (1n << 40n) + 1n },
    k: [1, 7, -1],
    l: [
      [1, 2],
      [3, 4],
    ],
    m: [
      { enumerator: 'RED', value: 0 },
      { enumerator: 'BLUE', value: 5 },
    ],
    n: undefined,
    o: -1,
  });
});

describe('a problem is told where it stands', () => {
  test.each([
    ['interface I {\n  Foo a();\n}', 2, 3, 'Cannot find type "Foo"'],
    ['interface I {\n  void a(in\n    List<int> x);\n}', 3, 10, 'List of int'],
    ['interface I { void a(out int x); }', 1, 30, 'can only be "in"'],
    ['interface I { void a(int[] x); }', 1, 28, 'direction of "x"'],
    ['interface I { void a(@nullable int x); }', 1, 32, 'no null'],
    ['interface I { int[][] a(); }', 1, 20, 'array of arrays'],
    ['interface I { int[-1] a(); }', 1, 19, 'as the size of an array'],
    ['interface I { byte[1000000] a(); }', 1, 15, 'so large'],
    ['interface I { @nullable int a(); }', 1, 25, 'no null'],
    ['interface I { oneway int a(); }', 1, 22, 'oneway'],
    ['interface I { oneway void a(out int[] x); }', 1, 39, 'the method is oneway'],
    ['interface I { void a() = 1; void b(); }', 1, 34, '"b" without an id'],
    ['interface I { void a() = 1; void b() = 1; }', 1, 40, 'id 1 twice'],
    ['interface I { void a() = 16777115; }', 1, 26, 'as the id of a method'],
    ['interface I { void a() = 0x10; }', 1, 26, 'as the id of a method'],
    ['interface I { void a(); void a(int x); }', 1, 30, '"a" twice'],
    ['interface I { void a(int x, int x); }', 1, 33, '"x" twice'],
    ['interface I { void a(int class); }', 1, 26, 'word of Java'],
    ['interface I { int getInterfaceVersion(); }', 1, 19, 'every interface has it'],
    ['interface I { void a(void x); }', 1, 22, 'void'],
    ['interface I { void a() }', 1, 24, 'Expected ";" behind the method, found "}"'],
    ['interface I { void a();', 1, 24, 'the end of the file'],
    ['interface I { } junk', 1, 17, 'found "junk"'],
    ['interface I { void a(); /* open', 1, 25, 'does not end'],
    ['interface I { void § (); }', 1, 20, '"§"'],
    ['interface in { }', 1, 11, 'found "in"'],
    ['interface a.B { }', 1, 11, 'Cannot name a type "a.B"'],
    ['interface int { }', 1, 11, 'is reserved'],
    ['', 1, 1, 'found the end of the file'],
    ['interface I { } interface J { }', 1, 27, 'a file declares one type'],
    ['@Foo interface I { }', 1, 1, '@Foo: it is unknown'],
    ['@nullable interface I { }', 1, 1, 'Cannot annotate an interface with @nullable'],
    ['@Backing interface I { }', 1, 1, 'Cannot annotate an interface'],
    ['@Backing(size="int") enum E { A }', 1, 1, 'without "type"'],
    ['@Backing(type="int", size=1) enum E { A }', 1, 22, 'parameter "size"'],
    ['@Backing(type="float") enum E { A }', 1, 1, '"float" as the backing type'],
    ['@FixedSize @FixedSize parcelable P { }', 1, 12, 'Cannot repeat'],
    ['enum E { A = 128 }', 1, 14, 'Cannot use 128 as an enumerator'],
    ['enum E { A, A }', 1, 13, '"A" twice'],
    ['enum E { A = B, B = A }', 1, 21, 'leads to itself'],
    ['enum E { }', 1, 10, 'the name of an enumerator'],
    ['union U { }', 1, 7, 'it has no fields'],
    ['union U { int[] a; }', 1, 17, 'array without a default'],
    ['union U { int a; int A; }', 1, 22, 'first letter'],
    ['parcelable P { P p; }', 1, 12, 'it holds itself (P -> P)'],
    ['parcelable P { @nullable P p; }', 1, 12, 'it holds itself'],
    ['parcelable P { int a; int a; }', 1, 27, '"a" twice'],
    ['parcelable P { void f(); }', 1, 22, 'Cannot declare a method here'],
    ['parcelable P { int a = 1 / 0; }', 1, 24, 'divide by zero'],
    ['parcelable P { int a = 2147483647 + 1; }', 1, 24, 'overflows 32 bits'],
    ['parcelable P { int a = "x"; }', 1, 24, 'Cannot use a text as int'],
    ['parcelable P { float a = 1.5; }', 1, 26, 'Cannot use the number 1.5 as float'],
    ['parcelable P { int a = B; }', 1, 24, 'Cannot find the constant "B"'],
    ['parcelable P { String a = "\\n"; }', 1, 27, 'in a literal'],
    ['parcelable P { int[2] a = {1}; }', 1, 27, 'Expected 2 values, found 1'],
    ['parcelable P { enum E { A } E e = 0; }', 1, 35, 'none of its enumerators'],
    ['@FixedSize parcelable P { String s; }', 1, 34, 'its size is not fixed'],
    ['parcelable P { parcelable P { int a; } }', 1, 27, 'as the one around it'],
    ['parcelable P { parcelable Q; }', 1, 27, 'Cannot nest "Q"'],
    ['parcelable P { int x; } @utf8InCpp', 1, 35, 'found the end of the file'],
    ['interface I { @utf8InCpp int f(); }', 1, 26, 'Cannot be @utf8InCpp'],
    ['interface I { @nullable(heap=true) String f(); }', 1, 36, 'heap=true'],
    ['interface I { const int[] A = {1}; }', 1, 21, 'Cannot use a constant of int[]'],
    ['import a.B; interface I { }', 1, 8, 'Cannot find import "a.B"'],
  ])('%j', (source, line, column, message) => {
    const [problem] = problemsOf(source);
    expect(problem).toMatchObject({ file: 'x.aidl', line, column });
    expect(problem?.message).toContain(message);
  });
});

test('all problems of all files are told at once, in their order', () => {
  const sources = aidlFolder({ 'p/Q.aidl': 'package p; parcelable Q { Nope a; int b = "x"; }' });
  const text = `package p;
    import p.Q;
    interface I {
      void a(int[] x);
      Missing b();
      void broken(;
      void c() = 5
      void d(in Q q);
      @Odd void e();
    }`;
  // What is only half read is not looked at any closer.
  expect(places(problemsOf(text, { sources }))).toEqual([
    ['x.aidl', 6],
    ['x.aidl', 8],
  ]);
  const readable = text.replace('broken(;', 'fine();').replace('= 5', ';');
  expect(places(problemsOf(readable, { sources }))).toEqual([
    ['x.aidl', 4],
    ['x.aidl', 5],
    ['x.aidl', 9],
    ['p/Q.aidl', 1],
    ['p/Q.aidl', 1],
  ]);
});

const places = (problems: readonly Diagnostic[]): readonly (readonly [string, number])[] =>
  problems.map(({ file, line }) => [file, line]);

describe('AIDL that no call over vsock can carry', () => {
  test.each([
    ['Map m', 'its entries have no type'],
    ['in Map<String, String> m', 'its entries have no type'],
    ['in ParcelFileDescriptor f', 'no file descriptor travels over vsock'],
    ['FileDescriptor f', 'no file descriptor travels over vsock'],
    ['CharSequence c', 'only Java has it'],
    ['in List l', 'List of anything'],
    ['in U u', 'its fields are not written in AIDL'],
    ['in G<int> g', 'generic parcelables'],
    ['in Deep d', 'no file descriptor travels over vsock'],
  ])('%s', (argument, message) => {
    const sources = aidlFolder({
      'U.aidl': 'parcelable U cpp_header "u.h";',
      'G.aidl': 'parcelable G<T> { T t; }',
      'Deep.aidl': 'parcelable Deep { Inner[] i; parcelable Inner { ParcelFileDescriptor f; } }',
    });
    const direction = argument.startsWith('Map') ? 'in ' : '';
    const text = `interface I { void bad(${direction}${argument}); int good(); }`;
    const problems = problemsOf(text, { sources });
    expect(problems.map((each) => each.message).join('\n')).toContain(message);
    const options: CompileOptions = { sources, allowUnsupported: true };
    const program = compileAidl([{ path: 'I.aidl', text }], options);
    const [type] = program.types;
    const methods = type?.kind === 'interface' ? type.methods : [];
    expect(methods.map((each) => [each.name, each.unsupported !== undefined])).toEqual([
      ['bad', true],
      ['good', false],
    ]);
  });
});

test('a name is sought in enclosing types, imports, the file, then as it stands', () => {
  const sources = aidlFolder({
    'y/Baz.aidl': 'package y; parcelable Baz { int y; }',
    'z/Far.aidl': 'package z; parcelable Far { parcelable Near { int n; } int f; }',
  });
  const text = `package x;
    import y.Baz;
    parcelable Foo {
      parcelable Bar { enum Baz { A } Baz inner; }
      Baz outer = {};
      Bar.Baz nested; z.Far far; z.Far.Near near; Foo[] own;
    }`.replace(' = {}', '');
  const { types } = compileAidl([{ path: 'x/Foo.aidl', text }], { sources });
  const [foo] = types;
  const named = (type: TypeDescription | undefined): unknown =>
    type !== undefined && 'fields' in type
      ? type.fields.map(({ name, type: { ...each } }) => {
          const leaf = each.kind === 'array' ? each.element : each;
          return [name, 'declaration' in leaf ? leaf.declaration.fullName : leaf.kind];
        })
      : [];
  expect(named(foo)).toEqual([
    ['outer', 'y.Baz'],
    ['nested', 'x.Foo.Bar.Baz'],
    ['far', 'z.Far'],
    ['near', 'z.Far.Near'],
    ['own', 'x.Foo'],
  ]);
  expect(named(foo?.nested[0])).toEqual([['inner', 'x.Foo.Bar.Baz']]);
});

test('a type of the same package has to be imported, and the hint says how', () => {
  const sources = aidlFolder({ 'p/Q.aidl': 'package p; parcelable Q { }' });
  const [problem] = problemsOf('package p; interface I { void f(in Q q); }', { sources });
  expect(problem?.hint).toBe('Import it: import p.Q;');
});

test('two files for one import are a problem that names both', () => {
  const one = aidlFolder({ 'p/Q.aidl': 'package p; parcelable Q { }' });
  const find = (path: string): ReturnType<typeof one.find> =>
    one.find(path).flatMap((file) => [file, { ...file, path: `other/${file.path}` }]);
  const [problem] = problemsOf('import p.Q; interface I { }', { sources: { find } });
  expect(problem?.message).toContain('found p/Q.aidl, other/p/Q.aidl');
});

test('a file lies where its package says, when that is asked for', () => {
  const text = 'package a.b; interface I { }';
  const at = (path: string): unknown => compileAidl([{ path, text }], { checkFileNames: true });
  expect(() => at('src/a/b/I.aidl')).not.toThrow();
  expect(() => at('src/b/I.aidl')).toThrow(RecipeError);
  expect(() => at('src/a/b/J.aidl')).toThrow('Cannot declare "I" in this file');
});

test('only an interface is parsed to be called', () => {
  expect(() => parseAidl('parcelable P { int x; }')).toThrow(UsageError);
});
