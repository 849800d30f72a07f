/**
 * Likely causes of a difference, told from how it looks. A cause is a guess with its evidence beside it: what
 * people are pointed to first.
 */

import type { Cause, CauseName } from './finding.ts';

/** Around the first difference: enough for a path or a line. */
const AROUND = 160;

const cause = (name: CauseName, evidence: string): Cause => ({
  name,
  evidence: evidence.length > 200 ? `${evidence.slice(0, 200)}…` : evidence,
});

const isPrintable = (byte: number | undefined): boolean =>
  byte !== undefined && byte >= 0x20 && byte < 0x7f;

/** The printable text around a byte. */
export function textAround(bytes: Uint8Array, at: number): string {
  let from = at;
  let to = at;
  while (from > 0 && at - from < AROUND && isPrintable(bytes[from - 1])) from -= 1;
  while (to < bytes.length && to - at < AROUND && isPrintable(bytes[to])) to += 1;
  return Buffer.from(bytes.subarray(from, to)).toString('latin1');
}

const UUID = /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/i;
const DATE =
  /\b(?:19|20)\d\d[-/.]?(?:0[1-9]|1[0-2])[-/.]?(?:0[1-9]|[12]\d|3[01])(?:[T _-]?[0-2]?\d:?[0-5]\d(?::?[0-5]\d)?)?/;
const ENGLISH_DATE =
  /\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*,? .{0,20}\d\d:\d\d/;
/** Seconds since 1970, from 2001 to 2128. */
const EPOCH = /\b[1-4]\d{9}\b/;
const HOURS = /\b[0-2]?\d:[0-5]\d(?::[0-5]\d)?/;
const PATH = /(?:^|[^\w.])((?:\/[\w.+@~-]+){2,})/;
const USER_AT_HOST = /\b([a-z_][\w-]*)@([\w.-]+)/;
const TOOLCHAIN = /\b(?:GCC: |clang version|gcc version|rustc version|LLD \d|GNU (?:ld|AS|C\d*))/;
const KERNEL = /\bLinux version |\bvermagic=|SMP (?:PREEMPT|mod_unload)/;
const CORES = /(?:\b(?:jobs|threads|cpus?|nproc|cores|workers)\b\s*[=:]?\s*|\s-j)\d+/i;
const LOCALE = /\b(?:LANG|LC_[A-Z]+)=\S+|\b[a-z]{2}_[A-Z]{2}(?:\.UTF-8)?\b/;
const VERSION = /\bv?\d+\.\d+(?:\.\d+)*(?:[-+~][\w.]+)?\b/;

/** Of two texts: whether both have what the pattern finds, and not the same. */
function differs(pattern: RegExp, a: string, b: string, group = 0): string | undefined {
  const [x, y] = [pattern.exec(a)?.[group], pattern.exec(b)?.[group]];
  return x !== undefined && y !== undefined && x !== y ? `${x} and ${y}` : undefined;
}

/** Minutes between two times of day, or undefined when one has none. */
function minutesApart(a: string, b: string): number | undefined {
  const minutes = (text: string): number | undefined => {
    const match = /\b([0-2]?\d):([0-5]\d)/.exec(text);
    return match === null ? undefined : Number(match[1]) * 60 + Number(match[2]);
  };
  const [x, y] = [minutes(a), minutes(b)];
  return x === undefined || y === undefined ? undefined : Math.abs(x - y);
}

/** The cause that two pieces of text speak for, in which the first difference lies. */
export function textCause(a: string, b: string): Cause | undefined {
  if (a === b) return undefined;
  if (a.replaceAll('\r', '') === b.replaceAll('\r', '')) {
    return cause('line-endings', 'they are equal without carriage returns');
  }
  if (differs(KERNEL, `${a} `, `${b} `) ?? (KERNEL.test(a) && KERNEL.test(b))) {
    return cause('kernel-version', `${a} and ${b}`);
  }
  if (TOOLCHAIN.test(a) && TOOLCHAIN.test(b)) return cause('toolchain', `${a} and ${b}`);
  const uuid = differs(UUID, a, b);
  if (uuid !== undefined) return cause('random-uuid', uuid);
  const date = differs(DATE, a, b) ?? differs(ENGLISH_DATE, a, b) ?? differs(HOURS, a, b);
  if (date !== undefined) {
    const apart = minutesApart(date.split(' and ')[0] ?? '', date.split(' and ')[1] ?? '');
    const isZone = apart !== undefined && apart > 0 && apart <= 14 * 60 && apart % 30 === 0;
    return cause(isZone ? 'time-zone' : 'timestamp', date);
  }
  const epoch = differs(EPOCH, a, b);
  if (epoch !== undefined) return cause('timestamp', `${epoch}, seconds since 1970`);
  const cores = differs(CORES, a, b);
  if (cores !== undefined) return cause('core-count', cores);
  const path = differs(PATH, a, b, 1);
  if (path !== undefined) return cause('build-path', path);
  const host = differs(USER_AT_HOST, a, b, 2);
  if (host !== undefined) return cause('hostname', host);
  const user = differs(USER_AT_HOST, a, b, 1);
  if (user !== undefined) return cause('user', user);
  const locale = differs(LOCALE, a, b);
  if (locale !== undefined) return cause('locale', locale);
  const version = differs(VERSION, a, b);
  return version === undefined ? undefined : cause('version', version);
}

/** Whether the lines of two texts are the same in another order, and then why perhaps. */
export function orderCause(a: string, b: string): Cause | undefined {
  if (a.length !== b.length) return undefined;
  const [x, y] = [a.split('\n'), b.split('\n')];
  if (x.length !== y.length || x.length < 2) return undefined;
  const sorted = (lines: readonly string[]): string => lines.toSorted().join('\n');
  if (sorted(x) !== sorted(y)) return undefined;
  const bytes = (lines: readonly string[]): boolean =>
    lines.every((line, index) => index === 0 || (lines[index - 1] ?? '') <= line);
  const isSorted = bytes(x.filter(Boolean)) || bytes(y.filter(Boolean));
  return isSorted
    ? cause('locale', 'one is sorted by bytes, the other has the same lines in another order')
    : cause('order', 'the same lines in another order');
}

/** What the bytes around the first difference speak for. Offsets count in the windows. */
export function bytesCause(
  a: Uint8Array,
  b: Uint8Array,
  at: number,
  file: { readonly offset: number; readonly isGzip: boolean },
): Cause | undefined {
  if (file.isGzip && file.offset >= 4 && file.offset < 8) {
    return cause('mtime', 'the time in the header of gzip');
  }
  if (file.isGzip && file.offset === 8) {
    return cause('compression-level', 'the extra flags in the header of gzip');
  }
  if (file.isGzip && file.offset === 9) return cause('toolchain', 'the system in the gzip header');
  return textCause(textAround(a, at), textAround(b, at));
}

export function modeCause(a: number, b: number): Cause | undefined {
  const changed = a ^ b;
  if ((changed & 0o7700) !== 0 || (changed & 0o077) === 0) return undefined;
  return cause('umask', 'only what the group and others may do differs');
}

export const mtimeCause = (a: number, b: number): Cause => {
  const apart = Math.abs(a - b);
  return apart > 0 && apart <= 14 * 3600 && apart % 1800 === 0
    ? cause('time-zone', `${apart / 3600} h apart`)
    : cause('mtime', `${apart} s apart`);
};

export const ownerCause = (a: string, b: string): Cause => cause('owner', `${a} and ${b}`);

export const namedCause = cause;
