/** AIDL texts, right and wrong, for other compilers to judge: combinations of what the language has. */

const TYPES = [
  'boolean',
  'byte',
  'char',
  'int',
  'long',
  'float',
  'double',
  'String',
  'IBinder',
  'List<String>',
  'List<P>',
  'List<IBinder>',
  'CharSequence',
  'FileDescriptor',
  'P',
  'IOther',
  'void',
  'int[]',
  'boolean[]',
  'String[]',
  'P[]',
  'IBinder[]',
  'CharSequence[]',
  'Unknown',
];
const ANNOTATIONS = ['', '@nullable ', '@utf8InCpp '];
const DIRECTIONS = ['', 'in ', 'out ', 'inout '];

/** Files that samples may import, by path. */
export const SAMPLE_IMPORTS: Readonly<Record<string, string>> = {
  'p/P.aidl': 'package p; parcelable P { int x; String s; }',
  'p/IOther.aidl': 'package p; interface IOther { void g(); }',
};

const INTERFACE = (body: string): string =>
  `package p; import p.P; import p.IOther; interface S { ${body} }`;
const PARCELABLE = (body: string): string =>
  `package p; import p.P; import p.IOther; parcelable S { ${body} }`;

/** Members of an interface and of a parcelable whose verdict is asked for. */
const METHODS = [
  'void f();',
  'void f() = 0; void g() = 5;',
  'void f() = 1; void g();',
  'void f() = 1; void g() = 1;',
  'void f() = 16777114;',
  'void f() = 16777215;',
  'void f() = -1;',
  'void f() = 0x1;',
  'void f(int a, int a);',
  'void f(int a); void f(String b);',
  'void f(int class);',
  'void f(int interface);',
  'void f(int cpp_header);',
  'void f(int _aidl_x);',
  'void f(int a,);',
  'void f(,);',
  'void f(int);',
  'void f(int a)',
  'f();',
  'int f() { }',
  'oneway void f();',
  'oneway int f();',
  'oneway void f(in int[] a);',
  'oneway void f(out int[] a);',
  'const int A = 1;',
  'const int A = 0xffffffff;',
  'const int A = 1 + 2 * 3 - 4 / 2 % 3;',
  'const int A = (1 << 4) | 3 & ~1 ^ 2;',
  'const int A = 1 < 2;',
  'const int A = -(-3);',
  'const int A = 2147483648;',
  'const int A = 2147483647 + 1;',
  'const int A = "x";',
  'const int A = 1; const int A = 2;',
  'const int A;',
  'const String A = "a b;c";',
  'const String A = "";',
  'const String A = "\\n";',
  'const String A = 1;',
  'const boolean[] A = {true};',
  'const void A = 1;',
  'int getInterfaceVersion();',
  'String getTransactionName(int x);',
  '/* c */ void /** d */ f(/* e */); // g',
  'void f() ; ;',
  '@nullable void f();',
  '@Unknown void f();',
  '@nullable @nullable String f();',
  'Map f();',
  'Map<String, String> f();',
  'List f();',
  'List<> f();',
  'List<String, String> f();',
  'List<List<String>> f();',
  'void f(in Map m);',
  'void f(in List l);',
  'int [] f();',
  'int f[]();',
  'p.P f();',
  'p.Unknown f();',
  'java.lang.String f();',
  'java.util.List<String> f();',
  'void\tf\n(\n)\n;',
  'void f§();',
  'void f("x");',
];
const FIELDS = [
  'int a;',
  'int a; int a;',
  'int a = 1;',
  'int a = 1 << 3;',
  'boolean a = true;',
  'boolean a = maybe;',
  "char a = 'c';",
  "char a = 'cc';",
  'byte a = 127;',
  'byte a = 128;',
  'long a = 4294967296;',
  'int a = 4294967296;',
  'float a = 1.5f;',
  'float a = 1.5;',
  'double a = 1.5;',
  'double a = "x";',
  'String a = "x";',
  "String a = 'x';",
  'String a = "§";',
  'int[] a = {1, 2, 3};',
  'int[] a = {};',
  'int[] a = {1, 2, 3,};',
  'int[] a = {"x"};',
  'String[] a = {"a", "b"};',
  'int a = {1};',
  'void f();',
  'int a',
  'int;',
  'a;',
  '',
];
const FILES = [
  '',
  'package p;',
  'package p; package q; interface S { }',
  'package p interface S { }',
  'interface S { }',
  'package p; interface S { } ;',
  'package p; interface { }',
  'package p; interface S',
  'package p; interface S { } interface T { }',
  'package p; parcelable S;',
  'package p; parcelable S cpp_header "s.h";',
  'package p; parcelable S cpp_header s.h;',
  'package p; parcelable S { }',
  'package p; parcelable S { parcelable S2 x; }',
  'package p; oneway interface S { void f(); }',
  'package p; oneway interface S { int f(); }',
  'package p; oneway parcelable S { }',
  'package p; import p.P; interface S { }',
  'package p; import q.Nothing; interface S { }',
  'package p; import ; interface S { }',
  'interface S { } package p;',
  'package p; interface S { } import p.P;',
  'package p; /* unterminated interface S { }',
  'package p; class S { }',
  'package p; interface S extends T { }',
  'package p; @Unknown interface S { }',
  'package p; @UnsupportedAppUsage interface S { }',
  'package p; interface S { void f(); ',
  'package p; interface S { void f(); } }',
  'package p; // only a comment',
  'package p.; interface S { }',
  'package 1p; interface S { }',
];

/** All samples: the text of `p/S.aidl`. */
export function aidlSamples(): readonly string[] {
  const samples: string[] = [...FILES];
  for (const member of METHODS) samples.push(INTERFACE(member));
  for (const field of FIELDS) samples.push(PARCELABLE(field));
  for (const type of TYPES) {
    for (const annotation of ANNOTATIONS) {
      samples.push(INTERFACE(`${annotation}${type} f();`));
      samples.push(PARCELABLE(`${annotation}${type} a;`));
      for (const direction of annotation === '' ? DIRECTIONS : []) {
        samples.push(INTERFACE(`void f(${direction}${annotation}${type} a);`));
      }
    }
  }
  return samples;
}
