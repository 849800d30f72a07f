/**
 * `META-INF/MANIFEST.MF` and `*.SF`: sections of attributes, as Android's readers take them apart.
 *
 * They are more liberal than the specification: lines end with CR LF, CR or LF, and are as long as
 * they like; names and values keep their spaces; a line without `: ` is a name without a value.
 *
 * @see https://docs.oracle.com/javase/8/docs/technotes/guides/jar/jar.html#JAR_Manifest
 */

import { FormatError } from '../../core/errors.ts';

export const MANIFEST_NAME = 'META-INF/MANIFEST.MF';
export const META_INF = 'META-INF/';

export interface ManifestAttribute {
  readonly name: string;
  readonly value: string;
}

export interface ManifestSection {
  /** Where the section stands in its file, with the empty line that ends it, in bytes. */
  readonly offset: number;
  readonly size: number;
  /** Of its first attribute, if that is `Name`. */
  readonly name: string | undefined;
  /** In the order of the file; names may repeat. */
  readonly attributes: readonly ManifestAttribute[];
}

export interface Manifest {
  /** The first section; undefined where there is none. */
  readonly main: ManifestSection | undefined;
  /** All others. */
  readonly sections: readonly ManifestSection[];
}

/** Not fatal: what is not UTF-8 is a name that no entry has. */
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;

/** The line at `start`: where it ends, and where the next one starts. */
function lineAt(bytes: Uint8Array, start: number): { end: number; next: number } {
  for (let at = start; at < bytes.length; at++) {
    if (bytes[at] === LF) return { end: at, next: at + 1 };
    if (bytes[at] === CR) return { end: at, next: bytes[at + 1] === LF ? at + 2 : at + 1 };
  }
  return { end: bytes.length, next: bytes.length };
}

/** The lines of one attribute, joined; a line that starts with a space continues the one before. */
function attributeAt(
  bytes: Uint8Array,
  start: number,
): { attribute: ManifestAttribute; next: number } {
  const first = lineAt(bytes, start);
  const pieces = [bytes.subarray(start, first.end)];
  let { next } = first;
  while (next < bytes.length && bytes[next] === SPACE) {
    const line = lineAt(bytes, next);
    pieces.push(bytes.subarray(next + 1, line.end));
    next = line.next;
  }
  const text = utf8.decode(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces));
  const colon = text.indexOf(': ');
  const attribute =
    colon === -1
      ? { name: text, value: '' }
      : { name: text.slice(0, colon), value: text.slice(colon + 2) };
  return { attribute, next };
}

const isNamed = (name: string, wanted: string): boolean =>
  name.length === wanted.length && name.toLowerCase() === wanted.toLowerCase();

/** An archive has no more entries, so no more sections have anything to say. */
const MAX_SECTIONS = 65_536;
/** Of all sections together: a name, two digests and what tools like to add. */
const MAX_ATTRIBUTES = 4 * MAX_SECTIONS;

function checkCount(count: number, maximum: number, what: string, offset: number): void {
  if (count <= maximum) return;
  throw new FormatError(
    'jar',
    'too-large',
    `Cannot read JAR manifest: more than ${maximum} ${what}`,
    {
      offset,
    },
  );
}

/**
 * Takes a manifest or signature file apart. Every byte string is one, up to the limits.
 *
 * @throws {FormatError} `jar` `too-large` when there are more sections than an archive has entries.
 */
export function parseManifest(bytes: Uint8Array): Manifest {
  const sections: ManifestSection[] = [];
  let count = 0;
  for (let at = 0; at < bytes.length;) {
    const line = lineAt(bytes, at);
    if (line.end === at) {
      at = line.next;
      continue;
    }
    const offset = at;
    const attributes: ManifestAttribute[] = [];
    while (at < bytes.length) {
      const { end, next } = lineAt(bytes, at);
      if (end === at) {
        at = next;
        break;
      }
      const read = attributeAt(bytes, at);
      attributes.push(read.attribute);
      checkCount((count += 1), MAX_ATTRIBUTES, 'attributes', at);
      at = read.next;
    }
    checkCount(sections.length + 1, MAX_SECTIONS, 'sections', offset);
    const [first] = attributes;
    const name = first !== undefined && isNamed(first.name, 'Name') ? first.value : undefined;
    sections.push({ offset, size: at - offset, name, attributes });
  }
  const [main, ...others] = sections;
  return { main, sections: others };
}

/** The value of the first attribute of this name; case does not count. */
export function findAttribute(section: ManifestSection, name: string): string | undefined {
  return section.attributes.find((attribute) => isNamed(attribute.name, name))?.value;
}

/** Of a line with its end: 72 bytes, of which CR and LF take two. */
const MAX_LINE = 70;
const LINE_END = '\r\n';

function encodeLine({ name, value }: ManifestAttribute): Uint8Array {
  const text = Buffer.from(`${name}: ${value}`, 'utf8');
  if (text.includes(CR) || text.includes(LF) || text.includes(0)) {
    throw new FormatError(
      'jar',
      'bad-value',
      `Cannot write JAR manifest: ${JSON.stringify(name)} has a line end or a NUL in its value ${JSON.stringify(value)}`,
    );
  }
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < text.length;) {
    const room = at === 0 ? MAX_LINE : MAX_LINE - 1;
    if (at > 0) pieces.push(Buffer.from(' '));
    pieces.push(text.subarray(at, at + room), Buffer.from(LINE_END));
    at += room;
  }
  return Buffer.concat(pieces);
}

/** Names are sorted by their UTF-16 code units, as Java sorts strings. */
export const inNameOrder = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * Writes a section, with the empty line that ends it.
 *
 * @param first `Manifest-Version`, `Signature-Version` or `Name`: the others follow in order.
 * @throws {FormatError} `jar` when a value has characters that cannot be written.
 */
export function encodeSection(
  first: ManifestAttribute,
  others: readonly ManifestAttribute[],
): Uint8Array {
  const sorted = others.toSorted((a, b) => inNameOrder(a.name, b.name));
  return new Uint8Array(
    Buffer.concat([...[first, ...sorted].map(encodeLine), Buffer.from(LINE_END)]),
  );
}
