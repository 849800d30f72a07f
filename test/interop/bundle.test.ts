/** A whole bundle, held against the tools of those who made its formats. */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LABELS } from '../../src/bundle/layout.ts';
import { toHex } from '../../src/core/digest.ts';
import { decodeVbmeta } from '../../src/formats/avb/vbmeta.ts';
import type { HashtreeDescriptor } from '../../src/formats/avb/descriptor.ts';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { copyHello } from '../support/recipes.ts';
import { bundleFile, partitionOf } from '../support/tamper.ts';
import { runTool } from '../support/tools.ts';

let sandbox: Sandbox;
let bundle: string;

beforeAll(async () => {
  sandbox = openSandbox();
  bundle = join(sandbox.folder, 'bundle');
  const recipe = copyHello(join(sandbox.folder, 'hello'));
  const { status, stderr } = await sandbox.microbuild(['image', recipe, '-o', bundle]);
  if (status !== 0) throw new Error(stderr);
});
afterAll(() => sandbox.dispose());

/** Copies a partition (or the first bytes of it) into a file of its own. */
async function extract(disk: string, label: string, size?: number): Promise<string> {
  const place = await partitionOf(disk, label);
  const path = join(sandbox.folder, `${label}.img`);
  writeFileSync(
    path,
    readFileSync(disk).subarray(place.offset, place.offset + (size ?? place.size)),
  );
  return path;
}

async function systemTree(): Promise<HashtreeDescriptor> {
  const vbmeta = readFileSync(await extract(bundleFile(bundle, 'os'), LABELS.vbmeta));
  const tree = decodeVbmeta(vbmeta).descriptors.find((each) => each.kind === 'hashtree');
  if (tree === undefined) throw new Error('vbmeta_a has no hashtree descriptor');
  return tree;
}

describe('a bundle of hello', () => {
  test('fsck.erofs accepts the system image', async () => {
    const { imageSize } = await systemTree();
    const image = await extract(bundleFile(bundle, 'os'), LABELS.system, imageSize);
    // Without -d it prints problems only.
    const { status, stdout, stderr } = runTool('fsck.erofs', [image]);
    expect(stdout + stderr).toBe('');
    expect(status).toBe(0);
  });

  test('the Linux kernel mounts the system image and shows what was put in', async () => {
    const { imageSize } = await systemTree();
    const image = await extract(bundleFile(bundle, 'os'), LABELS.system, imageSize);
    const mountPoint = join(sandbox.folder, 'mnt');
    mkdirSync(mountPoint);
    const mounted = runTool('mount', ['-t', 'erofs', '-o', 'loop,ro', image, mountPoint]);
    expect(mounted.stderr).toBe('');
    try {
      const read = (path: string): Buffer => readFileSync(join(mountPoint, path));
      expect(read('system/etc/motd').equals(readFileSync('recipes/hello/motd'))).toBe(true);
      for (const [path, built] of [
        ['system/bin/microdroid_launcher', 'microdroid_launcher'],
        ['system/lib64/libvm_payload.so', 'libvm_payload.so'],
      ] as const) {
        expect(read(path).equals(readFileSync(`target/guest/x86_64/${built}`))).toBe(true);
      }
      expect(readdirSync(mountPoint)).toContain('proc');
    } finally {
      runTool('umount', [mountPoint]);
    }
  });

  test('veritysetup verifies the system image with our tree, salt and root digest', async () => {
    const { imageSize, treeOffset, salt, rootDigest } = await systemTree();
    const image = await extract(bundleFile(bundle, 'os'), LABELS.system);
    const { status, stderr } = runTool('veritysetup', [
      'verify',
      '--no-superblock',
      `--data-blocks=${imageSize / 4096}`,
      `--hash-offset=${treeOffset}`,
      `--salt=${toHex(salt)}`,
      image,
      image,
      toHex(rootDigest),
    ]);
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  test('apksigner verifies the payload, scheme v3 and v4', async () => {
    const apk = await extract(bundleFile(bundle, 'payload'), LABELS.apk);
    const idsig = await extract(bundleFile(bundle, 'payload'), LABELS.idsig);
    // The partition is filled with zeros; apksigner wants the archive alone.
    const bytes = readFileSync(apk);
    writeFileSync(apk, bytes.subarray(0, bytes.lastIndexOf(Buffer.from('PK\u0005\u0006')) + 22));
    const { stdout, stderr } = runTool('apksigner', [
      'verify',
      '--verbose',
      '--min-sdk-version=28',
      `--v4-signature-file=${idsig}`,
      apk,
    ]);
    expect(stderr).not.toContain('ERROR');
    expect(stdout).toContain('Verified using v3 scheme (APK Signature Scheme v3): true');
    expect(stdout).toContain('Verified using v4 scheme (APK Signature Scheme v4): true');
  });

  test('aapt reads the manifest', async () => {
    const apk = await extract(bundleFile(bundle, 'payload'), LABELS.apk);
    const bytes = readFileSync(apk);
    writeFileSync(apk, bytes.subarray(0, bytes.lastIndexOf(Buffer.from('PK\u0005\u0006')) + 22));
    expect(runTool('aapt', ['dump', 'badging', apk]).stdout).toContain(
      "package: name='dev.microbuild.hello' versionCode='1'",
    );
  });

  test.each(['os', 'payload'] as const)('sfdisk accepts the disk %s', (name) => {
    const { status, stdout } = runTool('sfdisk', ['--verify', bundleFile(bundle, name)]);
    expect(stdout).toContain('No errors detected');
    expect(status).toBe(0);
  });

  test('cpio lists the initrd, init first among programs', () => {
    const { stdout } = runTool('cpio', ['-t', '--quiet'], {
      input: readFileSync(bundleFile(bundle, 'initrdNormal')),
    });
    expect(stdout.split('\n').slice(0, 5)).toEqual(['dev', 'proc', 'sys', 'newroot', 'init']);
  });

  test('inspect tells each kind of file by its bytes, as text and as JSON', async () => {
    const { imageSize } = await systemTree();
    const os = bundleFile(bundle, 'os');
    const payload = bundleFile(bundle, 'payload');
    const made = otherImages(await extract(os, LABELS.system, imageSize));
    for (const [kind, path, fact] of [
      ['bundle', bundle, 'dev.microbuild.hello 1'],
      ['gpt', os, 'system_a'],
      ['erofs', await extract(os, LABELS.system, imageSize), 'build_time'],
      ['vbmeta', await extract(os, LABELS.vbmeta), 'hashtree descriptor "system"'],
      ['apk', await extract(payload, LABELS.apk), 'lib/x86_64/libhello.so'],
      ['idsig', await extract(payload, LABELS.idsig), 'tree  4096'],
      ['initrd', bundleFile(bundle, 'initrdNormal'), 'androidboot.vbmeta.digest'],
      ...made,
    ] as const) {
      const json = await sandbox.microbuild(['inspect', path, '--json']);
      expect(JSON.parse(json.stdout)).toMatchObject({ kind });
      const text = await sandbox.microbuild(['inspect', path]);
      expect(`${kind}: ${text.stdout}`).toContain(fact);
      expect(text.status).toBe(0);
    }
  });
});

/** Images that a bundle does not hold: made of its system by the programs that others use. */
function otherImages(system: string): (readonly [kind: string, path: string, fact: string])[] {
  const at = (name: string): string => join(sandbox.folder, name);
  const run = (program: string, ...args: string[]): void => {
    expect([program, runTool(program, args).status]).toEqual([program, 0]);
  };
  run('img2simg', system, at('system.simg'));
  run('mkbootimg', '--kernel', 'package.json', '--ramdisk', 'README.md', '-o', at('boot.img'));
  writeFileSync(at('tree'), '');
  run('veritysetup', 'format', '--hash=sha512', system, at('tree'));
  return [
    ['sparse', at('system.simg'), 'build_time'],
    ['boot.img', at('boot.img'), 'ramdisk'],
    ['verity', at('tree'), 'algorithm        sha512'],
  ];
}
