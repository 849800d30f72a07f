/** What images are made of in the bench: a Debian tree out of packages, a kernel, payloads, and a recipe of it all. */

import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { generator } from './inputs.ts';
import { toolEnvironment } from './measure.ts';

/** Raised when what is made of the packages changes. */
const VERSION = 1;
const MIB = 2 ** 20;

/** Some 20,000 files of some 200 MB: programs, modules of Perl and Python, headers, texts. */
const PACKAGES = `
  apt bash ca-certificates coreutils dpkg libc-bin libc6 libgcc-s1 libssl3
  libstdc++6 openssl perl perl-base perl-modules-5.36 python3.11 python3.11-minimal libpython3.11-minimal
  libpython3.11-stdlib libpython3.11-testsuite python3-pip python3-setuptools tzdata vim-runtime iso-codes
`;

function run(program: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: toolEnvironment(),
  });
  if (error !== undefined || status !== 0) {
    throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr}`);
  }
  return stdout;
}

/** Packages of the machine's own Debian, fetched once. @returns their files. */
function fetchPackages(folder: string, names: readonly string[]): string[] {
  if (!existsSync(folder)) {
    const temporary = `${folder}.new`;
    rmSync(temporary, { recursive: true, force: true });
    mkdirSync(temporary, { recursive: true });
    run('apt-get', ['-q', 'download', ...names], temporary);
    renameSync(temporary, folder);
  }
  return readdirSync(folder)
    .filter((name) => name.endsWith('.deb'))
    .sort()
    .map((name) => join(folder, name));
}

/** The newest package with a name like this. */
function newestPackage(pattern: string, folder: string): string {
  const version = (text: string): number => Number(/-(\d+)-/.exec(text)?.[1] ?? 0);
  const names = run('apt-cache', ['search', '--names-only', pattern], folder)
    .split('\n')
    .flatMap((line) => line.split(' ')[0] || []);
  const [newest] = names.sort((a, b) => version(b) - version(a));
  if (newest === undefined) throw new Error(`There is no package ${pattern}`);
  return newest;
}

/** The names of the packages that the tree is made of, without versions. */
export const packageNames = (inputs: string): string[] =>
  readdirSync(join(inputs, `image-debs-v${VERSION}`)).map((file) => file.replace(/_.*/, ''));

export interface ImageInputs {
  /** A recipe's folder, and what is in it. */
  readonly recipe: string;
  readonly tree: string;
  /** Of the tree, for changing. */
  readonly changing: string;
  readonly kernel: string;
  /** A cache in which the kernel is unpacked, and nothing else. */
  readonly cache: string;
  /** What is in our initrd, as files. */
  readonly initrd: string;
  /** Makes the folder of another recipe, whose system has one file instead of the tree. */
  readonly withFile: (file: string) => string;
}

/** Makes what is not there yet. */
export function imageInputs(root: string, inputs: string): ImageInputs {
  const folder = join(inputs, `image-v${VERSION}`);
  const recipe = join(folder, 'recipe');
  const tree = join(recipe, 'rootfs');
  const made: ImageInputs = {
    recipe,
    tree,
    changing: join(tree, 'usr/bin/changing'),
    kernel: join(recipe, 'kernel/vmlinuz'),
    cache: join(folder, 'cache'),
    initrd: join(folder, 'initrd'),
    withFile(file) {
      const other = join(folder, 'recipe-file');
      if (existsSync(other)) return other;
      mkdirSync(join(other, 'system'), { recursive: true });
      linkSync(file, join(other, 'system/file'));
      for (const name of ['kernel', 'small', 'libbench.so']) {
        cpSync(join(recipe, name), join(other, name), { recursive: true });
      }
      const text = recipeText('./system').replace('assets: large', 'assets: small');
      writeFileSync(join(other, 'microbuild.yaml'), text);
      return other;
    },
  };
  if (existsSync(folder)) return made;
  const temporary = `${folder}.new`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  const at = (path: string): string => path.replace(folder, temporary);
  makeTree(inputs, at(tree));
  // Of some size, as a program of one's own is.
  writeFileSync(at(made.changing), generator('changing')(MIB));
  makeKernel(inputs, at(join(recipe, 'kernel')));
  makePayloads(at(recipe));
  writeFileSync(at(join(recipe, 'microbuild.yaml')), recipeText('./rootfs'));
  learnKernel(root, temporary, at(made.cache), at(made.initrd));
  renameSync(temporary, folder);
  return made;
}

function makeTree(inputs: string, tree: string): void {
  mkdirSync(tree, { recursive: true });
  const headers = newestPackage('^linux-headers-6[.0-9]*-[0-9]+-common$', tree);
  const debs = fetchPackages(join(inputs, `image-debs-v${VERSION}`), [
    ...PACKAGES.trim().split(/\s+/),
    headers,
  ]);
  for (const deb of debs) run('dpkg-deb', ['-x', deb, tree], tree);
}

function makeKernel(inputs: string, folder: string): void {
  mkdirSync(folder, { recursive: true });
  const name = newestPackage('^linux-image-6[.0-9]*-[0-9]+-cloud-amd64$', folder);
  const [deb = ''] = fetchPackages(join(inputs, `image-kernel-v${VERSION}`), [name]);
  const unpacked = join(folder, 'unpacked');
  mkdirSync(unpacked);
  run('dpkg-deb', ['-x', deb, unpacked], folder);
  const only = (place: string, beginning: string): string =>
    join(place, readdirSync(place).find((entry) => entry.startsWith(beginning)) ?? beginning);
  renameSync(only(join(unpacked, 'boot'), 'vmlinuz-'), join(folder, 'vmlinuz'));
  const library = existsSync(join(unpacked, 'lib')) ? 'lib' : 'usr/lib';
  renameSync(only(join(unpacked, library, 'modules'), ''), join(folder, 'modules'));
  rmSync(unpacked, { recursive: true });
}

/** Contents of a payload's APK: small files, and some large ones, none of which can be compressed. */
function makeAssets(folder: string, name: string, size: number, smallFiles: number): void {
  const next = generator(name);
  mkdirSync(folder, { recursive: true });
  let left = size;
  for (let index = 0; index < smallFiles; index += 1) {
    const length = 1 + ((index * 7919) % 4000);
    const path = join(folder, `data-${index % 40}`, `file-${index}`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, next(length));
    left -= length;
  }
  const large = 4;
  for (let index = 0; index < large; index += 1) {
    writeFileSync(join(folder, `large-${index}`), next(Math.floor(left / large)));
  }
}

function makePayloads(recipe: string): void {
  makeAssets(join(recipe, 'large'), 'large payload', 100 * MIB, 2000);
  makeAssets(join(recipe, 'small'), 'small payload', 5 * MIB, 300);
  const source = join(recipe, 'payload.c');
  writeFileSync(source, 'int AVmPayload_main(void) { return 0; }\n');
  run('gcc', ['-shared', '-nostdlib', '-fPIC', '-o', 'libbench.so', source], recipe);
}

/** @param tree Relative to the recipe. */
const recipeText = (tree: string): string => `apiVersion: microbuild/v1
name: bench
kernel: { source: { file: kernel/vmlinuz, modules: kernel/modules } }
partitions:
  system:
    contents:
      - { guest: runtime }
      - { dir: ${tree} }
payload:
  package: dev.microbuild.bench
  versionCode: 1
  libraries: { x86_64: [libbench.so] }
  entry: libbench.so
  assets: large
payloads:
  small:
    package: dev.microbuild.bench.small
    versionCode: 1
    libraries: { x86_64: [libbench.so] }
    entry: libbench.so
    assets: small
profiles:
  fec: { partitions: { system: { verity: { fec: true } } } }
`;

/** Builds another recipe with the same kernel, which leaves it unpacked in the cache, and its initrd as files. */
function learnKernel(root: string, folder: string, cache: string, initrd: string): void {
  const recipe = join(folder, 'recipe');
  const first = join(folder, 'first');
  mkdirSync(join(first, 'empty'), { recursive: true });
  mkdirSync(join(first, 'small'));
  cpSync(join(recipe, 'kernel'), join(first, 'kernel'), { recursive: true });
  cpSync(join(recipe, 'libbench.so'), join(first, 'libbench.so'));
  const text = recipeText('./empty').replace('assets: large', 'assets: small');
  writeFileSync(join(first, 'microbuild.yaml'), text);
  const output = join(first, 'bundle');
  const args = [resolve(root, 'bin/microbuild.js'), 'image', first, '-o', output, '--quiet'];
  const { status, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { ...toolEnvironment(), MICROBUILD_CACHE: cache },
  });
  if (status !== 0) throw new Error(`The kernel could not be unpacked: ${stderr}`);
  mkdirSync(initrd);
  // What follows the archive is no archive: cpio says so, and that is all.
  spawnSync('sh', ['-c', `cpio -idm <"${join(output, basename('initrd.img'))}"`], { cwd: initrd });
  if (!existsSync(join(initrd, 'init'))) throw new Error('There is no init in the initrd');
  rmSync(first, { recursive: true });
}
