/** Archives of GNU tar and packages of dpkg-deb, in every compression, against what went in. */

import { mkdirSync, linkSync, readFileSync, symlinkSync, writeFileSync, chmodSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sha256, toHex } from '../../src/core/digest.ts';
import { FormatError } from '../../src/core/errors.ts';
import { decompressBytes } from '../../src/formats/tar/decompress.ts';
import { debToTree } from '../../src/formats/tar/deb.ts';
import { tarToTree } from '../../src/formats/tar/tree.ts';
import { bytesSource, openFileSource } from '../../src/io/byte-source.ts';
import { walk, type Directory } from '../../src/io/file-tree.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

/** A folder with one of everything that a package may hold. */
function fill(folder: string): void {
  mkdirSync(join(folder, 'usr/share/doc/\u00fcmlaut'), { recursive: true });
  mkdirSync(join(folder, 'usr/bin'), { recursive: true });
  const large = Buffer.alloc(3_000_001, 'microbuild ');
  writeFileSync(join(folder, 'usr/bin/large'), large);
  chmodSync(join(folder, 'usr/bin/large'), 0o755);
  linkSync(join(folder, 'usr/bin/large'), join(folder, 'usr/bin/linked'));
  writeFileSync(join(folder, 'usr/share/empty'), '');
  writeFileSync(join(folder, 'usr/share', 'n'.repeat(180)), 'a long name');
  symlinkSync('../share', join(folder, 'usr/bin/up'));
  for (const path of ['usr/share/empty', `usr/share/${'n'.repeat(180)}`]) {
    chmodSync(join(folder, path), 0o644);
  }
}

async function listing(root: Directory): Promise<string[]> {
  const lines: string[] = [];
  const files: [string, AsyncIterable<Uint8Array>][] = [];
  walk(root, (path, inode) => {
    if (inode.kind === 'file') files.push([path, inode.content.stream()]);
    else lines.push(`${path} ${inode.kind === 'symlink' ? inode.target : inode.kind}`);
  });
  for (const [path, stream] of files) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    lines.push(`${path} ${toHex(sha256(...chunks)).slice(0, 16)}`);
  }
  return lines.sort();
}

const digestOf = (path: string): string => toHex(sha256(readFileSync(path))).slice(0, 16);

function expectedOf(folder: string): string[] {
  const long = 'n'.repeat(180);
  return [
    '/ directory',
    '/usr directory',
    '/usr/bin directory',
    `/usr/bin/large ${digestOf(join(folder, 'usr/bin/large'))}`,
    `/usr/bin/linked ${digestOf(join(folder, 'usr/bin/large'))}`,
    '/usr/bin/up ../share',
    '/usr/share directory',
    '/usr/share/doc directory',
    '/usr/share/doc/\u00fcmlaut directory',
    `/usr/share/empty ${digestOf(join(folder, 'usr/share/empty'))}`,
    `/usr/share/${long} ${digestOf(join(folder, 'usr/share', long))}`,
  ].sort();
}

describe('GNU tar', () => {
  test.each([
    ['gnu', []],
    ['posix', []],
    ['gnu', ['-z']],
    ['gnu', ['-J']],
    ['gnu', ['--zstd']],
  ])('--format=%s %j is read with the bytes that went in', async (format, flags) => {
    const folder = tmpDir();
    fill(folder);
    const archive = join(tmpDir(), 'a.tar');
    const args = ['-C', folder, `--format=${format}`, '--sort=name', ...flags, '-cf', archive, '.'];
    expect(runTool('tar', args)).toMatchObject({ status: 0 });
    const source = await openFileSource(archive);
    expect(await listing(await tarToTree(source))).toEqual(expectedOf(folder));
    await source.close();
  });
});

describe('dpkg-deb', () => {
  test.each(['xz', 'gzip', 'zstd', 'none'])('a package with %s is read', async (compression) => {
    const folder = tmpDir();
    fill(folder);
    const root = tmpDir();
    fill(root);
    mkdirSync(join(root, 'DEBIAN'));
    chmodSync(root, 0o755);
    chmodSync(join(root, 'DEBIAN'), 0o755);
    writeFileSync(
      join(root, 'DEBIAN/control'),
      'Package: sample\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: d\n',
    );
    const deb = join(tmpDir(), 'sample.deb');
    const made = runTool('dpkg-deb', ['--root-owner-group', `-Z${compression}`, '-b', root, deb]);
    expect(made).toMatchObject({ status: 0 });
    const source = await openFileSource(deb, 'sample.deb');
    const tree = await debToTree(source);
    expect(await listing(tree)).toEqual(expectedOf(folder));
    await source.close();

    const whole = new Uint8Array(readFileSync(deb));
    const cut = debToTree(bytesSource(whole.subarray(0, whole.length - 600), 'sample.deb'));
    await expect(cut).rejects.toThrow(/data\.tar/);
  });
});

describe('decompressBytes', () => {
  test.each([
    ['xz', ['-z', '--check=crc32', '--lzma2=dict=32MiB']],
    ['zstd', ['-q', '--ultra', '-22']],
    ['gzip', ['-n']],
  ])('gives back what %s %j packed, and refuses another size', async (program, flags) => {
    const folder = tmpDir();
    const data = Buffer.alloc(700_001, 'kernel bytes and more of them ');
    for (let at = 0; at < data.length; at += 5) data[at] = (at * at) >> 6;
    writeFileSync(join(folder, 'in'), data);
    expect(runTool(program, [...flags, '-k', 'in'], { cwd: folder })).toMatchObject({ status: 0 });
    const suffix = { xz: 'xz', zstd: 'zst', gzip: 'gz' }[program];
    const packed = new Uint8Array(readFileSync(join(folder, `in.${suffix}`)));
    expect(Buffer.compare(await decompressBytes(packed, data.length), data)).toBe(0);
    for (const size of [data.length - 1, data.length + 1]) {
      await expect(decompressBytes(packed, size)).rejects.toThrow(FormatError);
    }
  });

  test('says that xz with a branch filter is not supported', async () => {
    const packed = join(tmpDir(), 'in');
    writeFileSync(packed, Buffer.alloc(5000, 'x86'));
    expect(runTool('xz', ['-z', '--x86', '--lzma2', packed])).toMatchObject({ status: 0 });
    const data = new Uint8Array(readFileSync(`${packed}.xz`));
    await expect(decompressBytes(data, 5000)).rejects.toMatchObject({ code: 'unsupported' });
  });
});
