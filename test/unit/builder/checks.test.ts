/** What is told of a recipe before any work: each kind of problem at its place, all of them at once. */

import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkDraft, checkedRecipe } from '../../../src/builder/checks/check.ts';
import { rememberKernelFacts } from '../../../src/builder/kernel-facts.ts';
import { readDraft } from '../../../src/recipe/parse.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

/** The recipe of the tests; what is in brackets is replaced. */
const RECIPE = `apiVersion: microbuild/v1
name: checked
kernel: { modules: auto }
partitions:
  system:
    filesystem: { type: erofs }
    contents:
      - { guest: runtime }
      - { file: motd, to: /etc/motd }
payload:
  package: dev.example.checked
  versionCode: 1
  libraries: { x86_64: [libx.so] }
  entry: libx.so
`;

const ENTRY = 'int AVmPayload_main(void) { return 0; }\n';
let libraries = '';

/** Compiles a library without any other. */
function library(name: string, source: string, ...options: string[]): void {
  const language = name.includes('++') ? 'c++' : 'c';
  const args = ['-shared', '-fPIC', '-nostdlib', '-x', language, '-', '-o', join(libraries, name)];
  execFileSync('gcc', [...args, ...options], { input: source });
}

beforeAll(() => {
  libraries = mkdtempSync(join(tmpdir(), 'microbuild-checks-'));
  library('good.so', ENTRY);
  library('sysv.so', ENTRY, '-Wl,--hash-style=sysv');
  library('other.so', 'int other(void) { return 0; }\nint more(void) { return 1; }\n');
  library('hidden.so', `__attribute__((visibility("hidden"))) ${ENTRY}`);
  library(
    'undefined.so',
    'int AVmPayload_main(void);\nint f(void) { return AVmPayload_main(); }\n',
  );
  library('c++.so', ENTRY);
  const wrong = readFileSync(join(libraries, 'good.so'));
  wrong.writeUInt16LE(183, 18);
  writeFileSync(join(libraries, 'arm.so'), wrong);
  writeFileSync(join(libraries, 'text.so'), 'int main() {}\n');
});

interface Files {
  readonly [name: string]: string | Uint8Array;
}

/** A folder with the recipe, changed, and its files. */
function prepared(edits: readonly (readonly [string, string])[], files: Files = {}): string {
  const folder = tmpDir();
  let text = RECIPE;
  for (const [from, to] of edits) {
    expect(text).toContain(from);
    text = text.replace(from, () => to);
  }
  cpSync(join(libraries, 'good.so'), join(folder, 'libx.so'));
  for (const [name, content] of Object.entries({
    motd: 'hello\n',
    'microbuild.yaml': text,
    ...files,
  })) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

/** As `line:column message`, and the hint behind it. */
async function told(
  folder: string,
  options: Parameters<typeof checkDraft>[1] = {},
): Promise<string[]> {
  const { problems, warnings } = await checkDraft(await readDraft(folder), options);
  return [...problems, ...warnings].map(
    ({ line, column, message, hint }) => `${line}:${column} ${message} | ${hint ?? ''}`,
  );
}

const source = (text: string): [string, string] => [
  '- { guest: runtime }',
  `- { guest: runtime }\n      - ${text}`,
];

afterAll(() => rmSync(libraries, { recursive: true }));

describe('checks', () => {
  test('a good recipe has no problems', async () => {
    const folder = prepared([]);
    expect(await told(folder)).toEqual([]);
    const { recipe, warnings } = await checkedRecipe(folder);
    expect([recipe.data.name, warnings]).toEqual(['checked', []]);
  });

  test.each([
    ['sysv.so', undefined],
    ['other.so', '14:10 "libx.so" does not export AVmPayload_main'],
    ['hidden.so', 'does not export AVmPayload_main'],
    ['undefined.so', 'does not export AVmPayload_main'],
    ['c++.so', 'declare the function extern "C"'],
    ['arm.so', '13:25 "libx.so" is for arm64-v8a, and stands in libraries.x86_64 | Write it below'],
    ['text.so', '"libx.so" is no library'],
  ])('the library %s: %s', async (name, expected) => {
    const folder = prepared([], { 'libx.so': readFileSync(join(libraries, name)) });
    const found = await told(folder);
    if (expected === undefined) expect(found).toEqual([]);
    else expect(found.join('\n')).toContain(expected);
    expect(found.length).toBeLessThan(2);
  });

  test('a library that is cut off or damaged anywhere is told, and nothing breaks', async () => {
    const whole = readFileSync(join(libraries, 'good.so'));
    for (let size = 0; size < whole.length; size += 331) {
      const folder = prepared([], { 'libx.so': whole.subarray(0, size) });
      for (const line of await told(folder)) expect(line).toMatch(/libx\.so/);
    }
  });

  test('a library that the build makes is not looked at', async () => {
    const build = '  build: { command: [make], inputs: [motd], outputs: [libx.so] }\n  entry:';
    expect(await told(prepared([['  entry:', build]], { 'libx.so': 'x' }))).toEqual([]);
  });

  test.each([
    ['a missing file', [['file: motd', 'file: nomotd']], '9:17 "nomotd" does not exist'],
    ['a folder for a file', [['file: motd', 'file: .']], 'is not a regular file'],
    ['a path outside', [['file: motd', 'file: ../motd']], 'is outside the folder of the recipe'],
    ['an entry that is near', [['entry: libx.so', 'entry: libxx.so']], 'Did you mean "libx.so"?'],
    ['another architecture', [['name:', 'arch: aarch64\nname:']], 'libraries.arm64-v8a'],
    [
      'a path twice',
      [source('{ inline: x, to: /etc/motd }')],
      '10:9 /etc/motd is in the image already',
    ],
    [
      'a file that is a folder',
      [source('{ inline: x, to: /etc }')],
      '/etc is in the image already',
    ],
    [
      'a build above the recipe',
      [['  entry:', '  build: { command: [make], inputs: [motd], outputs: [../x.so] }\n  entry:']],
      '"../x.so" is not below the folder of microbuild.yaml',
    ],
    [
      'a damaged tar',
      [source('{ tar: motd.zip }')],
      'is a ZIP archive, not a tar archive | Write zip',
    ],
    ['a text as zip', [source('{ zip: motd }')], '"motd" does not begin as a ZIP archive does'],
    ['a folder as image', [source('{ oci: ./folder }')], 'has no file oci-layout'],
    ['a pattern', [source('{ dir: folder, exclude: ["[a"] }')], '9:34 '],
    [
      'a rule of one file',
      [source('{ inline: x, to: /x, rules: [{ match: /y, uid: 1 }] }')],
      'matches nothing',
    ],
    [
      'a guest folder',
      [['payload:', '  b: { mount: /proc/x, contents: [{ inline: x, to: /x }] }\npayload:']],
      'at /proc',
    ],
    [
      'a hidden file',
      [['payload:', '  etc: { contents: [{ inline: x, to: /x }] }\npayload:']],
      '9:27 Nobody would see /etc/motd',
    ],
    [
      'no certificate',
      [['payload:', 'signing: { payload: { certificate: motd } }\npayload:']],
      '"motd" is no certificate',
    ],
    ['no kernel', [['modules: auto', 'source: { file: motd }']], 'This file is no kernel'],
    [
      'an odd key',
      [['payload:', 'signing: { image: { key: "nosuch:x" } }\npayload:']],
      'is no kind of key',
    ],
  ] as const)('tells %s', async (_, edits, expected) => {
    const folder = prepared(edits, {
      'motd.zip': 'PK\x03\x04',
      'folder/x': 'x',
    });
    expect((await told(folder)).join('\n')).toContain(expected);
  });

  test('two partitions at one place', async () => {
    const two = `  a: { mount: /m, contents: [{ inline: x, to: /x }] }
  b: { mount: /m, contents: [{ inline: x, to: /x }] }
payload:`;
    expect(await told(prepared([['payload:', two]]))).toEqual([
      expect.stringContaining('The partition a is mounted at /m, too'),
    ]);
  });

  test('equal files on one path are no problem', async () => {
    const same = source('{ inline: "hello\\n", to: /etc/motd }');
    expect(await told(prepared([same]))).toEqual([]);
  });

  test('a symbolic link that leads outside is refused', async () => {
    const folder = prepared([['file: motd', 'file: link']]);
    symlinkSync('/etc/hostname', join(folder, 'link'));
    expect((await told(folder)).join()).toContain('leads outside the folder of the recipe');
  });

  test('problems of text, values and files are told in one list, by their places', async () => {
    const folder = prepared([
      ['name: checked', 'name: CHECKED'],
      ['file: motd', 'file: nothing'],
      ['versionCode: 1', 'versionCode: one'],
      ['entry: libx.so', 'entry: liby.so\n  entri: x'],
    ]);
    expect((await told(folder)).map((each) => each.split(' ', 1)[0])).toEqual([
      '2:7',
      '9:17',
      '12:16',
      '14:10',
      '15:3',
    ]);
  });

  test('what cannot be known is not guessed', async () => {
    const folder = prepared([['libraries: { x86_64: [libx.so] }', 'libraries: { x86_64: [3] }']]);
    expect((await told(folder)).length).toBe(1);
  });

  test('what is not pinned is told where it is named', async () => {
    const folder = prepared([source('{ deb: musl }')]);
    expect((await told(folder, { isLockNeeded: true })).join('\n')).toContain(
      '9:16 "musl" is not pinned',
    );
    expect(await told(folder)).toEqual([]);
  });
});

describe('checks of kernels', () => {
  const config = gzipSync('CONFIG_EROFS_FS=y\nCONFIG_EROFS_FS_ZIP=y\n');
  const image = (release: string): Buffer => {
    const bytes = Buffer.alloc(8192 + config.length + 100);
    bytes.write('\x7fELF', 'latin1');
    bytes.writeUInt16LE(62, 18);
    bytes.write(`Linux version ${release} (x)`, 4096);
    bytes.write('IKCFG_ST', 8000);
    config.copy(bytes, 8008);
    bytes.write('IKCFG_ED', 8008 + config.length);
    return bytes;
  };
  const compressed = (compression: string): [string, string] => [
    '{ type: erofs }',
    `{ compression: ${compression} }`,
  ];
  const own: [string, string] = [
    'modules: auto',
    'source: { file: vmlinux, modules: mods }, modules: [virtoi_x]',
  ];

  test.each([
    ['5.10.0', 'lz4', 'Linux 5.10.0 does not mount it'],
    ['6.12.0', 'zstd', 'is built without CONFIG_EROFS_FS_ZIP_ZSTD'],
    ['6.12.0', 'lz4', undefined],
  ])('of version %s with %s: %s', async (release, compression, expected) => {
    const folder = prepared([compressed(compression), own], {
      vmlinux: image(release),
      'mods/a/virtio-x.ko': '',
      'mods/modules.builtin': 'kernel/fs/ext4.ko\n',
    });
    const found = (await told(folder)).join('\n');
    expect(found).toContain('3:63 The kernel');
    expect(found).toContain('Did you mean "virtio_x"?');
    if (expected === undefined) expect(found).not.toContain('EROFS');
    else expect(found).toContain(`6:32 `);
    expect(found).toContain(expected ?? '');
  });

  test('one for another architecture is told by its bytes', async () => {
    const folder = prepared([own, ['name:', 'arch: aarch64\nname:']], { vmlinux: image('6.1.0') });
    expect((await told(folder)).join('\n')).toContain('This is a kernel for x86_64');
  });

  test('of a package is known from the lock, and better once it was opened', async () => {
    const sha256 = 'ab'.repeat(32);
    const deb = {
      package: 'kk',
      version: '1',
      architecture: 'amd64',
      path: 'a/k.deb',
      size: 1,
      sha256,
    };
    const lock = {
      version: 2,
      debs: { 'linux-image-cloud-amd64': deb },
      kernel: { release: '6.1.0-1', erofs: ['CONFIG_EROFS_FS'], sha256 },
    };
    const folder = prepared([compressed('lz4'), ['modules: auto', 'modules: [nosuch]']], {
      'microbuild.lock': JSON.stringify(lock),
    });
    expect((await told(folder)).join('\n')).toContain('is built without CONFIG_EROFS_FS_ZIP');
    const cacheDirectory = tmpDir();
    await rememberKernelFacts(cacheDirectory, sha256, { release: '6.1.0-1', modules: ['loop'] });
    expect((await told(folder, { cacheDirectory })).join('\n')).toContain(
      '3:21 The kernel 6.1.0-1 has no module "nosuch"',
    );
  });
});

test('a recipe of a hundred sources is checked in a tenth of a second', async () => {
  const files: Record<string, string> = {};
  const lines = Array.from({ length: 100 }, (_, index) => {
    files[`f/${index}`] = String(index);
    return `      - { file: f/${index}, to: /f/${index} }`;
  });
  const folder = prepared(
    [['      - { guest: runtime }', ['      - { guest: runtime }', ...lines].join('\n')]],
    files,
  );
  await told(folder);
  const started = process.cpuUsage();
  expect(await told(folder)).toEqual([]);
  const { user, system } = process.cpuUsage(started);
  expect((user + system) / 1000).toBeLessThan(400);
});
