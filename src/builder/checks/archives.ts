/** Archives of the recipe begin as what they are said to be. */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { headerChecksum, posixHeader, TAR_BLOCK } from '../../formats/tar/layout.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import type { CheckContext } from './context.ts';
import { readHead } from './read-head.ts';

type Kind = 'deb' | 'tar' | 'zip';
type Found = Kind | 'packed' | 'bzip2';

/** Where a tar archive says `ustar`; old ones do not. */
const USTAR_OFFSET = 257;

const startsWith = (bytes: Uint8Array, text: string, at = 0): boolean =>
  Buffer.from(bytes.subarray(at, at + text.length)).toString('latin1') === text;

/** What a file is by its first bytes, if one can tell. */
function kindOf(head: Uint8Array): Found | undefined {
  if (startsWith(head, '!<arch>\n')) return 'deb';
  if (startsWith(head, 'PK\x03\x04') || startsWith(head, 'PK\x05\x06')) return 'zip';
  if (startsWith(head, 'ustar', USTAR_OFFSET) || isOldTar(head)) return 'tar';
  if (startsWith(head, 'BZh')) return 'bzip2';
  const isPacked = ['\x1f\x8b', '\xfd7zXZ\x00', '\x28\xb5\x2f\xfd'].some((magic) =>
    startsWith(head, magic),
  );
  return isPacked ? 'packed' : undefined;
}

/** Whether a block has the checksum of a header, or is one of the zeros at the end. */
function isOldTar(head: Uint8Array): boolean {
  if (head.length < TAR_BLOCK) return false;
  const { chksum } = posixHeader.decode(head);
  const written = Number.parseInt(Buffer.from(chksum).toString('latin1'), 8);
  return written === headerChecksum(head) || head.every((byte) => byte === 0);
}

const NAMES: Readonly<Record<Found, string>> = {
  deb: 'a Debian package',
  tar: 'a tar archive',
  zip: 'a ZIP archive',
  bzip2: 'packed with bzip2',
  packed: 'packed data',
};

const FORMS: Readonly<Record<Kind, string>> = {
  deb: 'deb: ./FILE.deb',
  tar: 'tar: FILE',
  zip: 'zip: FILE',
};

export async function checkArchives(context: CheckContext): Promise<void> {
  const { recipe } = context;
  for (const [name, { contents }] of Object.entries(recipe.data.partitions)) {
    for (const [index, source] of contents.entries()) {
      const at = ['partitions', name, 'contents', index];
      if ('deb' in source) await expect(context, [...at, 'deb'], source.deb, ['deb']);
      else if ('tar' in source)
        await expect(context, [...at, 'tar'], source.tar, ['tar', 'packed']);
      else if ('zip' in source) await expect(context, [...at, 'zip'], source.zip, ['zip']);
      else if ('apk' in source) await expect(context, [...at, 'apk'], source.apk, ['zip']);
      else if ('oci' in source) await checkLayout(context, [...at, 'oci'], source.oci);
    }
  }
  for (const { at, data } of context.payloads) {
    for (const [index, { apk }] of data.extraApks.entries()) {
      await expect(context, [...at, 'extraApks', index, 'apk'], apk, ['zip']);
    }
  }
}

async function expect(
  context: CheckContext,
  at: RecipePath,
  path: string,
  wanted: readonly (Kind | 'packed')[],
): Promise<void> {
  const real = context.realPath(at);
  if (real === undefined) return;
  const head = await readHead(real, TAR_BLOCK);
  const found = kindOf(head);
  const [first = 'tar'] = wanted;
  if (head.length === 0) {
    context.tell(at, `"${path}" is empty`, `Name ${NAMES[first]}`);
  } else if (found === 'bzip2') {
    const hint = first === 'tar' ? 'Pack it with gzip, xz or zstd' : `Name ${NAMES[first]}`;
    context.tell(at, `"${path}" is ${NAMES[found]}`, hint);
  } else if (found !== undefined && !wanted.includes(found)) {
    const hint = found === 'packed' ? `Name ${NAMES[first]}` : `Write ${FORMS[found]}`;
    context.tell(at, `"${path}" is ${NAMES[found]}, not ${NAMES[first]}`, hint);
  } else if (found === undefined) {
    context.tell(at, `"${path}" does not begin as ${NAMES[first]} does`, `Name ${NAMES[first]}`);
  }
}

/** A layout folder has a file that says so. @see https://specs.opencontainers.org/image-spec/image-layout/ */
async function checkLayout(context: CheckContext, at: RecipePath, path: string): Promise<void> {
  const real = context.realPath(at);
  if (real === undefined) return;
  if ((await stat(real)).isFile()) return expect(context, at, path, ['tar', 'packed']);
  const marker = await stat(join(real, 'oci-layout')).catch(() => undefined);
  if (marker?.isFile() === true) return;
  context.tell(
    at,
    `"${path}" is no image layout: it has no file oci-layout`,
    'Write dir: for a folder of files',
  );
}
