/**
 * Bootconfig: the text, and the trailer that carries it at the end of an initrd.
 *
 * The text is the flat subset that Android writes: one `key = value` a line, values bare or quoted, lists
 * comma-separated, comments. Trees (`{`), `+=` and `:=` are refused, not guessed at.
 *
 * FORMAT of the trailer: text, zeros to a multiple of 4, u32le size of both, u32le sum of their bytes,
 * `#BOOTCONFIG\n`.
 *
 * @see Documentation/admin-guide/bootconfig.rst of Linux
 */

import { FormatError } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { bytes, le, struct } from '../struct.ts';

/** The largest text that Linux takes, without its NUL: XBC_DATA_MAX. */
const BOOTCONFIG_MAX_SIZE = 32767;

const MAGIC = '#BOOTCONFIG\n';

/** What ends an initrd with a bootconfig. */
const footer = struct('bootconfig footer', 20, {
  size: le.u32,
  checksum: le.u32,
  magic: bytes(12),
});

/** One key with its values; most have one. */
export interface BootconfigEntry {
  readonly key: string;
  readonly values: readonly string[];
}

const KEY = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;
const BARE = /^[^\s"',;#{}=+]+$/;

function quote(value: string): string {
  if (!/^[\x20-\x7e]*$/.test(value)) {
    throw new RangeError(`Cannot store bootconfig value ${JSON.stringify(value)}: not ASCII text`);
  }
  if (!value.includes('"')) return `"${value}"`;
  if (!value.includes("'")) return `'${value}'`;
  throw new RangeError(
    `Cannot store bootconfig value ${JSON.stringify(value)}: it has both quotes`,
  );
}

/**
 * Writes one line an entry, in order. Single whole numbers stay bare, everything else is quoted.
 *
 * @throws {RangeError} on a key or value that bootconfig cannot hold, a key given twice, or too much text.
 */
export function formatBootconfig(entries: readonly BootconfigEntry[]): string {
  const seen = new Set<string>();
  const lines = entries.map(({ key, values }) => {
    if (!KEY.test(key)) throw new RangeError(`Cannot store bootconfig key ${JSON.stringify(key)}`);
    if (seen.has(key)) throw new RangeError(`Cannot store bootconfig key "${key}" twice`);
    seen.add(key);
    const [only = ''] = values;
    const bare = values.length === 1 && /^[0-9]+$/.test(only);
    if (values.length === 0) throw new RangeError(`Cannot store bootconfig key "${key}": no value`);
    return `${key} = ${bare ? only : values.map(quote).join(', ')}\n`;
  });
  const text = lines.join('');
  if (text.length > BOOTCONFIG_MAX_SIZE) {
    throw new RangeError(
      `Cannot store bootconfig of ${text.length} bytes: Linux takes ${BOOTCONFIG_MAX_SIZE}`,
    );
  }
  return text;
}

function refuse(
  code: 'bad-value' | 'duplicate' | 'bad-magic' | 'bad-checksum' | 'too-large' | 'truncated',
  message: string,
  offset?: number,
): never {
  throw new FormatError('bootconfig', code, `Cannot read bootconfig: ${message}`, {
    ...(offset !== undefined && { offset }),
  });
}

/** Splits `a, "b", 'c' # comment` into values. */
function parseValues(text: string, line: number): string[] {
  const values: string[] = [];
  for (let rest = text.trim(); ;) {
    const quoted = /^(?:"([^"]*)"|'([^']*)')/.exec(rest);
    const bare = /^[^\s"',;#{}=+]+/.exec(rest);
    if (quoted !== null) {
      values.push(quoted[1] ?? quoted[2] ?? '');
      rest = rest.slice(quoted[0].length).trimStart();
    } else if (bare !== null && BARE.test(bare[0])) {
      values.push(bare[0]);
      rest = rest.slice(bare[0].length).trimStart();
    } else if (values.length === 0 && (rest === '' || rest.startsWith('#'))) {
      return [''];
    } else {
      return refuse('bad-value', `line ${line} has no value where one must stand`);
    }
    if (rest === '' || rest.startsWith('#')) return values;
    if (!rest.startsWith(',')) return refuse('bad-value', `line ${line} goes on behind its value`);
    rest = rest.slice(1).trimStart();
  }
}

/**
 * Parses the flat subset.
 *
 * @throws {FormatError} on anything else, and on a key that is given twice.
 */
export function parseBootconfig(text: string): BootconfigEntry[] {
  if (text.length > BOOTCONFIG_MAX_SIZE) refuse('too-large', `it has ${text.length} bytes`);
  const entries = new Map<string, BootconfigEntry>();
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (!/^[\x20-\x7e\t]*$/.test(line)) refuse('bad-value', `line ${index + 1} is not ASCII text`);
    if (line === '' || line.startsWith('#')) continue;
    const match = /^([A-Za-z0-9_.-]+)\s*=(.*)$/.exec(line);
    const key = match?.[1] ?? '';
    if (match === null || !KEY.test(key))
      refuse('bad-value', `line ${index + 1} is not "key = value"`);
    if (entries.has(key)) refuse('duplicate', `line ${index + 1} gives "${key}" again`);
    entries.set(key, { key, values: parseValues(match[2] ?? '', index + 1) });
  }
  return [...entries.values()];
}

const checksum = (data: Uint8Array): number => data.reduce((sum, byte) => (sum + byte) >>> 0, 0);

/**
 * Text with its trailer: what is put behind an initrd.
 *
 * @param offset Where it will stand: the padding makes the end of the file a multiple of 4.
 * @throws {RangeError} when the text is too long or not ASCII.
 */
export function encodeBootconfigTrailer(text: string, offset = 0): Uint8Array {
  const data = new TextEncoder().encode(text);
  if (data.length !== text.length || data.includes(0)) {
    throw new RangeError('Cannot store bootconfig: its text is not ASCII');
  }
  if (data.length > BOOTCONFIG_MAX_SIZE) {
    throw new RangeError(`Cannot store bootconfig of ${data.length} bytes`);
  }
  const size = alignUp(offset + data.length, 4) - offset;
  const out = new Uint8Array(size + footer.size);
  out.set(data);
  const magic = new TextEncoder().encode(MAGIC);
  out.set(footer.encode({ size, checksum: checksum(data), magic }), size);
  return out;
}

export interface AttachedBootconfig {
  /** Where the text begins: the size of the initrd without it. */
  readonly offset: number;
  /** Text and padding, in bytes. */
  readonly size: number;
  readonly text: string;
}

/**
 * Reads the bootconfig at the end of an initrd, or undefined when it ends otherwise.
 *
 * @throws {FormatError} when the trailer is there but does not hold.
 */
export async function readBootconfigTrailer(
  initrd: ByteSource,
): Promise<AttachedBootconfig | undefined> {
  if (initrd.size < footer.size) return undefined;
  const end = initrd.size - footer.size;
  const { size, checksum: expected, magic } = footer.decode(await initrd.read(end, footer.size));
  if (Buffer.from(magic).toString('latin1') !== MAGIC) return undefined;
  // Up to three zeros of padding may follow a text of the largest size.
  if (size > BOOTCONFIG_MAX_SIZE + 3) refuse('too-large', `it has ${size} bytes`, end);
  if (size > end) refuse('truncated', `its trailer says ${size} bytes, the file has ${end}`, end);
  const offset = end - size;
  const data = await initrd.read(offset, size);
  const actual = checksum(data);
  if (actual !== expected) {
    refuse('bad-checksum', `its bytes add up to ${actual}, its trailer says ${expected}`, end + 4);
  }
  let length = data.length;
  while (length > 0 && data.length - length < 3 && data[length - 1] === 0) length--;
  const text = Buffer.from(data.subarray(0, length)).toString('latin1');
  if (!/^[\x20-\x7e\t\n\r]*$/.test(text)) refuse('bad-value', 'it is not ASCII text', offset);
  return { offset, size, text };
}
