/**
 * The `ar` archive, as far as Debian packages use it: short names, no symbol table.
 *
 * FORMAT: `!<arch>\n`, then members: 60 bytes of header in ASCII, data, `\n` where the data is odd.
 *
 * @see deb(5), ar(5)
 */

import { FormatError } from '../../core/errors.ts';
import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import { bytes, struct } from '../struct.ts';

const MAGIC = '!<arch>\n';
/** A Debian package has three members; this bounds the work on a hostile one. */
const MAX_MEMBERS = 64;

/** `struct ar_hdr`: text fields, padded with spaces. */
export const arHeader = struct('ar_hdr', 60, {
  ar_name: bytes(16),
  ar_date: bytes(12),
  ar_uid: bytes(6),
  ar_gid: bytes(6),
  ar_mode: bytes(8),
  ar_size: bytes(10),
  ar_fmag: bytes(2),
});

export interface ArMember {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

function refuse(
  code: 'truncated' | 'bad-magic' | 'bad-value' | 'duplicate' | 'too-large',
  why: string,
  offset: number,
): never {
  throw new FormatError('ar', code, `Cannot read ar archive: ${why}`, { offset });
}

const text = (data: Uint8Array): string => Buffer.from(data).toString('latin1').trimEnd();

/**
 * Lists the members.
 *
 * @throws {FormatError} when a header does not parse, a member is cut off or a name comes twice.
 */
export async function readAr(source: ByteSource): Promise<ArMember[]> {
  const head = source.size < MAGIC.length ? '' : text(await source.read(0, MAGIC.length));
  if (head !== MAGIC.trimEnd()) refuse('bad-magic', `${source.name} does not begin as one`, 0);
  const members: ArMember[] = [];
  for (let at = MAGIC.length; at < source.size;) {
    if (source.size - at < arHeader.size) refuse('truncated', 'a header is cut off', at);
    const raw = arHeader.decode(await source.read(at, arHeader.size));
    if (text(raw.ar_fmag) !== '`') refuse('bad-magic', 'a header does not end as one', at + 58);
    const name = text(raw.ar_name).replace(/\/$/, '');
    if (!/^[A-Za-z0-9_][A-Za-z0-9_.+-]*$/.test(name)) {
      refuse('bad-value', `a member is called ${JSON.stringify(name)}`, at);
    }
    if (members.some((member) => member.name === name)) {
      refuse('duplicate', `it has two members "${name}"`, at);
    }
    const digits = text(raw.ar_size);
    if (!/^\d{1,10}$/.test(digits)) refuse('bad-value', `member "${name}" has no size`, at + 48);
    const size = Number(digits);
    const offset = at + arHeader.size;
    if (size > source.size - offset) {
      refuse('truncated', `member "${name}" of ${size} bytes is cut off`, offset);
    }
    if (members.length === MAX_MEMBERS)
      refuse('too-large', `it has more than ${MAX_MEMBERS} members`, at);
    members.push({ name, offset, size });
    at = offset + size + (size % 2);
  }
  return members;
}

/** The data of a member; errors name archive and member. */
export function arMemberSource(source: ByteSource, member: ArMember): ByteSource {
  return sliceSource(source, member.offset, member.size, `${source.name}: ${member.name}`);
}
