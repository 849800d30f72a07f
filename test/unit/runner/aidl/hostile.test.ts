// Texts, parcels and values that nobody means well with.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError, RecipeError, UsageError } from '../../../../src/core/errors.ts';
import { readValue, writeValue } from '../../../../src/runner/aidl/codec.ts';
import { compileAidl } from '../../../../src/runner/aidl/compile.ts';
import { generateRust } from '../../../../src/runner/aidl/generate/rust.ts';
import { generateTs } from '../../../../src/runner/aidl/generate/ts.ts';
import { AidlReader } from '../../../../src/runner/aidl/reader.ts';
import type { AidlType } from '../../../../src/runner/aidl/types.ts';
import { checkValue } from '../../../../src/runner/aidl/values.ts';
import { type BinderSession, writeAidl } from '../../../../src/runner/aidl/writer.ts';
import { BinderStatusError } from '../../../../src/runner/rpc/errors.ts';
import { ParcelReader } from '../../../../src/runner/rpc/parcel-reader.ts';
import { ParcelWriter } from '../../../../src/runner/rpc/parcel-writer.ts';
import { everyType, interfaceOf } from '../../../support/aidl.ts';
import { arbitraryOf } from '../../../support/aidl-values.ts';

/** Compiles, and generates from what compiles; anything but AIDL's own error is thrown. */
function judge(text: string): boolean {
  try {
    const program = compileAidl([{ path: 'x.aidl', text }]);
    generateRust(program);
    generateTs(program);
    return true;
  } catch (error) {
    if (error instanceof RecipeError) return false;
    throw error;
  }
}

const WORDS =
  'interface parcelable enum union oneway const package import in out inout true false void int long String ' +
  'List Map IBinder byte char @nullable @Backing @utf8InCpp @FixedSize heap type I J P E A B a b x { } ( ) [ ] ' +
  '< > << >> ; , . = == + - * / % & | ^ ~ ! 0 1 7 0xff 1u8 9999999999 1.5 1.5f 1e9 "s" \'c\' // /* */ /** \n § " \'';

describe('any text compiles or is an error of AIDL, soon', () => {
  test('random words', () => {
    const word = fc.constantFrom(...WORDS.split(' '));
    fc.assert(
      fc.property(fc.array(word, { maxLength: 60 }), (words) => {
        expect(judge(words.join(' '))).toBeTypeOf('boolean');
      }),
      { numRuns: 1500 },
    );
  });

  test('random characters', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(judge(Buffer.from(bytes).toString('latin1'))).toBeTypeOf('boolean');
      }),
      { numRuns: 200 },
    );
  });

  test('real files with a part exchanged', () => {
    const folder = 'test/fixtures/aidl/dev/microbuild/test';
    const texts = ['Everything', 'ITypes', 'Value', 'Kind', 'Inner'].map((name) =>
      readFileSync(`${folder}/${name}.aidl`, 'utf8').replaceAll(/^import .*\n/gm, ''),
    );
    const cut = fc.record({
      text: fc.constantFrom(...texts),
      at: fc.nat(),
      length: fc.nat(12),
      word: fc.constantFrom('', ...WORDS.split(' ')),
    });
    fc.assert(
      fc.property(cut, ({ text, at, length, word }) => {
        const start = at % text.length;
        const changed = text.slice(0, start) + word + text.slice(start + length);
        expect(judge(changed)).toBeTypeOf('boolean');
      }),
      { numRuns: 800 },
    );
  });

  const many = 20_000;
  test.each([
    ['parentheses', `parcelable P { int a = ${'('.repeat(many)}1${')'.repeat(many)}; }`],
    ['signs', `parcelable P { int a = ${'-'.repeat(many)}1; }`],
    ['sums', `parcelable P { int a = 0${' + 1'.repeat(many)}; }`],
    ['braces', `parcelable P { int[] a = ${'{'.repeat(many)}${'}'.repeat(many)}; }`],
    ['nested types', `${'parcelable P { '.repeat(many)}${'}'.repeat(many)}`],
    ['type arguments', `interface I { ${'List<'.repeat(many)}int${'>'.repeat(many)} f(); }`],
    ['dimensions', `interface I { int${'[2]'.repeat(many)} f(); }`],
    ['annotations', `${'@nullable '.repeat(many)} interface I { }`],
    ['errors', `interface I { ${'int int; '.repeat(many)} }`],
    ['open brackets', '{'.repeat(many)],
    ['digits', `parcelable P { int a = ${'9'.repeat(100 * many)}; }`],
    ['a long line', `parcelable P { int ${'a'.repeat(100 * many)} = "; }`],
    ['a long comment', `/*${'*'.repeat(100 * many)}`],
  ])('%s in thousands', (_name, text) => {
    const started = performance.now();
    expect(judge(text)).toBe(false);
    expect(performance.now() - started).toBeLessThan(5000);
  });

  test.each([
    [
      'constants that lead to one another',
      `parcelable P { ${list(3000, (i) => `const int A${i} = A${i + 1};`)} const int A3000 = 1; }`,
    ],
    [
      'parcelables in one another',
      `parcelable P { ${list(3000, (i) => `parcelable A${i} { A${i + 1} a; }`)} parcelable A3000 { } }`,
    ],
    ['a value of gigabytes', `parcelable P { ${list(40, (i) => `int[100000] a${i};`)} }`],
    [
      'a value that grows with each level',
      `parcelable P { parcelable A0 { int[100] a; } ${list(30, (i) => `parcelable A${i + 1} { A${i}[9] a; }`)} }`,
    ],
  ])('%s', (_name, text) => {
    const started = performance.now();
    expect(judge(text)).toBe(false);
    expect(performance.now() - started).toBeLessThan(5000);
  });

  test('an enum of thousands and a file of thousands of methods are fine', () => {
    expect(judge(`@Backing(type="int") enum E { ${list(5000, (i) => `A${i},`)} }`)).toBe(true);
    expect(judge(`interface I { ${list(5000, (i) => `void m${i}(int a);`)} }`)).toBe(true);
  });
});

function list(count: number, line: (index: number) => string): string {
  return Array.from({ length: count }, (_, index) => line(index)).join(' ');
}

const SESSION: BinderSession = {
  writeBinder: (parcel, object) => void parcel.binder(object === null ? null : 1n),
  readBinder: (parcel) => {
    parcel.binder();
    return null;
  },
};
const wrap = (): null => null;
const TYPES = interfaceOf(everyType(), 'ITypes').methods.flatMap(({ args, returns }) =>
  [...args.map(({ type }) => type), returns].filter((type) => type !== null),
);

function encode(type: AidlType, value: unknown): { data: Uint8Array; objects: readonly number[] } {
  const parcel = new ParcelWriter();
  const checked = checkValue(type, value, { what: 'argument', toBinder: () => undefined });
  writeAidl(SESSION, parcel, 'argument', (out) => writeValue(out, type, checked));
  return parcel.finish();
}

/** Whether it is a value; anything but the errors of bad data is thrown. */
function readOrRefuse(type: AidlType, parcel: ReturnType<typeof encode>): boolean {
  try {
    readValue(new AidlReader(SESSION, new ParcelReader(parcel)), type, wrap);
    return true;
  } catch (error) {
    if (error instanceof FormatError || error instanceof BinderStatusError) return false;
    throw error;
  }
}

test('any bytes are a value or an error of the format', () => {
  fc.assert(
    fc.property(fc.constantFrom(...TYPES), fc.uint8Array({ maxLength: 200 }), (type, data) => {
      expect(readOrRefuse(type, { data, objects: [] })).toBeTypeOf('boolean');
    }),
    { numRuns: 3000 },
  );
});

test('a value with a byte exchanged is a value or an error of the format', () => {
  const plain = TYPES.filter((type) => type.kind === 'structure');
  const damaged = fc.constantFrom(...plain).chain((type) =>
    fc.record({
      type: fc.constant(type),
      value: arbitraryOf({ ...type, nullable: false }),
      at: fc.nat(),
      byte: fc.nat(255),
    }),
  );
  fc.assert(
    fc.property(damaged, ({ type, value, at, byte }) => {
      const { data, objects } = encode({ ...type, nullable: false }, value);
      data[at % data.length] = byte;
      expect(readOrRefuse(type, { data, objects })).toBeTypeOf('boolean');
    }),
    { numRuns: 400 },
  );
});

const TREE = TYPES.find(
  (type) => type.kind === 'structure' && type.declaration.name === 'Tree',
) as AidlType;

test('a parcel of parcelables in parcelables is refused where it would cost the stack', () => {
  const levels = 5000;
  const words: number[] = [];
  // Each level: present, size of the rest, an empty name, and the next one.
  for (let i = 0; i < levels; i++) words.push(1, 4 * (4 * (levels - i) - 1), 0, 0);
  const data = new Uint8Array(Int32Array.from(words).buffer);
  const read = (): unknown =>
    readValue(new AidlReader(SESSION, new ParcelReader({ data, objects: [] })), TREE, wrap);
  expect(read).toThrow('it nests too deep');
  expect(read).toThrow(FormatError);
});

test('a value that holds itself is refused', () => {
  const tree: Record<string, unknown> = { name: 'a' };
  tree['next'] = tree;
  expect(() => encode(TREE, tree)).toThrow(UsageError);
});

describe('older and newer senders of a parcelable', () => {
  const of = (fields: string): AidlType => {
    const [type] = compileAidl([{ path: 'P.aidl', text: `parcelable P { ${fields} }` }]).types;
    if (type?.kind !== 'parcelable') throw new TypeError('no parcelable');
    return { kind: 'structure', declaration: type, nullable: false, heap: false };
  };
  const older = of('int a;');
  const newer = of('int a; String b = "default"; int[2] c; @nullable String d;');
  const read = (type: AidlType, parcel: ReturnType<typeof encode>): unknown => {
    const reader = new ParcelReader(parcel);
    const value = readValue(new AidlReader(SESSION, reader), type, wrap);
    expect(reader.remaining).toBe(0);
    return value;
  };

  test('fields that the sender does not know have their defaults', () => {
    expect(read(newer, encode(older, { a: 7 }))).toEqual({
      a: 7,
      b: 'default',
      c: [0, 0],
      d: null,
    });
  });

  test('fields that the reader does not know are skipped', () => {
    expect(read(older, encode(newer, { a: 7, b: 'x' }))).toEqual({ a: 7 });
  });
});
