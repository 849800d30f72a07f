import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readAndroidBoot, bootPart } from '../../src/formats/boot-image/android-boot.ts';
import { openFileSource } from '../../src/io/byte-source.ts';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { copyHello } from '../support/recipes.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

describe('boot.img and mkbootimg', () => {
  it.each([0, 1, 2, 3])('reads the parts that mkbootimg put into header version %i', async (n) => {
    const dir = tmpDir();
    const parts = { kernel: 'kernel '.repeat(3000), ramdisk: 'ramdisk '.repeat(700) };
    for (const [name, text] of Object.entries(parts)) writeFileSync(join(dir, name), text);
    writeFileSync(join(dir, 'dtb'), 'dtb '.repeat(50));
    const dtb = n === 2 ? ['--dtb', 'dtb'] : [];
    const args = ['--kernel', 'kernel', '--ramdisk', 'ramdisk', '--cmdline', 'quiet panic=-1'];
    const made = runTool(
      'mkbootimg',
      [...args, ...dtb, '--header_version', String(n), '-o', 'boot.img'],
      { cwd: dir },
    );
    expect(made).toMatchObject({ status: 0 });
    const source = await openFileSource(join(dir, 'boot.img'));
    try {
      const image = await readAndroidBoot(source);
      expect(image).toMatchObject({ headerVersion: n, cmdline: 'quiet panic=-1' });
      for (const [name, text] of Object.entries(parts)) {
        const part = bootPart(source, image, name as 'kernel' | 'ramdisk');
        expect(Buffer.from(await part.read(0, part.size)).toString()).toBe(text);
      }
    } finally {
      await source.close();
    }
  });
});

describe('a recipe with a kernel of its own', () => {
  let sandbox: Sandbox;
  let unpacked: string;
  let fromDeb: string;

  beforeAll(async () => {
    sandbox = openSandbox();
    const recipe = copyHello(join(sandbox.folder, 'hello'));
    fromDeb = await image(recipe, 'deb');
    unpacked = join(sandbox.folder, 'unpacked');
    runTool('dpkg-deb', ['-x', await kernelDeb(recipe), unpacked]);
  });
  afterAll(() => sandbox.dispose());

  async function image(recipe: string, name: string): Promise<string> {
    const path = join(sandbox.folder, name);
    const { status, stderr } = await sandbox.microbuild(['image', recipe, '-o', path]);
    expect(stderr).not.toContain('error');
    expect(status).toBe(0);
    return path;
  }

  /** The package that the build has fetched into the cache. */
  async function kernelDeb(recipe: string): Promise<string> {
    const lock = readFileSync(join(recipe, 'microbuild.lock'), 'utf8');
    const digests = lock.match(/[0-9a-f]{64}/g) ?? [];
    const cache = join(
      process.env['XDG_CACHE_HOME'] ?? `${process.env['HOME']}/.cache`,
      'microbuild',
    );
    for (const digest of digests) {
      const path = join(cache, 'cas', digest.slice(0, 2), digest);
      const { stdout } = runTool('dpkg-deb', ['-f', path, 'Package']);
      if (stdout.startsWith('linux-image')) return path;
    }
    throw new Error('The lock pins no kernel package');
  }

  const digestOf = (path: string): string =>
    createHash('sha256').update(readFileSync(path)).digest('hex');

  it('gives the same kernel and initrds from a boot.img and a folder of modules', async () => {
    const release = readdirSync(join(unpacked, 'lib/modules'))[0] as string;
    const recipe = copyHello(join(sandbox.folder, 'gki'), [
      ['{ deb: linux-image-cloud-amd64 }', '{ file: boot.img, modules: modules }'],
    ]);
    cpSync(join(unpacked, 'lib/modules', release), join(recipe, 'modules'), { recursive: true });
    const kernel = join(unpacked, `boot/vmlinuz-${release}`);
    const output = ['--header_version', '3', '-o', join(recipe, 'boot.img')];
    const parts = ['--kernel', kernel, '--ramdisk', '/dev/null'];
    const made = runTool('mkbootimg', [...parts, ...output]);
    expect(made).toMatchObject({ status: 0 });
    const fromFile = await image(recipe, 'file');
    for (const name of ['kernel', 'initrd.img', 'initrd_debuggable.img', 'os.img']) {
      expect([name, digestOf(join(fromFile, name))]).toEqual([name, digestOf(join(fromDeb, name))]);
    }
    const manifest = readFileSync(join(fromFile, 'manifest.json'), 'utf8');
    expect(JSON.parse(manifest)).toMatchObject({
      inputs: expect.arrayContaining([expect.objectContaining({ name: 'boot.img' })]) as unknown,
    });
  });

  it('refuses a file system that the kernel does not mount, at the line of the recipe', async () => {
    const recipe = copyHello(join(sandbox.folder, 'new'), [
      ['{ type: erofs }', '{ type: erofs, compression: zstd }'],
    ]);
    const run = await sandbox.microbuild(['image', recipe, '-o', join(sandbox.folder, 'none')]);
    expect(run.status).toBe(2);
    const lines = readFileSync(join(recipe, 'microbuild.yaml'), 'utf8').split('\n');
    const line = lines.findIndex((each) => each.includes('compression: zstd')) + 1;
    const column = (lines[line - 1] ?? '').indexOf('zstd') + 1;
    expect(run.stderr).toContain(`microbuild.yaml:${line}:${column}`);
    expect(run.stderr).toContain('Linux 6.10 and later do');
  });

  it('refuses a kernel without the modules that the guest needs, at the line of the recipe', async () => {
    const recipe = copyHello(join(sandbox.folder, 'bare'), [
      ['{ deb: linux-image-cloud-amd64 }', '{ file: boot.img, modules: modules }'],
    ]);
    mkdirSync(join(recipe, 'modules'));
    const release = readdirSync(join(unpacked, 'lib/modules'))[0] as string;
    cpSync(join(unpacked, `boot/vmlinuz-${release}`), join(recipe, 'boot.img'));
    const run = await sandbox.microbuild(['image', recipe, '-o', join(sandbox.folder, 'none')]);
    expect(run.status).toBe(2);
    expect(run.stderr).toContain('microbuild.yaml:');
    expect(run.stderr).toContain('virtio_mmio');
  });
});
