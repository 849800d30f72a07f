/**
 * The files of a Debian package.
 *
 * @see deb(5)
 */

import { FormatError } from '../../core/errors.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import type { Directory } from '../../io/file-tree.ts';
import { tarToTree, type TarTreeOptions } from './tree.ts';
import { arMemberSource, readAr } from '../ar/ar.ts';

/**
 * Finds the archive with a package's files.
 *
 * @throws {FormatError} when the source is not a Debian package of format 2.
 */
async function debData(deb: ByteSource): Promise<ByteSource> {
  const members = await readAr(deb);
  const [version, ...rest] = members;
  const refuse = (why: string): never => {
    throw new FormatError('deb', 'bad-value', `Cannot read package ${deb.name}: ${why}`);
  };
  if (version?.name !== 'debian-binary' || version.size > 64) {
    return refuse('its first member is not "debian-binary"');
  }
  const format = Buffer.from(await arMemberSource(deb, version).read(0, version.size));
  if (!/^2\.\d+\n/.test(format.toString('latin1'))) refuse('it is not of format 2');
  const data = rest.filter(({ name }) => /^data\.tar(?:\.(?:xz|gz|zst))?$/.test(name));
  const [only] = data;
  if (only === undefined || data.length !== 1) {
    return refuse(
      `one member "data.tar" is needed, found ${members.map(({ name }) => name).join(', ')}`,
    );
  }
  return arMemberSource(deb, only);
}

/**
 * Reads the files of a package into a tree. Nothing of it is run.
 *
 * @throws {FormatError} naming package, member and entry, when it is damaged, cut off or hostile.
 */
export async function debToTree(deb: ByteSource, options: TarTreeOptions = {}): Promise<Directory> {
  return tarToTree(await debData(deb), options);
}
