/** The strict ZIP profile is written twice, for the signer in TypeScript and for the guest in Rust: one verdict. */

import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../src/core/errors.ts';
import { encodeSigningBlock } from '../../src/formats/apk/signing-block.ts';
import { checkStrictApk } from '../../src/formats/apk/strict.ts';
import { bytesSource } from '../../src/io/byte-source.ts';
import { corpus, corpusPath } from '../support/corpus.ts';
import { runTool } from '../support/tools.ts';
import { field, forge, type ForgedArchive, type ForgedEntry } from '../unit/formats/zip/forge.ts';

const ACCEPTED = 'accepted';

async function ourVerdict(archive: Uint8Array): Promise<string> {
  try {
    const { sections } = await checkStrictApk(bytesSource(archive));
    // The guest takes signed archives only.
    return sections.hasSigningBlock ? ACCEPTED : 'it has no signing block';
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return error.message;
  }
}

/** What the guest says of each. */
function guestVerdicts(archives: readonly Uint8Array[]): readonly string[] {
  const parts = archives.flatMap((archive) => {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(archive.length);
    return [size, archive];
  });
  const { status, stdout, stderr } = runTool(
    'cargo',
    ['run', '--quiet', '--package', 'microbuild-formats', '--example', 'strict_zip'],
    { input: Buffer.concat(parts) },
  );
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout.split('\n').slice(0, -1);
}

/** Judges all of them by both; returns how many were accepted. */
async function judge(archives: readonly Uint8Array[]): Promise<number> {
  const guest = guestVerdicts(archives);
  expect(guest).toHaveLength(archives.length);
  let accepted = 0;
  for (const [index, archive] of archives.entries()) {
    const ours = await ourVerdict(archive);
    if ((ours === ACCEPTED) !== (guest[index] === ACCEPTED)) {
      const bytes = Buffer.from(archive).toString('base64');
      throw new Error(
        `Archive ${index}: the signer says "${ours}", the guest "${guest[index]}"\n${bytes}`,
      );
    }
    if (ours === ACCEPTED) accepted++;
  }
  return accepted;
}

const TEXT = 'text that is long enough to become smaller, smaller, smaller';
const V2 = 0x7109871a;
const signingBlock = (ids: readonly number[]): Uint8Array =>
  encodeSigningBlock(ids.map((id) => ({ id, value: Uint8Array.of(1, 2, 3) })));

const names = fc.oneof(
  { weight: 6, arbitrary: fc.stringMatching(/^[a-c]{1,2}(?:\/[a-c]{1,2}){0,2}\/?$/) },
  fc.constantFrom(
    '',
    '/',
    '/a',
    'a//b',
    './a',
    'a/..',
    '..',
    'a\\b',
    'C:',
    'c:/x',
    'ab:c',
    'a\u0000',
    'a\u0085',
    '\u007f',
    'A',
    'a',
    'É',
    'é',
    'e\u0301',
    'ß',
    'SS',
    'ſ',
    'S',
    'K',
    '\u212a',
    'ﬁ',
    'FI',
    'Σ',
    'ς',
    'σ',
    'aΣ',
    'aς',
    'İ',
    'i̇',
    '\ufeffa',
    'ŉ',
    'ʼN',
    'x'.repeat(1024),
    'x'.repeat(1025),
  ),
  fc.constantFrom(Uint8Array.of(0xff), Uint8Array.of(0xc0, 0xaf), Uint8Array.of(0xed, 0xa0, 0x80)),
);

const extras = fc.oneof(
  { weight: 5, arbitrary: fc.constant(new Uint8Array(0)) },
  fc.constantFrom(
    field(0xd935, [4, 0]),
    field(0x5455, [1, 0, 0, 0, 0]),
    field(0x0001, []),
    field(0x7075, [1, 2, 3]),
    field(0x1234, [1]),
    field(0xcafe, []),
    field(0, []),
    new Uint8Array(3),
    new Uint8Array(7),
    Uint8Array.of(0x34, 0x12, 9, 0, 1),
    Uint8Array.of(1),
  ),
  fc.uint8Array({ maxLength: 12 }),
);

const flags = fc.constantFrom(
  0,
  2,
  4,
  6,
  8,
  0x800,
  0x808,
  1,
  0x10,
  0x20,
  0x40,
  0x80,
  0x100,
  0x400,
  0x1000,
  0x2000,
  0x4000,
  0x8000,
);
const rarely = <T>(arbitrary: fc.Arbitrary<T>, weight = 8): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight, arbitrary: fc.constant(undefined) }, arbitrary);

const headerFields = fc.oneof(
  fc.record({ flags }),
  fc.record({ method: fc.constantFrom(0, 8, 9, 12, 93, 0x41) }),
  fc.record({ crc32: fc.constantFrom(0, 1, 0xffffffff) }),
  fc.record({ size: fc.constantFrom(0, 1, 59, 60, 61, 0xffffffff) }),
  fc.record({ compressedSize: fc.constantFrom(0, 1, 60, 0xffffffff) }),
  fc.record({ time: fc.nat(0xffff) }),
  fc.record({ versionNeeded: fc.nat(0xffff) }),
);
const centralFields = fc.oneof(
  headerFields,
  fc.record({
    externalAttributes: fc.constantFrom(0x41ed0010, 0x81a40000, 0xa1ff0000, 0x10, 0x21b60000),
  }),
  fc.record({ diskNumber: fc.constantFrom(1, 0xffff) }),
  fc.record({ localHeaderOffset: fc.constantFrom(0, 1, 0xffffffff) }),
  fc.record({ versionMadeBy: fc.nat(0xffff) }),
);

/** Optional parts are left out, not undefined. */
const present = <T extends object>(parts: T): Partial<T> =>
  Object.fromEntries(
    Object.entries(parts).filter(([, value]) => value !== undefined),
  ) as Partial<T>;

const entries: fc.Arbitrary<ForgedEntry> = fc
  .record({
    name: names,
    data: fc.constantFrom('', 'x', TEXT),
    deflate: fc.boolean(),
    descriptor: rarely(fc.oneof(fc.constant({}), headerFields), 3),
    unsignedDescriptor: rarely(fc.constant(true), 3),
    raw: rarely(fc.oneof(fc.constant(Uint8Array.of(3, 0)), fc.uint8Array({ maxLength: 8 })), 20),
    localName: rarely(names, 20),
    extra: rarely(extras, 3),
    localExtra: rarely(extras, 6),
    comment: rarely(fc.constant('c'), 20),
    both: rarely(fc.oneof(headerFields, fc.constant({ flags: 0x808 }))),
    local: rarely(headerFields, 12),
    central: rarely(centralFields, 12),
    before: rarely(fc.constant(new Uint8Array(1)), 30),
  })
  .map(({ name, ...parts }) => {
    const directory = typeof name === 'string' && name.endsWith('/');
    return {
      name,
      ...present(parts),
      ...(directory && parts.raw === undefined && { data: '' }),
    } as ForgedEntry;
  });

const archives = fc
  .record({
    entries: fc.array(entries, { maxLength: 3 }),
    comment: rarely(fc.constant('x'), 30),
    trailer: rarely(
      fc.constantFrom(
        new Uint8Array(1),
        new Uint8Array(4095),
        new Uint8Array(4096),
        Uint8Array.of(1),
      ),
      10,
    ),
    end: rarely(
      fc.constantFrom(
        { diskNumber: 1 },
        { entryCount: 9 },
        { entriesOnDisk: 0 },
        { centralDirectorySize: 46 },
        { entryCount: 0xffff, entriesOnDisk: 0xffff },
      ),
      20,
    ),
    beforeEnd: rarely(fc.constant(new Uint8Array(1)), 40),
    padding: rarely(
      fc.constantFrom(
        new Uint8Array(1),
        new Uint8Array(0xffff),
        new Uint8Array(0x10000),
        Uint8Array.of(0, 1),
      ),
      8,
    ),
    block: fc.oneof(
      { weight: 10, arbitrary: fc.constant(signingBlock([V2])) },
      fc.constantFrom(
        signingBlock([]),
        signingBlock([V2, V2]),
        signingBlock([V2, 0x1234]),
        signingBlock([0xf05368c0, 0x1b93ad61, 0x2b09189e, 0x6dff800d]),
        new Uint8Array(0),
        signingBlock([V2]).fill(9, 100, 101),
        signingBlock([V2]).fill(9, 8, 9),
        signingBlock([V2]).fill(0, 0, 1),
      ),
    ),
  })
  .map(({ block, padding, ...archive }) =>
    forge({
      ...(present(archive) as ForgedArchive),
      beforeDirectory: new Uint8Array(Buffer.concat([padding ?? new Uint8Array(0), block])),
    }),
  );

/** The same numbers in every run. */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state >>> 8;
  }
}

/** One to three bytes changed where headers are likely, or the file cut or made longer. */
function damage(good: Uint8Array, random: Iterator<number, never>): Uint8Array {
  const next = (limit: number): number => random.next().value % limit;
  const bad = new Uint8Array(good);
  for (let count = 1 + next(3); count > 0; count--) {
    const fromEnd = next(2) === 0;
    const at = next(Math.min(bad.length, fromEnd ? 400 : bad.length));
    const place = fromEnd ? bad.length - 1 - at : at;
    bad[place] = [bad[place]! ^ (1 << next(8)), 0, 0xff, next(256)][next(4)]!;
  }
  return next(20) === 0 ? bad.subarray(0, next(bad.length + 1)) : bad;
}

describe('verdicts of signer and guest agree', () => {
  test('on archives with every oddity that a writer can make', async () => {
    const made = fc.sample(archives, { numRuns: 4000, seed: 1 });
    const accepted = await judge(made);
    expect(accepted).toBeGreaterThan(200);
    expect(made.length - accepted).toBeGreaterThan(2000);
  });

  test('on damaged archives', async () => {
    const random = numbers(7);
    const good = forge({
      entries: [
        { name: 'AndroidManifest.xml', data: TEXT, deflate: true },
        { name: 'lib/x86_64/libpayload.so', data: 'stored', localExtra: field(0xd935, [4, 0]) },
        { name: 'assets/', central: { externalAttributes: 0x41ed0010 } },
        { name: 'assets/streamed.txt', data: TEXT, deflate: true, descriptor: {} },
      ],
      beforeDirectory: signingBlock([V2]),
    });
    const damaged = Array.from({ length: 4000 }, () => damage(good, random));
    expect(await judge([good, ...damaged])).toBeGreaterThan(10);
  });

  test.skipIf(corpus === undefined)('on the archives of others, whole and damaged', async () => {
    const random = numbers(8);
    const folders = [
      corpusPath('sig-zip-attacks', 'made'),
      corpusPath('sig-apksig', 'apk'),
      corpusPath('apkverify'),
    ];
    const whole = folders.flatMap((folder) =>
      readdirSync(folder)
        .filter((name) => /\.(?:apk|zip)$/.test(name))
        .map((name) => new Uint8Array(readFileSync(`${folder}/${name}`)))
        .filter(({ length }) => length < 1 << 20),
    );
    const small = whole.filter(({ length }) => length < 20_000);
    const damaged = small.flatMap((apk) => [damage(apk, random), damage(apk, random)]);
    expect(await judge([...whole, ...damaged])).toBeGreaterThan(50);
  });
});
