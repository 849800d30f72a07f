/** Archives, texts and programs: each difference is named with its likely cause, and none is silent. */

import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { compareContent } from '../../../../src/bundle/compare/content.ts';
import { checkFailures, failures, gatesOf } from '../../../../src/bundle/compare/gates.ts';
import type { Comparison } from '../../../../src/bundle/compare/finding.ts';
import { createNamer } from '../../../../src/bundle/compare/names.ts';
import { createRecorder } from '../../../../src/bundle/compare/recorder.ts';
import { renderMarkdown } from '../../../../src/cli/render/comparison-markdown.ts';
import { formatBootconfig } from '../../../../src/formats/boot-image/bootconfig.ts';
import { encodeInitrd } from '../../../../src/formats/boot-image/initrd.ts';
import { writeZip, type ZipInput } from '../../../../src/formats/zip/write.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { bytesContent } from '../../../../src/io/file-tree.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';

async function compare(a: Uint8Array, b: Uint8Array): Promise<Comparison> {
  const recorder = createRecorder({}, compareContent);
  await recorder.scope('').content(bytesSource(a, 'a'), bytesSource(b, 'b'));
  recorder.size({ member: '', a: a.length, b: b.length });
  return recorder.finish({ a: 'a', b: 'b', kind: 'file', measurements: [] });
}

const text = (value: string): Uint8Array => Buffer.from(value);

async function zipOf(
  entries: readonly (readonly [string, string, boolean?])[],
): Promise<Uint8Array> {
  const sink = new MemorySink();
  const inputs: ZipInput[] = entries.map(([name, value, isStored = true]) => ({
    name,
    content: bytesContent(text(value)),
    compress: !isStored,
  }));
  await writeZip(inputs, sink);
  return sink.bytes();
}

async function initrdOf(
  values: Readonly<Record<string, string>>,
  modules: readonly string[] = [],
): Promise<Uint8Array> {
  const content = encodeInitrd({
    init: bytesContent(text('#!init')),
    modules: modules.map((name) => ({ name, content: bytesContent(text(name)) })),
    bootconfig: Object.entries(values).map(([key, value]) => ({ key, values: [value] })),
    mtime: 1,
  });
  const parts: Uint8Array[] = [];
  for await (const chunk of content.stream()) parts.push(chunk.slice());
  return Buffer.concat(parts);
}

describe('likely causes', () => {
  test.each([
    ['line-endings', 'a\nb\n', 'a\r\nb\r\n'],
    ['order', 'c\nx\na\n', 'x\nc\na\n'],
    ['locale', 'B\na\nc\n', 'a\nB\nc\n'],
    ['build-path', 'at /home/ann/src/x.c', 'at /build/src/x.c'],
    ['timestamp', 'built 2026-11-23 10:00', 'built 2026-11-24 10:17'],
    ['time-zone', 'at 10:00:00', 'at 12:00:00'],
    ['timestamp', 'epoch=1700000000', 'epoch=1700000042'],
    ['hostname', 'by root@ci-7', 'by root@ci-9'],
    ['user', 'by ann@ci', 'by bob@ci'],
    ['core-count', 'ran with jobs=4', 'ran with jobs=16'],
    [
      'random-uuid',
      'id 6ba7b810-9dad-11d1-80b4-00c04fd430c8',
      'id 6ba7b811-9dad-11d1-80b4-00c04fd430c8',
    ],
    ['toolchain', 'GCC: (Debian 12.2.0) 12.2.0', 'GCC: (Debian 14.2.0) 14.2.0'],
    ['locale', 'LANG=de_DE.UTF-8', 'LANG=en_US.UTF-8'],
    ['version', 'release 1.2.3', 'release 1.2.4'],
  ])('%s is told from texts that show it', async (cause, a, b) => {
    const { findings } = await compare(text(a), text(b));
    expect(findings.map((each) => each.cause?.name)).toEqual([cause]);
  });

  test('the time in a gzip header', async () => {
    const a = gzipSync('x');
    const b = Buffer.from(a);
    b[5] = 9;
    const { findings } = await compare(a, b);
    expect(findings.at(-1)?.cause?.name ?? findings[0]?.cause?.name).toBe('mtime');
  });
});

describe('archives', () => {
  const LONG = 'the same text again and again, '.repeat(50);

  test('entries that were added, removed and changed are told by name', async () => {
    const a = await zipOf([
      ['a', '1'],
      ['b', 'same'],
      ['c', 'old\n'],
    ]);
    const b = await zipOf([
      ['b', 'same'],
      ['c', 'new\n'],
      ['d', '2'],
    ]);
    const { findings } = await compare(a, b);
    expect(
      findings
        .filter(({ level }) => level !== 'structure')
        .map(({ path, change }) => `${change} ${path}`),
    ).toEqual(['removed a', 'added d', 'changed c']);
    expect(findings.at(-1)?.excerpt).toEqual(['-old', '+new']);
  });

  test('the same bytes compressed otherwise are no change of contents', async () => {
    const a = await zipOf([['a', LONG, true]]);
    const b = await zipOf([['a', LONG, false]]);
    const { findings, counts, causes } = await compare(a, b);
    expect(counts.content + counts.bytes).toBe(0);
    expect(causes[0]?.name).toBe('compression-level');
    expect(findings.some(({ field, path }) => path === 'a' && field === 'method')).toBe(true);
  });

  test('another order of the same entries is told once', async () => {
    const { findings } = await compare(
      await initrdOf({ a: '1' }, ['x.ko', 'y.ko', 'z.ko']),
      await initrdOf({ a: '1' }, ['z.ko', 'x.ko', 'y.ko']),
    );
    const order = findings.filter(({ field }) => field === 'order');
    expect(order.map((each) => each.cause?.name)).toEqual(['order']);
  });

  test('keys of a bootconfig are told, and its copy in the archive only follows', async () => {
    expect(formatBootconfig([{ key: 'a.b', values: ['1'] }])).toBe('a.b = 1\n');
    const { findings, sameUnsigned } = await compare(
      await initrdOf({ 'androidboot.x': 'one', y: '2' }),
      await initrdOf({ 'androidboot.x': 'other', z: '2' }),
    );
    const own = findings.filter(({ nature }) => nature === 'origin');
    expect(own.map(({ change, field }) => `${change} ${field}`)).toEqual([
      'changed androidboot.x',
      'removed y',
      'added z',
    ]);
    expect(sameUnsigned).toBe(false);
  });
});

describe('archives of anybody', () => {
  async function tarOf(entries: readonly (readonly [string, Uint8Array])[]): Promise<Uint8Array> {
    const archive = pack();
    for (const [name, data] of entries) {
      archive.entry({ name, mtime: new Date(0) }, Buffer.from(data));
    }
    archive.finalize();
    const parts: Uint8Array[] = [];
    for await (const part of archive) parts.push(part);
    return Buffer.concat(parts);
  }

  test('a large entry is compared in another order, too', async () => {
    const large = Buffer.alloc((16 << 20) + 5, 1);
    const other = Buffer.from(large);
    other[large.length - 2] = 2;
    const { findings, counts } = await compare(
      await tarOf([
        ['x', text('x')],
        ['large', large],
        ['y', text('1')],
      ]),
      await tarOf([
        ['y', text('2')],
        ['large', other],
        ['x', text('y')],
      ]),
    );
    expect(findings.find(({ path }) => path === 'large')).toMatchObject({
      level: 'bytes',
      nature: 'origin',
      offset: large.length - 2,
    });
    expect(counts.content).toBe(2);
  });

  test('entries of one name are met in their order, and never by the name of another', async () => {
    const archive = (second: string): Promise<Uint8Array> =>
      tarOf([
        ['x #2', text('literal')],
        ['x', text('first')],
        ['x', text(second)],
      ]);
    const { findings } = await compare(await archive('one\n'), await archive('two\n'));
    expect(findings.map(({ path }) => path)).toEqual(['x #3']);
  });

  test('a hundred thousand things of one name take no longer than as many of others', () => {
    const nameOf = createNamer();
    const names = new Set<string>();
    const start = process.cpuUsage();
    for (let i = 0; i < 100_000; i += 1) names.add(nameOf('x'));
    for (let i = 2; i < 50_000; i += 1) names.add(nameOf(`x #${i}`));
    expect(names.size).toBe(149_998);
    // Each by asking for all before it would take minutes.
    expect(process.cpuUsage(start).user).toBeLessThan(5e6);
  });

  test.each(['a', 'b'] as const)('damage is told of the side that has it: %s', async (side) => {
    const sound = await zipOf([
      ['AndroidManifest.xml', 'm'],
      ['a', 'one'],
    ]);
    const damaged = Buffer.from(sound);
    // The signature of the second record of the directory.
    damaged[damaged.lastIndexOf('PK\x01\x02', undefined, 'latin1') + 2] = 9;
    const { findings } =
      side === 'a' ? await compare(damaged, sound) : await compare(sound, damaged);
    const damage = findings.find(({ field }) => field === 'damage');
    expect(damage?.[side]).toContain('Cannot read ZIP archive');
    expect(damage?.[side === 'a' ? 'b' : 'a']).toBeUndefined();
  });

  test('a bootconfig in the archive that is another than at the end is told', async () => {
    const a = await initrdOf({ a: '1' }, ['x.ko']);
    const b = Buffer.from(a);
    // The copy in the archive says something else than the end.
    const at = b.indexOf('a = 1');
    expect(b.lastIndexOf('a = 1')).toBeGreaterThan(at);
    b.write('a = 2', at);
    const { findings, sameUnsigned } = await compare(a, b);
    expect(sameUnsigned).toBe(false);
    expect(findings.some(({ nature }) => nature === 'origin')).toBe(true);
  });
});

describe('gatesOf()', () => {
  test('growth in bytes and in percent, with what grew', async () => {
    const comparison = await compare(text('a'.repeat(100)), text('a'.repeat(110)));
    expect(gatesOf(comparison, { maxGrowth: { bytes: 10 } })).toEqual([]);
    expect(gatesOf(comparison, { maxGrowth: { percent: 9 } })).toMatchObject([
      { gate: 'max-growth' },
    ]);
    expect(gatesOf(comparison, { maxGrowth: { bytes: 9 } })[0]?.reason).toContain('10 more');
  });

  test('every name that may be failed on is known, and no other', async () => {
    const comparison = await compare(text('a'), text('a'));
    for (const name of failures) expect(gatesOf(comparison, { failOn: [name] })).toEqual([]);
    expect(() => checkFailures(failures)).not.toThrow();
    expect(() => checkFailures(['key', 'nonsense'])).toThrow(/"nonsense": it is not known/);
  });

  test('new packages and privileges break their gates, removed ones do not', () => {
    const comparison: Comparison = {
      ...empty,
      packages: [
        { change: 'added', kind: 'deb', name: 'x', b: '1' },
        { change: 'removed', kind: 'deb', name: 'y', a: '1' },
      ],
      privileges: [
        { change: 'added', member: 'os.img', path: '/bin/su', b: 'mode 04755' },
        { change: 'removed', member: 'os.img', path: '/bin/mount', a: 'mode 04755' },
      ],
    };
    const broken = gatesOf(comparison, { noNewPackages: true, noNewPrivileges: true });
    expect(broken.map(({ reason }) => reason)).toEqual(['/bin/su: mode 04755', 'deb x 1']);
  });
});

const empty: Comparison = {
  schemaVersion: 1,
  a: 'a',
  b: 'b',
  kind: 'bundle',
  same: false,
  sameUnsigned: false,
  measurements: [],
  why: [],
  explained: [],
  packages: [],
  sizes: [],
  privileges: [],
  causes: [],
  findings: [],
  counts: { bundle: 0, member: 0, content: 0, structure: 0, bytes: 0 },
};

test('names from files cannot become markup of a comment', () => {
  const evil = '<img src=x> [click](http://x) `code` | cell @team';
  const shown = renderMarkdown(
    {
      ...empty,
      findings: [
        {
          level: 'content',
          nature: 'origin',
          change: 'added',
          member: 'os.img',
          path: evil,
          field: '',
        },
      ],
      packages: [{ change: 'added', kind: 'deb', name: evil, b: '1' }],
    },
    [],
  );
  expect(shown).not.toContain('<img');
  expect(shown).not.toContain('[click]');
  expect(shown).not.toContain('@team');
});
