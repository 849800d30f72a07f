/** A file of a bundle when it is whole: brought to the device, and its digest taken meanwhile. */

import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import {
  digestStreams,
  readPayloadParts,
  type DigestedContent,
  type PayloadParts,
} from '../../bundle/attest/payload-parts.ts';
import type { ManifestFile } from '../../bundle/manifest.ts';
import { openDisk } from '../../bundle/open.ts';
import { settleAll } from '../../bundle/settle.ts';
import { digestFile } from '../../cache/store.ts';
import { fileRange } from '../../io/byte-source.ts';
import {
  createNativeFileDigester,
  createNativeRangeDigester,
  type DigestRange,
} from '../../native/file-digest.ts';
import type { NativeLibrary } from '../../native/library.ts';

/** @param name Below `folder`. */
export async function settleFile(
  folder: string,
  name: string,
  library: NativeLibrary | undefined,
): Promise<ManifestFile> {
  const path = join(folder, name);
  const digest = library === undefined ? digestFile : createNativeFileDigester(library);
  const [found] = await Promise.all([digest(path), flush(path)]);
  return { path: name, ...found };
}

async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A payload's disk when it is whole. */
export interface SettledDisk {
  readonly file: ManifestFile;
  /** What is on it, where that was asked for. */
  readonly parts?: PayloadParts | undefined;
}

/**
 * The same of a payload's disk, with the digests of what is on it: the library takes all of them in one pass over the file.
 *
 * @param name Of the payload; null for the default one.
 * @param file The disk's, below `folder`.
 */
export async function settleDisk(
  folder: string,
  { name, file }: { readonly name: string | null; readonly file: string },
  library: NativeLibrary | undefined,
): Promise<SettledDisk> {
  if (library === undefined) {
    const settled = await settleFile(folder, file, library);
    return { file: settled };
  }
  const path = join(folder, file);
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const digester = digestWithWhole(handle, size, library);
    const disk = openDisk(fileRange({ fd: handle.fd, offset: 0 }, size, file));
    // The file must not be closed under either of them.
    const [parts] = await settleAll([
      readPayloadParts(disk, { name, file }, digester.parts),
      handle.sync(),
    ]);
    return { file: { path: file, sha256: digester.whole(), size }, parts };
  } finally {
    await handle.close();
  }
}

/** Digests the whole file together with parts of it. */
function digestWithWhole(
  { fd }: FileHandle,
  size: number,
  library: NativeLibrary,
): { readonly parts: typeof digestStreams; readonly whole: () => string } {
  const digestRanges = createNativeRangeDigester(library);
  let whole = '';
  return {
    async parts(contents) {
      const isInFile = ({ file }: DigestedContent): boolean => file?.fd === fd;
      const ranges = contents
        .filter(isInFile)
        .map((content): DigestRange => ({ offset: content.file?.offset ?? 0, size: content.size }));
      const [first = '', ...inFile] = await digestRanges(fd, [{ offset: 0, size }, ...ranges]);
      const others = await digestStreams(contents.filter((content) => !isInFile(content)));
      whole = first;
      const from = [inFile.values(), others.values()] as const;
      return contents.map((content) => from[isInFile(content) ? 0 : 1].next().value ?? '');
    },
    whole: () => whole,
  };
}
