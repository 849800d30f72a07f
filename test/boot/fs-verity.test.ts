/**
 * fs-verity where it is real: Debian's kernel under QEMU, with Node, our program and the native library in its
 * initrd, and an ext4 that has the feature.
 */

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BUNDLE_FILES } from '../../src/bundle/layout.ts';
import { cpioArchive, S_IFDIR, S_IFREG, type CpioMember } from '../../src/formats/cpio/newc.ts';
import { decodeInitrd } from '../../src/formats/boot-image/initrd.ts';
import { openFileSource } from '../../src/io/byte-source.ts';
import { fileContent } from '../../src/io/disk-tree.ts';
import { bytesContent } from '../../src/io/file-tree.ts';
import { loadNativeLibrary } from '../../src/native/library.ts';
import { chooseAccelerator } from '../../src/runner/accel.ts';
import { QEMU_PROGRAM } from '../../src/runner/vmm/qemu.ts';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { copyHello } from '../support/recipes.ts';
import { runTool } from '../support/tools.ts';

const BLOCK = 4096;
/** Of libc-bin, which every machine has. */
const LINKED_LIBRARIES = 'ldd';
const MARKER = 'the third block of the large file';

interface Step {
  readonly step: string;
  readonly exitCode?: number;
  readonly result?: unknown;
  readonly code?: string;
  readonly read?: number;
  readonly blocks?: number;
  readonly message?: string;
}

let sandbox: Sandbox;
let steps: Map<string, Step>;
/** What the guest and its kernel printed. */
let output: string;
const digests = new Map<string, string>();

/** Bytes that are different in each block. */
function content(size: number): Buffer {
  const bytes = createHash('shake256', { outputLength: Math.max(size, 1) })
    .update('x')
    .digest();
  return bytes.subarray(0, size);
}

/** The digest that the fsverity program computes, which knows nothing of us. */
function fsverityDigest(path: string, salt: string): string {
  const { stdout, status } = runTool('fsverity', ['digest', '--compact', `--salt=${salt}`, path]);
  expect(status).toBe(0);
  return stdout.trim();
}

/** An ext4 with the verity feature and the files to try. */
function makeExt4(folder: string): string {
  const files = join(folder, 'files');
  mkdirSync(files);
  const large = content(3 * 2 ** 20 + 1234);
  large.write(MARKER, 2 * BLOCK);
  const contents = { large, small: content(1), empty: content(0), plain: content(9000) };
  for (const [name, bytes] of Object.entries(contents)) {
    const path = join(files, name);
    writeFileSync(path, bytes);
    digests.set(name, fsverityDigest(path, name === 'large' ? '5aa5' : ''));
  }
  const image = join(folder, 'ext4.img');
  const options = ['-q', '-F', '-b', String(BLOCK), '-O', 'verity', '-d', files, image, '24M'];
  expect(runTool('mkfs.ext4', options)).toMatchObject({ status: 0 });
  return image;
}

/** All files below a folder, as members below another one. */
async function membersBelow(folder: string, at: string): Promise<CpioMember[]> {
  const members: CpioMember[] = [{ name: at, mode: S_IFDIR | 0o755 }];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const [path, name] = [join(folder, entry.name), `${at}/${entry.name}`];
    if (entry.isDirectory()) members.push(...(await membersBelow(path, name)));
    else if (entry.isFile() && !/\.(?:d\.ts|md|map|cc|hh)$/.test(name)) {
      members.push(await fileMember(path, name));
    }
  }
  return members;
}

async function fileMember(path: string, name: string): Promise<CpioMember> {
  const { size } = await stat(path);
  return { name, mode: S_IFREG | 0o755, content: fileContent(path, size) };
}

/** The packages that the program needs when it runs, of the lock. */
function runtimePackages(): string[] {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    packages: Record<string, { dev?: boolean }>;
  };
  return Object.entries(packages).flatMap(([path, { dev }]) =>
    path.startsWith('node_modules/') && dev !== true && existsSync(path) ? [path] : [],
  );
}

/** Node and the libraries that it is linked with. */
function nodeFiles(): string[] {
  const { stdout } = runTool(LINKED_LIBRARIES, [process.execPath]);
  return [...stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path = '']) => path);
}

/** A key and its certificate, and built-in signatures of two files by it. */
async function signFiles(folder: string): Promise<readonly CpioMember[]> {
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'key.crt')];
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=test'];
  const files = ['-keyout', key, '-outform', 'DER', '-out', certificate];
  expect(runTool('openssl', [...request, ...files])).toMatchObject({ status: 0 });
  const members = [await fileMember(certificate, 'certificate')];
  for (const name of ['plain', 'small']) {
    const [path, signature] = [join(folder, 'files', name), join(folder, `${name}.sig`)];
    const args = ['sign', 'fsverity', path, '--key', key, '--cert', certificate, '-o', signature];
    expect(await sandbox.microbuild(args)).toMatchObject({ status: 0 });
    members.push(await fileMember(signature, `of-${name}`));
  }
  return members;
}

async function makeInitrd(folder: string, bundleInitrd: string, native: string): Promise<string> {
  const source = await openFileSource(bundleInitrd);
  const { modulesOrder, entries } = await decodeInitrd(source);
  const text = (name: string, value: string, mode = 0o644): CpioMember => ({
    name,
    mode: S_IFREG | mode,
    content: bytesContent(Buffer.from(value)),
  });
  const members: CpioMember[] = [
    ...['proc', 'dev', 'data', 'tmp', 'modules'].map((name) => ({ name, mode: S_IFDIR | 0o755 })),
    text('init', "#!/bin/node\nimport('/app/guest.js');\n", 0o755),
    text('modules.order', modulesOrder.map((name) => `${name}\n`).join('')),
    text('marker', MARKER),
    text('signature', 'no signature'),
    ...(await signFiles(folder)),
    await fileMember(process.execPath, 'bin/node'),
    ...(await Promise.all(nodeFiles().map((path) => fileMember(path, path.slice(1))))),
    ...(await membersBelow('dist', 'app/dist')),
    await fileMember('package.json', 'app/package.json'),
    await fileMember('test/fixtures/guest/fs-verity.js', 'app/guest.js'),
    await fileMember(native, 'app/target/release/libmicrobuild_native.so'),
  ];
  for (const path of runtimePackages()) members.push(...(await membersBelow(path, `app/${path}`)));
  for (const name of modulesOrder) {
    const entry = entries.find((each) => each.name === `modules/${name}`);
    if (entry === undefined) throw new Error(`The initrd has no ${name}`);
    const bytes = await source.read(entry.dataOffset, entry.dataSize);
    members.push({ name: entry.name, mode: S_IFREG | 0o644, content: bytesContent(bytes) });
  }
  await source.close();

  // The kernel makes no parents.
  const made = new Set<string>();
  const all = members.flatMap((member) => {
    const parents: CpioMember[] = [];
    for (let at = dirname(member.name); at !== '.' && !made.has(at); at = dirname(at)) {
      made.add(at);
      parents.unshift({ name: at, mode: S_IFDIR | 0o755 });
    }
    const twice = made.has(member.name);
    made.add(member.name);
    return twice ? parents : [...parents, member];
  });
  const initrd = join(folder, 'initrd');
  // One chunk after the other: each may be used again for the next.
  await writeFile(initrd, cpioArchive(all, 0).stream());
  return initrd;
}

/** Runs the machine to its end; returns what it printed. */
async function boot(kernel: string, initrd: string, disk: string): Promise<string> {
  const { accelerator } = await chooseAccelerator('auto');
  const cpu = accelerator === 'kvm' ? 'host' : 'max';
  const machine = [
    ['-machine', 'q35', '-accel', accelerator, '-cpu', cpu, '-smp', '2'],
    ['-m', '768M', '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    ['-kernel', kernel, '-initrd', initrd],
    ['-append', 'console=ttyS0 quiet panic=-1 cryptomgr.notests'],
    ['-drive', `file=${disk},if=none,id=disk,format=raw`, '-device', 'virtio-blk-pci,drive=disk'],
    ['-device', 'virtio-rng-pci', '-serial', 'stdio'],
  ];
  return new Promise((resolve, reject) => {
    const child = spawn(QEMU_PROGRAM, machine.flat(), {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let printed = '';
    child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString('latin1')));
    child.stderr.on('data', (chunk: Buffer) => (printed += chunk.toString('latin1')));
    const timer = setTimeout(() => child.kill('SIGKILL'), 150_000);
    child.on('error', reject);
    child.on('close', () => {
      clearTimeout(timer);
      resolve(printed);
    });
  });
}

const native = await loadNativeLibrary();
if (native === undefined) {
  process.stderr.write('fs-verity: the native library is not built, its boot is skipped\n');
}

describe.skipIf(native === undefined)('fs-verity in a kernel that has it', () => {
  beforeAll(async () => {
    sandbox = openSandbox();
    const { folder } = sandbox;
    const bundle = join(folder, 'bundle');
    const built = await sandbox.microbuild([
      'image',
      copyHello(join(folder, 'hello')),
      '-o',
      bundle,
      '--quiet',
    ]);
    expect(built).toMatchObject({ status: 0 });
    const disk = makeExt4(folder);
    const initrd = await makeInitrd(
      folder,
      join(bundle, BUNDLE_FILES.initrdNormal),
      native?.path ?? '',
    );
    output = await boot(join(bundle, BUNDLE_FILES.kernel), initrd, disk);
    const lines = [...output.matchAll(/^@(\{.*\})\r?$/gm)];
    const reported = lines.map(([, line = '']) => JSON.parse(line) as Step);
    steps = new Map(reported.map((step) => [step.step, step]));
    if (!steps.has('done')) {
      const said = [...steps.keys(), steps.get('failed')?.message, output.slice(-2000)];
      throw new Error(`The guest did not come to its end: ${said.join('\n')}`);
    }
  });
  afterAll(() => sandbox.dispose());

  test('enabled files measure as the fsverity program says, also after they were read from the disk', () => {
    for (const name of ['large', 'small', 'empty', 'plain']) {
      expect(steps.get(`measure ${name}`)).toMatchObject({
        exitCode: 0,
        result: [{ algorithm: 'sha256', digest: digests.get(name) }],
      });
    }
  });

  test('the digest that we compute is the one that the kernel enforces', () => {
    expect(steps.get('digest')).toMatchObject({
      exitCode: 0,
      result: [{ digest: digests.get('large') }],
    });
  });

  test('the kernel refuses the one changed block and no other', () => {
    expect(steps.get('read before')?.read).toBe(BLOCK);
    expect(steps.get('corrupt')?.blocks).toBe(1);
    expect(steps.get('read changed')).toMatchObject({ code: 'EIO' });
    expect(steps.get('read other')?.read).toBe(BLOCK);
    expect(output).toContain('FILE CORRUPTED! index=2');
    // It is a property of the file, whatever became of its blocks.
    expect(steps.get('measure changed')).toMatchObject({
      result: [{ digest: digests.get('large') }],
    });
  });

  test('the kernel takes a file that we signed, and no other with its signature', () => {
    expect(steps.get('wrong file')).toMatchObject({
      exitCode: 4,
      result: { error: { message: expect.stringContaining('(EKEYREJECTED)') as unknown } },
    });
    expect(steps.get('signed')).toMatchObject({ exitCode: 0 });
  });

  test('a verity file cannot be written', () => {
    expect(steps.get('write')).toMatchObject({ code: 'EPERM' });
  });

  test.each([
    ['not yet', 'ENODATA', /fsverity enable/],
    ['open for writing', 'ETXTBSY', /Close it/],
    ['enable again', 'EEXIST', /fsverity measure/],
    ['block size', 'EINVAL', /6\.3/],
    ['no sha512', 'ENOPKG', /sha256/],
    ['unknown key', 'ENOKEY', /keyctl/],
    ['no file system', 'ENOTTY', /ext4/],
  ])('%s: %s of the kernel becomes an error that says what to do', (step, code, hint) => {
    expect(steps.get(step)).toMatchObject({
      exitCode: 4,
      result: {
        error: {
          type: 'EnvironmentError',
          missing: 'fs-verity',
          message: expect.stringContaining(`(${code})`) as unknown,
          hint: expect.stringMatching(hint) as unknown,
        },
      },
    });
  });
});
