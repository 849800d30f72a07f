/** However many things are wrong with a recipe: each is told, and none keeps the others from being told. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { checkDraft } from '../../../src/builder/checks/check.ts';
import { readDraft, type RecipeDraft } from '../../../src/recipe/parse.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

/** All kinds of values that a recipe has. */
const FULL = `apiVersion: microbuild/v1
name: full
arch: x86_64
runtime: musl
kernel: { source: { deb: linux-image-cloud-amd64 }, modules: [virtio_net] }
partitions:
  system:
    filesystem: { type: erofs, compression: lz4hc, level: 9, clusterSize: 65536, tails: inline, deduplicate: false }
    verity: { hash: sha256, fec: { roots: 4 }, salt: '00ff' }
    contents:
      - { guest: runtime }
      - { deb: musl, dependencies: false, exclude: [/usr] }
      - { dir: rootfs, to: /system, include: [/etc] }
      - { file: motd, to: /system/etc/motd, mode: '0644', uid: 1, gid: 2, rules: [{ match: '*', mode: '0600' }] }
      - { tar: 'https://example.org/a.tar.xz', to: /opt/a, strip: 1 }
      - { oci: 'registry.example.org/team/base:1.2', to: /opt/b, platform: linux/amd64 }
      - { zip: a.zip, to: /opt/c, strip: 0 }
      - { apk: a.apk, to: /opt/d }
      - { git: 'https://example.org/c.git', ref: v1.2, path: etc, to: /opt/e }
      - { inline: text, to: /system/etc/text, mode: '0600' }
      - { symlink: a, to: /opt/f, uid: 3 }
      - { folder: /system/spool, mode: '0755', gid: 4 }
    rules: [{ match: [/a, '*.b'], uid: 5, mtime: 7, xattrs: { user.a: b } }, { match: /c, remove: true }]
  vendor: { mount: /vendor, contents: [{ inline: x, to: /x }] }
payload:
  package: dev.example.full
  versionCode: 1
  versionName: '1.0'
  minSdk: 34
  targetSdk: 35
  build: { command: [make], inputs: [Makefile], outputs: [libx.so] }
  libraries: { x86_64: [libx.so] }
  assets: assets
  files: [{ file: a, to: res/a }]
  features: [{ name: android.software.example, required: true }]
  entry: libx.so
  extraApks: [{ apk: b.apk, idsig: b.idsig }]
  interfaces: [IA.aidl]
payloads:
  other: { package: dev.example.other, versionCode: 2, config: { task: { type: executable, command: /bin/x, command_args: [y] } }, rpcPort: 7 }
signing:
  image: { key: image.pem, algorithm: SHA256_RSA4096, rollbackIndex: 1 }
  payload: { key: payload.pem, certificate: payload.crt, schemes: [v3, v4] }
trust: { payload: ['sha256:${'ab'.repeat(32)}'] }
vm: { memory: 256MiB, cpus: 1, debug: none, rpcPort: 5678 }
`;

type Value = Record<string, unknown>;
type Path = readonly (string | number)[];

/** Places of all values that are no mapping and no list. */
function leaves(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path];
  return Object.entries(value).flatMap(([key, each]) =>
    leaves(each, [...path, Array.isArray(value) ? Number(key) : key]),
  );
}

function broken(paths: readonly Path[], by: unknown): string {
  const recipe = parse(FULL) as unknown;
  for (const path of paths) {
    let parent = recipe as Value;
    for (const key of path.slice(0, -1)) parent = parent[key] as Value;
    parent[path.at(-1) ?? ''] = by;
  }
  return stringify(recipe, { aliasDuplicateObjects: false });
}

async function draft(text: string): Promise<RecipeDraft> {
  const folder = tmpDir();
  writeFileSync(join(folder, 'microbuild.yaml'), text);
  return readDraft(folder);
}

/** `LINE:COLUMN MESSAGE | HINT` */
async function told(text: string, files: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const folder = tmpDir();
  writeFileSync(join(folder, 'microbuild.yaml'), text);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), content, { mode: 0o644 });
  }
  const { problems } = await checkDraft(await readDraft(folder));
  return problems.map(
    ({ line, column, message, hint }) => `${line}:${column} ${message} | ${hint ?? ''}`,
  );
}

describe('a value that is not valid', () => {
  const all = leaves(parse(FULL));

  test('the recipe of these tests is valid, and has all kinds of values', async () => {
    expect((await draft(FULL)).problems).toEqual([]);
    expect(all.length).toBeGreaterThan(90);
  });

  test('is told, and only itself is not known, wherever it stands', async () => {
    for (const path of all) {
      const found = await draft(broken([path], { nonsense: true }));
      const { problems, recipe } = found;
      const where = path.join('.');
      expect([where, problems.length > 0, recipe !== undefined]).toEqual([where, true, true]);
      const others = all.filter(
        (other) =>
          other.join() !== path.join() &&
          isSibling(other, path) &&
          // What goes with a compression says nothing without one.
          path.at(-1) !== 'compression' &&
          // Schemes are valid together.
          !path.includes('schemes') &&
          !found.isSound(other),
      );
      expect([where, others]).toEqual([where, []]);
    }
  });

  test('all of them at once are told one by one', async () => {
    // Which form a source or a choice has, its first key says; without it nothing is known of the others.
    const known = all.filter((path) => !isFirstKey(path));
    const { problems, recipe } = await draft(broken(known, { nonsense: true }));
    const lines = new Set(problems.map(({ line, column }) => `${line}:${column}`));
    expect(lines.size).toBeGreaterThanOrEqual(known.length - 20);
    expect(recipe).toBeDefined();
  });
});

const isSibling = (a: Path, b: Path): boolean => a.slice(0, -1).join() === b.slice(0, -1).join();
const isFirstKey = (path: Path): boolean => path.includes('contents') && path.length <= 5;

describe('several things are wrong', () => {
  const head = (rest: string): string => `apiVersion: microbuild/v1\nname: x\n${rest}`;
  const system = (contents: string, more = ''): string => `partitions:
  system:
${more}    contents:
      - { guest: runtime }
${contents}`;
  const payload = `payload: { package: a.b, versionCode: 1, config: { task: { command: /bin/x } } }\n`;

  test.each([
    [
      'options that contradict each other, beside values that are wrong',
      head(
        system(
          '',
          '    filesystem: { compression: lz4, level: 3, clusterSize: 5, deduplicate: true }\n',
        ) + payload,
      ),
      ['5:44 ', '5:60 ', '5:76 '],
      ['Leave out level', 'Write 4096', 'Leave out deduplicate'],
    ],
    [
      'names of partitions, beside what is in them',
      head(
        `${system('')}  vbmeta: { contents: [] }\n  Big: { contents: [] }\n  a: { mount: /data, contents: [{ inline: x, to: /x }] }\n${payload}`,
      ),
      ['7:3 ', '7:23 ', '8:3 ', '8:20 ', '9:15 '],
      ['the disk uses this one', 'at least one', 'starting with a letter', '/data'],
    ],
    [
      'a name of a payload, beside the others',
      head(
        `${system('')}${payload}payloads:\n  Bad: { package: a.c, versionCode: 1, entry: a.so }\n  good: { package: a.d, versionCode: 1, entry: a.so }\n  none: {}\n`,
      ),
      ['9:3 ', '10:48 ', '11:9 '],
      ['is not a valid name', 'not among payloads.good.libraries', 'Write entry'],
    ],
    [
      'rules, each with its own mistake',
      head(
        system(
          `      - { inline: x, to: /a, rules: [{ match: /b, mode: '1' }, { mode: '0600' }, { match: '[a', uid: 1 }, { match: /c, uid: 1 }, { match: /a }] }\n`,
        ) + payload,
      ),
      ['7:57 ', '7:64 ', '7:91 ', '7:116 ', '7:130 '],
      [
        'in octal',
        '"partitions.system.contents.1.rules.1.match" is missing',
        'bracket',
        'matches nothing',
        'what to change',
      ],
    ],
    [
      'attributes with names that no file has',
      head(
        `${system('')}    rules:\n      - { match: a, xattrs: { nons: a, user.x: 0xz, user.y: 5 } }\n      - { match: '[', uid: -1, gid: 1 }\n${payload}`,
      ),
      ['8:31 ', '8:48 ', '8:61 ', '9:18 ', '9:28 '],
      ['user.note', 'hexadecimal', "quotes around it: '5'", 'bracket', 'at least 0'],
    ],
    [
      'keys, schemes and digests',
      head(
        `${system('')}${payload}signing:\n  image: { key: public.pem, algorithm: RSA, rollbackIndex: -1 }\n  payload: { key: open.pem, schemes: [v1], certificate: public.pem }\ntrust: { payload: [abc] }\n`,
      ),
      ['9:17 ', '9:40 ', '9:60 ', '10:19 ', '10:39 ', '10:57 ', '11:20 '],
      ['holds no private key', 'RSA4096', 'chmod 600', 'v2', 'no certificate', 'sha256:'],
    ],
    [
      'keys elsewhere',
      head(
        `${system('')}${payload}signing: { image: { key: 'pkcs12:x' }, payload: { key: 'p12:none.p12', schemes: [] } }\n`,
      ),
      ['8:26 ', '8:56 ', '8:81 '],
      ['no kind of key', '"none.p12" does not exist', 'needs v3 and v4'],
    ],
    [
      'profiles and their conditions',
      head(
        `${system('')}${payload}profiles:\n  a: { when: { arch: arm64 }, name: 5 }\n  b: { when: { var: { nope: 1 } }, vm: { cpus: 0 } }\n  c: { when: { profile: nothere } }\n  'd e': {}\n`,
      ),
      ['9:22 ', '9:37 ', '10:23 ', '10:48 ', '11:25 ', '12:3 '],
      ['aarch64', "'5'", 'no variable "nope"', 'at least 1', 'no profile "nothere"', 'valid name'],
    ],
    [
      'archives that are none, at paths that are none',
      head(
        system(
          `      - { tar: text, to: a }\n      - { tar: packed.bz2 }\n      - { oci: ./text }\n      - { file: text, to: / }\n      - { apk: text, strip: 1 }\n`,
        ) + payload,
      ),
      ['7:16 ', '7:26 ', '8:16 ', '9:16 ', '10:27 ', '11:16 ', '11:22 '],
      [
        'begin as a tar',
        'absolute path',
        'bzip2',
        'path of the file itself',
        'Unknown key "strip"',
      ],
    ],
    [
      'keys without values',
      head('partitions:\npayload:\n  package:\n  versionCode: 0\n'),
      ['3:1 ', '5:3 ', '5:3 ', '6:16 '],
      ['"partitions" is empty', '"package" is empty', 'at least 1'],
    ],
    [
      'numbers and texts in each other’s place',
      head(`${system('')}${payload}vm: { memory: 64, cpus: '2', rpcPort: x }\n`),
      ['8:15 ', '8:25 ', '8:39 '],
      ['MiB', 'Leave out the quotes: 2', 'write a number'],
    ],
    [
      'two forms at once',
      head(
        `${system('')}${payload}kernel: { source: { deb: linux, file: vmlinux, modules: m }, module: a }\n`,
      ),
      ['8:33 ', '8:62 '],
      ['has both "deb" and "file"', 'Did you mean "modules"'],
    ],
    [
      'a build that is text, with paths that lead away',
      head(
        `${system('')}payload: { package: a.b, versionCode: 1, entry: b.so, libraries: { x86_64: [b.so] }, build: { command: make, inputs: [gone, ../x], outputs: [/a, ../o, b.so] } }\n`,
      ),
      ['7:104 ', '7:119 ', '7:125 ', '7:142 ', '7:146 '],
      ['Write [make]', '"gone" does not exist', 'is outside', 'relative to the folder'],
    ],
  ])('%s', async (_, text, places, messages) => {
    const files = {
      text: 'text, and more of it',
      'packed.bz2': 'BZh91AY&SY',
      'public.pem': '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n',
      'open.pem': '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n',
    };
    const found = await told(text, files);
    const all = found.join('\n');
    for (const message of messages) expect(all).toContain(message);
    expect(found.map((each) => `${each.split(' ', 1)[0]} `)).toEqual(
      expect.arrayContaining(places),
    );
  });

  test('more unknown keys than anybody reads are counted', async () => {
    const keys = Array.from({ length: 60 }, (_, index) => `unknown${index}: 1\n`).join('');
    const found = await told(head(`${system('')}${payload}${keys}`));
    expect(found.length).toBe(20);
    expect(found.at(-1)).toContain('40 more keys');
  });

  test('a system without the guest is a warning', async () => {
    const text = head(`partitions: { system: { contents: [{ inline: x, to: /x }] } }\n${payload}`);
    const folder = tmpDir();
    writeFileSync(join(folder, 'microbuild.yaml'), text);
    const { problems, warnings } = await checkDraft(await readDraft(folder));
    expect([problems, warnings.map(({ message }) => message)]).toEqual([
      [],
      ['Nothing of system is { guest: runtime }'],
    ]);
  });
});

test('a recipe with many mistakes is judged in less than a tenth of a second of work', async () => {
  const all = leaves(parse(FULL)).filter((path) => !isFirstKey(path));
  const text = broken(all, { nonsense: true });
  await told(text);
  const before = process.cpuUsage();
  await told(text);
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1000).toBeLessThan(100);
});
