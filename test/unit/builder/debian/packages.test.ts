import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { closureOf, type Closure } from '../../../../src/builder/debian/closure.ts';
import {
  firstMention,
  indexPackagesFile,
  parseParagraph,
} from '../../../../src/builder/debian/packages-file.ts';
import { formatGroup, parseRelations } from '../../../../src/builder/debian/relation.ts';
import { createUniverse, type PackagePin } from '../../../../src/builder/debian/universe.ts';
import { parsePolicy } from '../../../../src/builder/sources/apt.ts';
import { FormatError } from '../../../../src/core/errors.ts';

type Fields = Readonly<Record<string, string>>;

/** The text of an index; what a test does not care about is filled in. */
const packages = (...entries: readonly Fields[]): string =>
  entries
    .map((fields) => {
      const all = {
        Version: '1.0',
        Architecture: 'amd64',
        Filename: `pool/${fields['Package']}_${fields['Version'] ?? '1.0'}.deb`,
        Size: '1000',
        SHA256: 'ab'.repeat(32),
        ...fields,
      };
      return Object.entries(all)
        .map(([name, value]) => `${name}: ${value}\n`)
        .join('');
    })
    .join('\n');

const universeOf = (...entries: readonly Fields[]) =>
  createUniverse('amd64', [{ packages: indexPackagesFile(packages(...entries)), priority: 500 }]);

function closure(root: string, ...entries: readonly Fields[]): Closure {
  const universe = universeOf(...entries);
  const found = universe.candidate(root);
  if (found === undefined) throw new TypeError(`no ${root}`);
  return closureOf([found], universe);
}

const namesOf = ({ members }: Closure): string[] => [...members.keys()];

describe('indexes', () => {
  test('fields that go on over several lines are read whole', () => {
    const text = 'Package: a\nDepends: b,\n c (>= 1)\nDescription: x\n .\n y\n';
    const fields = parseParagraph(text);
    expect(fields.get('depends')).toBe('b,\nc (>= 1)');
    expect(parseRelations(fields.get('depends') ?? '').map(formatGroup)).toEqual(['b', 'c (>= 1)']);
  });

  test('what is provided is found without reading every paragraph', () => {
    const text = packages({ Package: 'mail', Provides: 'mta (= 2), postman' }, { Package: 'b' });
    const { places, providers } = indexPackagesFile(text);
    expect([...places.keys()]).toEqual(['mail', 'b']);
    expect([...providers.keys()]).toEqual(['mta', 'postman']);
  });

  test('any bytes index, and their paragraphs parse or are refused', () => {
    const line = fc.oneof(
      fc.string(),
      fc.constantFrom('', 'Package: a', ' x', 'Depends: b (', 'Provides: a'),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 30 }), (lines) => {
        const { text, places } = indexPackagesFile(lines.join('\n'));
        for (const { start, end } of [...places.values()].flat()) {
          try {
            parseRelations(parseParagraph(text.slice(start, end)).get('depends') ?? '');
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
        }
      }),
    );
  });

  test.each(['a (1.0)', 'a (>= )', 'a || b', 'a b', '(>= 1)', 'a [amd64'])(
    'refuses the relation %j',
    (text) => {
      expect(() => parseRelations(text)).toThrow(FormatError);
    },
  );

  test('relations have one form', () => {
    const groups = parseRelations('a(>=1)|b:any ( << 2~ ), c:i386,, d (> 3)');
    expect(groups.map(formatGroup)).toEqual(['a (>= 1) | b:any (<< 2~)', 'c:i386', 'd (>= 3)']);
  });
});

describe('candidates', () => {
  const index = (priority: number, ...entries: readonly Fields[]) => ({
    packages: indexPackagesFile(packages(...entries)),
    priority,
  });
  const versionOf = (...args: Parameters<typeof createUniverse>) =>
    createUniverse(...args).candidate('a')?.deb.version;

  test('the newest of one priority counts, in whatever index it is', () => {
    const old = index(500, { Package: 'a', Version: '1.9' });
    const fresh = index(500, { Package: 'a', Version: '1.10' });
    expect(versionOf('amd64', [old, fresh])).toBe('1.10');
    expect(versionOf('amd64', [fresh, old])).toBe('1.10');
  });

  test('a higher priority goes before a newer version; none of zero or less counts', () => {
    const stable = index(500, { Package: 'a', Version: '1.0' });
    const backports = index(100, { Package: 'a', Version: '2.0' });
    const banned = index(-1, { Package: 'a', Version: '3.0' });
    expect(versionOf('amd64', [stable, backports, banned])).toBe('1.0');
    expect(versionOf('amd64', [banned])).toBeUndefined();
  });

  test('what the preferences single out counts', () => {
    const both = index(500, { Package: 'a', Version: '1.0' }, { Package: 'a', Version: '2.0' });
    const pins = new Map<string, PackagePin>([['a', { version: '1.0', priority: 1001 }]]);
    expect(versionOf('amd64', [both], pins)).toBe('1.0');
  });

  test('packages of other architectures do not count, those for all do', () => {
    const entries = [
      { Package: 'a', Version: '2.0', Architecture: 'arm64' },
      { Package: 'a', Version: '1.0', Architecture: 'all' },
    ];
    expect(versionOf('amd64', [index(500, ...entries)])).toBe('1.0');
  });

  test('apt tells the priorities', () => {
    const text = [
      'Package files:',
      ' 100 /var/lib/dpkg/status',
      '     release a=now',
      '  50 http://deb.example.org/debian trixie/main amd64 Packages',
      ' -10 http://deb.example.org/debian sid/main amd64 Packages',
      '     origin deb.example.org',
      'Pinned packages:',
      '     libc6 -> 2.36-9 with priority 1001',
      '     zsh:amd64 -> 5.9 with priority -1',
    ].join('\n');
    const { priorities, pins } = parsePolicy(text);
    expect(priorities.get('http://deb.example.org/debian trixie/main amd64 Packages')).toBe(50);
    expect(priorities.get('http://deb.example.org/debian sid/main amd64 Packages')).toBe(-10);
    expect(pins.get('libc6')).toEqual({ version: '2.36-9', priority: 1001 });
    expect(pins.get('zsh')).toEqual({ version: '5.9', priority: -1 });
  });

  test.each([
    ['Size', '-1'],
    ['SHA256', 'ab'],
    ['Depends', 'b (='],
  ])('an entry whose %s is %j is refused by name', (field, value) => {
    const universe = universeOf({ Package: 'a', [field]: value });
    expect(() => universe.candidate('a')).toThrow('entry of package a');
  });
});

describe('closureOf()', () => {
  test('follows Pre-Depends and Depends, not Recommends, and says who asked', () => {
    const found = closure(
      'a',
      { Package: 'a', 'Pre-Depends': 'b (>= 1)', Depends: 'c', Recommends: 'd' },
      { Package: 'b', Depends: 'e' },
      { Package: 'c', Depends: 'a, e' },
      { Package: 'd' },
      { Package: 'e', Essential: 'yes' },
      { Package: 'f', Essential: 'yes' },
    );
    expect(namesOf(found)).toEqual(['a', 'b', 'c', 'e']);
    expect(found.members.get('b')?.askedBy).toEqual({
      package: 'a',
      relation: 'Pre-Depends: b (>= 1)',
    });
    expect(found.members.get('e')?.askedBy).toEqual({ package: 'b', relation: 'Depends: e' });
    expect(found.members.get('a')?.askedBy).toBeUndefined();
    expect(found.problems).toEqual([]);
  });

  test('takes the first alternative that can be had', () => {
    const found = closure(
      'a',
      { Package: 'a', Depends: 'x | b (>= 2) | c' },
      { Package: 'b' },
      { Package: 'c' },
    );
    expect(namesOf(found)).toEqual(['a', 'c']);
  });

  test('takes no alternative where one is there anyhow, wherever it is asked for', () => {
    const found = closure(
      'a',
      { Package: 'a', Depends: 'b | c, d' },
      { Package: 'b' },
      { Package: 'c' },
      { Package: 'd', Depends: 'e' },
      { Package: 'e', Depends: 'c' },
    );
    expect(namesOf(found)).toEqual(['a', 'c', 'd', 'e']);
  });

  test('passes over an alternative that conflicts with what is there', () => {
    const found = closure(
      'a',
      { Package: 'a', Depends: 'b | c' },
      { Package: 'b', Conflicts: 'a' },
      { Package: 'c' },
    );
    expect(namesOf(found)).toEqual(['a', 'c']);
  });

  test('what is provided satisfies relations without a version, or with its own', () => {
    const entries = (relation: string) => [
      { Package: 'a', Depends: relation },
      { Package: 'p', Provides: 'virtual' },
      { Package: 'q', Provides: 'virtual (= 3)' },
    ];
    expect(namesOf(closure('a', ...entries('virtual')))).toEqual(['a', 'q']);
    expect(namesOf(closure('a', ...entries('virtual (>= 2)')))).toEqual(['a', 'q']);
    expect(closure('a', ...entries('virtual (>= 4)')).problems).toHaveLength(1);
  });

  test('of several providers the most important counts, then the one that is named last', () => {
    const entries = [
      { Package: 'a', Depends: 'awk' },
      { Package: 'bawk', Provides: 'awk', Priority: 'optional' },
      { Package: 'mawk', Provides: 'awk', Priority: 'required' },
      { Package: 'gawk', Provides: 'awk', Priority: 'required' },
    ];
    expect(namesOf(closure('a', ...entries))).toEqual(['a', 'gawk']);
    // Whoever suggests it names it, too; a description does not.
    const named = [
      { Package: 'x', Suggests: 'gawk (>= 1) | other', Description: 'like mawk' },
      ...entries,
    ];
    expect(namesOf(closure('a', ...named.toReversed()))).toEqual(['a', 'mawk']);
    expect(namesOf(closure('a', ...named))).toEqual(['a', 'mawk']);
  });

  test('where a name comes first, whatever stands around it', () => {
    const find = (text: string, name: string): number =>
      firstMention(indexPackagesFile(text), name);
    expect(find('Package: a\nDepends: ab, b-c, c.b,\n b\n', 'b')).toBe(35);
    expect(find('Package: a\nDescription: b\n b\n', 'b')).toBe(Infinity);
    for (const text of [' b', '\n b', '\n\tb\n b', 'b']) expect(find(text, 'b')).toBe(Infinity);
  });

  test('qualifiers: any is for packages that allow it, an architecture for its own', () => {
    const entries = (relation: string) => [
      { Package: 'a', Depends: relation },
      { Package: 'python', 'Multi-Arch': 'allowed' },
      { Package: 'lib', 'Multi-Arch': 'same' },
      { Package: 'data', Architecture: 'all' },
    ];
    expect(closure('a', ...entries('python:any')).problems).toEqual([]);
    expect(closure('a', ...entries('lib:any')).problems).toHaveLength(1);
    expect(closure('a', ...entries('lib:amd64, data:amd64')).problems).toEqual([]);
    expect(closure('a', ...entries('lib:arm64')).problems).toHaveLength(1);
  });

  test('says what is not there, and which version is', () => {
    const found = closure(
      'a',
      { Package: 'a', Depends: 'b (>= 2) | c' },
      { Package: 'b', Version: '1.5' },
    );
    expect(found.problems).toEqual([
      'a asks for what no repository has (Depends: b (>= 2) | c): there is b 1.5',
    ]);
  });

  test('says which members exclude each other', () => {
    const found = closure(
      'a',
      { Package: 'a', Depends: 'b, c' },
      { Package: 'b', Breaks: 'c (<< 2)' },
      { Package: 'c' },
    );
    expect(found.problems).toEqual(['b 1.0 and c 1.0 exclude each other (Breaks: c (<< 2))']);
  });

  test('a package may replace what it provides itself', () => {
    const found = closure('a', { Package: 'a', Provides: 'mta', Conflicts: 'mta' });
    expect(found.problems).toEqual([]);
  });

  test('the order of the index does not show, but for several providers', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const entry = fc.record({
      depends: fc.array(fc.array(fc.constantFrom(...names, 'v'), { minLength: 1, maxLength: 3 }), {
        maxLength: 4,
      }),
      provides: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.tuple(...names.map(() => entry)),
        fc.infiniteStream(fc.nat()),
        (entries, stream) => {
          const provider = entries.findIndex(({ provides }) => provides);
          const all = entries.map(({ depends }, index) => ({
            Package: names[index] ?? '',
            ...(depends.length > 0 && {
              Depends: depends.map((group) => group.join(' | ')).join(', '),
            }),
            ...(index === provider && { Provides: 'v' }),
          }));
          const shuffled = all
            .map((each) => ({ each, key: stream.next().value }))
            .sort((x, y) => x.key - y.key)
            .map(({ each }) => each);
          const [one, other] = [closure('a', ...all), closure('a', ...shuffled)];
          const view = ({ members, problems }: Closure) => [
            [...members].map(([name, { askedBy }]) => [name, askedBy]),
            problems,
          ];
          expect(view(one)).toEqual(view(other));
          // Whatever is asked for is there, or is told.
          if (one.problems.length === 0) {
            for (const { package: member } of one.members.values()) {
              for (const { group } of member.needs) {
                const there = group.some(
                  ({ name }) =>
                    one.members.has(name) ||
                    [...one.members.values()].some((each) =>
                      each.package.provides.some((provided) => provided.name === name),
                    ),
                );
                expect(there).toBe(true);
              }
            }
          }
        },
      ),
    );
  });
});
