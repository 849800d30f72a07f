/** An initrd with a program of a test's own as its PID 1, and the modules of a bundle's. */

import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { decodeInitrd } from '../../src/formats/boot-image/initrd.ts';
import { cpioArchive, S_IFDIR, S_IFREG, type CpioMember } from '../../src/formats/cpio/newc.ts';
import { openFileSource } from '../../src/io/byte-source.ts';
import { bytesContent } from '../../src/io/file-tree.ts';

/**
 * Writes an initrd to `path`: `program` as `/init`, and `/modules.order` with `/modules/*.ko` where
 * `bundleInitrd` is given.
 */
export async function writeBareInitrd(
  path: string,
  program: string,
  bundleInitrd?: string,
): Promise<void> {
  const file = (name: string, bytes: Uint8Array, mode = 0o644): CpioMember => ({
    name,
    mode: S_IFREG | mode,
    content: bytesContent(bytes),
  });
  const members: CpioMember[] = [
    { name: 'dev', mode: S_IFDIR | 0o755 },
    file('init', readFileSync(program), 0o755),
  ];
  if (bundleInitrd !== undefined) {
    const source = await openFileSource(bundleInitrd);
    const { modulesOrder, entries } = await decodeInitrd(source);
    const order = modulesOrder.map((name) => `${name}\n`).join('');
    members.push(file('modules.order', Buffer.from(order)));
    members.push({ name: 'modules', mode: S_IFDIR | 0o755 });
    for (const { name, dataOffset, dataSize } of entries) {
      if (!name.startsWith('modules/')) continue;
      members.push(file(name, await source.read(dataOffset, dataSize)));
    }
    await source.close();
  }
  // One chunk after the other: each may be used again for the next.
  await writeFile(path, cpioArchive(members, 0).stream());
}
