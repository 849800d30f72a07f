/** Which comparison goes with which format. */

import { bootPart, readAndroidBoot } from '../../formats/boot-image/android-boot.ts';
import { readSparse, sparseSource } from '../../formats/sparse/reader.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { arEntries, tarEntries } from '../entries/archives.ts';
import type { FileKind } from '../file-kind.ts';
import { dumpFile } from '../inspect-file.ts';
import { compareApks, compareZips } from './apk.ts';
import { compareDisks } from './disk.ts';
import { compareDumps, type Judge } from './dumps.ts';
import { compareElfs } from './elf.ts';
import { compareEntries } from './entries.ts';
import { compareIdsigs } from './idsig.ts';
import { compareImages } from './image.ts';
import { compareInitrds } from './initrd.ts';
import { compareJson } from './json.ts';
import { compareKernels } from './kernel.ts';
import type { Scope } from './recorder.ts';
import { compareVbmeta } from './vbmeta.ts';

type Comparer = (scope: Scope, a: ByteSource, b: ByteSource) => Promise<void>;

/** By what `inspect` shows of them. */
const byDump =
  (kind: FileKind, judge?: Judge): Comparer =>
  async (scope, a, b) =>
    compareDumps(scope, await dumpFile(kind, a), await dumpFile(kind, b), judge);

const asContent: Judge = () => ({ level: 'content' });

const compareBoots: Comparer = async (scope, a, b) => {
  const [x, y] = [await readAndroidBoot(a), await readAndroidBoot(b)];
  await byDump('boot.img', (_part, field) => ({
    nature: /offset|size/.test(field) ? 'consequence' : 'origin',
  }))(scope, a, b);
  for (const part of ['kernel', 'ramdisk', 'second', 'recovery_dtbo', 'dtb'] as const) {
    await scope.inside(part).content(bootPart(a, x, part), bootPart(b, y, part));
  }
};

const compareSparse: Comparer = async (scope, a, b) => {
  const [x, y] = [await readSparse(a), await readSparse(b)];
  await scope.inside('expanded').content(sparseSource(a, x), sparseSource(b, y));
};

export const comparers: Readonly<Record<FileKind, Comparer>> = {
  apk: compareApks,
  idsig: compareIdsigs,
  vbmeta: compareVbmeta,
  erofs: compareImages,
  gpt: compareDisks,
  initrd: compareInitrds,
  kernel: compareKernels,
  'payload-metadata': byDump('payload-metadata', asContent),
  verity: byDump('verity'),
  'fs-verity': byDump('fs-verity'),
  'boot.img': compareBoots,
  sparse: compareSparse,
  dsse: byDump('dsse', asContent),
  axml: byDump('axml', asContent),
  dice: byDump('dice', asContent),
  elf: compareElfs,
  json: compareJson,
  zip: compareZips,
  tar: (scope, a, b) => compareEntries(scope, tarEntries(a), tarEntries(b), { places: [] }),
  deb: (scope, a, b) => compareEntries(scope, arEntries(a), arEntries(b), { places: ['offset'] }),
};
