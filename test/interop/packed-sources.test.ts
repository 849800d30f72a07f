/** Archives as other programs pack them: in parts, with checks and headers that are rarely seen. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findInode } from '../../src/io/file-tree.ts';
import { bytesOf, treeOf } from '../support/source-trees.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

function run(program: string, args: readonly string[], cwd: string): void {
  const result = runTool(program, args, { cwd });
  expect([program, result.status, result.stderr]).toEqual([program, 0, result.stderr]);
}

describe('compressed tar archives', () => {
  const halves = (pack: string): string =>
    `head -c 300000 x.tar | ${pack} > 1 && tail -c +300001 x.tar | ${pack} > 2 && cat 1 2 > x.packed`;

  test.each([
    ['gzip in two members', halves('gzip -n')],
    [
      'gzip in two members, and zeros behind them',
      `${halves('gzip -n')} && head -c 512 /dev/zero >> x.packed`,
    ],
    ['xz in two streams', halves('xz -T1')],
    [
      'xz in two streams, with padding between and behind them',
      `${halves('xz -T1')} && (cat 1; head -c 8 /dev/zero; cat 2; head -c 1024 /dev/zero) > x.packed`,
    ],
    ['xz in many blocks', 'xz -T2 --block-size=65536 -c x.tar > x.packed'],
    ['xz with the largest dictionary', 'xz -9e -c x.tar > x.packed'],
    ['xz with CRC-32', 'xz --check=crc32 -c x.tar > x.packed'],
    ['xz without a check', 'xz --check=none -c x.tar > x.packed'],
    ['xz with an empty stream first', '(xz < /dev/null; xz -c x.tar) > x.packed'],
    ['zstd in two frames', halves('zstd -q')],
    ['zstd of pzstd, which begins with a frame to skip', 'pzstd -q -p 2 -c x.tar > x.packed'],
    ['zstd with a long window', 'zstd -q --long=27 -19 -c x.tar > x.packed'],
  ])('of %s hold what went in', async (_, script) => {
    const folder = tmpDir();
    const data = Buffer.alloc(700_000);
    for (let at = 0; at < data.length; at += 1) data[at] = (at * at) >>> 7;
    writeFileSync(join(folder, 'a'), data);
    run('tar', ['-cf', 'x.tar', 'a'], folder);
    run('sh', ['-ec', script], folder);
    const { tree } = await treeOf(folder, [{ tar: 'x.packed' }]);
    expect((await bytesOf(tree, '/a')).equals(data)).toBe(true);
  });

  test.each([
    ['gzip, and other bytes behind it', '(gzip -nc x.tar; echo more) > x.packed', /damaged/],
    [
      'gzip, cut off in its second member',
      '(gzip -nc x.tar; gzip -nc x.tar | head -c 15) > x.packed',
      /cut off/,
    ],
    ['xz, and other bytes behind it', '(xz -c x.tar; echo more...) > x.packed', /cut off/],
    [
      'xz, cut off in its second stream',
      '(xz -c x.tar; xz -c x.tar | head -c 40) > x.packed',
      /cut off/,
    ],
    ['xz, with padding that is not whole', '(xz -c x.tar; printf "\\0\\0") > x.packed', /cut off/],
    [
      'xz, of which a byte is another',
      'xz -c x.tar > x.packed; printf X | dd of=x.packed bs=1 seek=40 conv=notrunc status=none',
      /damaged/,
    ],
    [
      'zstd, and other bytes behind it',
      '(zstd -qc x.tar; echo more) > x.packed',
      /no frame follow/,
    ],
    [
      'gzip, and bytes behind its padding',
      '(gzip -nc x.tar; head -c 512 /dev/zero; echo more) > x.packed',
      /other bytes follow/,
    ],
    ['xz with SHA-256', 'xz --check=sha256 -c x.tar > x.packed', /SHA-256 instead of CRC/],
    ['xz for x86', 'xz --x86 --lzma2 -c x.tar > x.packed', /filter other than LZMA2/],
  ])('are refused: %s', async (_, script, why) => {
    const folder = tmpDir();
    writeFileSync(join(folder, 'a'), Buffer.alloc(7000, 'microbuild'));
    run('tar', ['-cf', 'x.tar', 'a'], folder);
    run('sh', ['-ec', script], folder);
    await expect(treeOf(folder, [{ tar: 'x.packed' }])).rejects.toThrow(why);
  });
});

describe('ZIP64 archives', () => {
  test.each([
    ['zip -fz', ['zip', '-qr', '-fz', 'x.zip', 'a', 'b']],
    [
      'bsdtar',
      ['bsdtar', '-c', '--format', 'zip', '--options', 'zip:zip64', '-f', 'x.zip', 'a', 'b'],
    ],
    [
      'Python, which only gives room for large sizes',
      [
        'python3',
        '-c',
        'import zipfile\nwith zipfile.ZipFile("x.zip", "w") as z:\n for n in "ab":\n  with z.open(n, "w", force_zip64=True) as f: f.write(open(n, "rb").read())',
      ],
    ],
    [
      'Python, to what cannot seek',
      [
        'python3',
        '-c',
        'import subprocess, zipfile\np = subprocess.Popen(["sh", "-c", "cat > x.zip"], stdin=subprocess.PIPE)\nwith zipfile.ZipFile(p.stdin, "w", 8) as z:\n for n in "ab":\n  with z.open(n, "w", force_zip64=True) as f: f.write(open(n, "rb").read())\np.stdin.close()\np.wait()',
      ],
    ],
  ])('of %s hold what went in', async (_, [program = '', ...args]) => {
    const folder = tmpDir();
    writeFileSync(join(folder, 'a'), Buffer.alloc(70_000, 'microbuild '));
    writeFileSync(join(folder, 'b'), 'x');
    run(program, args, folder);
    const { tree } = await treeOf(folder, [{ zip: 'x.zip' }]);
    expect(await bytesOf(tree, '/a')).toEqual(readFileSync(join(folder, 'a')));
    expect(await bytesOf(tree, '/b')).toEqual(Buffer.from('x'));
  });

  test('may have more entries than 16 bits count', async () => {
    const folder = tmpDir();
    const script =
      'import zipfile\nwith zipfile.ZipFile("x.zip", "w") as z:\n for i in range(66000): z.writestr(f"d/{i}", str(i))';
    run('python3', ['-c', script], folder);
    const { tree } = await treeOf(folder, [{ zip: 'x.zip' }]);
    const inode = findInode(tree, '/d');
    expect(inode?.kind === 'directory' && inode.children.size).toBe(66_000);
    expect(await bytesOf(tree, '/d/65999')).toEqual(Buffer.from('65999'));
  });
});
