/** Has everybody who reads EROFS read an image. */

import { expect } from 'vitest';
import { checkErofs } from '../../src/formats/erofs/check.ts';
import { openErofs } from '../../src/formats/erofs/reader.ts';
import { readTree } from '../../src/formats/erofs/read-tree.ts';
import { openFileSource } from '../../src/io/byte-source.ts';
import type { Directory } from '../../src/io/file-tree.ts';
import { runTool } from '../support/tools.ts';
import { describeTree } from '../unit/formats/erofs/trees.ts';
import { canMountErofs, readMountedTree, withMountedErofs } from './mounted-erofs.ts';

export const isMountable: boolean = await canMountErofs();

/**
 * fsck.erofs accepts the image, and our reader and the kernel, where it may be asked, show the tree.
 *
 * @param options.fsck Whether erofs-utils 1.5 knows what the image uses: of compression LZ4 only.
 */
export async function expectReadsBack(
  image: string,
  root: Directory,
  { fsck = true }: { readonly fsck?: boolean } = {},
): Promise<void> {
  if (fsck) {
    const checked = runTool('fsck.erofs', ['--extract', image]);
    expect(checked).toEqual({ status: 0, stdout: '', stderr: '' });
  }
  const expected = await describeTree(root);
  const source = await openFileSource(image);
  expect(await describeTree(await readTree(await openErofs(source)))).toEqual(expected);
  expect(await checkErofs(source)).toMatchObject({ problems: [] });
  await source.close();
  if (!isMountable) return;
  await withMountedErofs(image, async (path) => {
    expect(await describeTree(readMountedTree(path))).toEqual(expected);
  });
}
