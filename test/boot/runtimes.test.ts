import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { copyHello, type Edits } from '../support/recipes.ts';

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openSandbox();
});
afterAll(() => sandbox.dispose());

const MUSL = '      - { deb: musl, exclude: [/usr] } # the payload’s libc\n'.replace('’', "'");

async function answerOf(recipe: string): Promise<unknown> {
  const bundle = `${recipe}-bundle`;
  for (const args of [
    ['lock', recipe],
    ['image', recipe, '-o', bundle],
  ]) {
    const { status, stderr } = await sandbox.microbuild(args);
    expect(stderr).not.toContain('error:');
    expect(status).toBe(0);
  }
  const { stdout } = await sandbox.microbuild([
    'run',
    bundle,
    '--call=IHello.hello',
    '--arg',
    '"libc"',
    '--timeout=120',
    '--json',
  ]);
  return JSON.parse(stdout);
}

const ANSWER = {
  answer: 'Hello, libc! This is dev.microbuild.hello in a verified micro-VM.',
};

describe('recipes/hello with another C library', () => {
  test('runs on glibc of the package libc6', async () => {
    const edits: Edits = [
      ['arch: x86_64\n', 'arch: x86_64\nruntime: glibc\n'],
      [MUSL, '      - { deb: libc6, exclude: [/usr] }\n'],
    ];
    expect(await answerOf(copyHello(join(sandbox.folder, 'glibc'), edits))).toMatchObject(ANSWER);
  });

  test('runs on what is laid out as in Android: linker64, and a libc.so that starts programs', async () => {
    const folder = copyHello(join(sandbox.folder, 'bionic'), [
      ['arch: x86_64\n', 'arch: x86_64\nruntime: bionic\n'],
      [MUSL, '      - { dir: android, to: /system }\n'],
      ['  build:\n    command: [make]\n    inputs: [Makefile, src]\n', ''],
      ['    outputs: [build/libhello.so]\n', ''],
      ['[build/libhello.so]', '[libhello.so]'],
    ]);
    layOutAndroid(join(folder, 'android'));
    const guest = 'target/guest/x86_64/bionic';
    const flags = '-std=c11 -O2 -fPIC -shared -nostdlib -Iguest/vm-payload/include'.split(' ');
    const files = ['-o', join(folder, 'libhello.so'), join(folder, 'src/hello.c')];
    const libc = join(folder, 'android/lib64/libc.so');
    execFileSync('gcc', [...flags, ...files, `-L${guest}`, '-lvm_payload', libc]);
    expect(await answerOf(folder)).toMatchObject(ANSWER);
  });
});

/** The parts of an Android that a payload needs, by glibc in its clothes: Android itself cannot be had here. */
function layOutAndroid(folder: string): void {
  const libraries = join(folder, 'lib64');
  mkdirSync(libraries, { recursive: true });
  mkdirSync(join(folder, 'bin'));
  cpSync('/lib64/ld-linux-x86-64.so.2', join(folder, 'bin/linker64'), { dereference: true });
  const glibc = execFileSync('gcc', ['-print-file-name=libc.so.6'], { encoding: 'utf8' }).trim();
  cpSync(glibc, join(libraries, 'libc.so.6'), { dereference: true });
  // By this name libc.so.6 asks for the linker, which is loaded already.
  const library = (name: string, ...args: readonly string[]): void => {
    const out = join(libraries, name);
    execFileSync('gcc', ['-shared', '-fPIC', `-Wl,-soname,${name}`, '-o', out, ...args]);
  };
  library('libc.so', '-std=gnu11', '-Wall', '-Wextra', '-Werror', 'test/fixtures/bionic/libc.c');
  const empty = join(folder, '..', 'empty.c');
  writeFileSync(empty, '');
  library('libdl.so', empty);
}
