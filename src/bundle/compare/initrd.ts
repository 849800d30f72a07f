/** Compares two initrds: the archives' members, then the bootconfig key by key. */

import { FormatError } from '../../core/errors.ts';
import {
  parseBootconfig,
  readBootconfigTrailer,
  type BootconfigEntry,
} from '../../formats/boot-image/bootconfig.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { cpioEntries } from '../entries/archives.ts';
import { namedCause } from './causes.ts';
import { compareEntries } from './entries.ts';
import type { Nature } from './finding.ts';
import type { Scope } from './recorder.ts';

/** Where members stand, and numbers that only must differ among themselves. */
const PLACES = ['offset', 'dataOffset', 'ino'];
/** Our initrds have the bootconfig twice; keys are told once. */
const BOOTCONFIG_MEMBER = 'bootconfig';

/** @param isAlone The images are not compared from which digests in the bootconfig follow. */
export async function compareInitrds(
  scope: Scope,
  a: ByteSource,
  b: ByteSource,
  isAlone = true,
): Promise<void> {
  const [x, y] = [await bootconfigOf(a), await bootconfigOf(b)];
  const isTwice = x !== undefined && y !== undefined;
  await compareEntries(scope, cpioEntries(a), cpioEntries(b), {
    places: PLACES,
    natureOf: (name): Nature => (isTwice && name === BOOTCONFIG_MEMBER ? 'consequence' : 'origin'),
  });
  compareBootconfigs(scope.at('bootconfig'), x ?? [], y ?? [], isAlone);
}

async function bootconfigOf(source: ByteSource): Promise<readonly BootconfigEntry[] | undefined> {
  try {
    const attached = await readBootconfigTrailer(source);
    return attached && parseBootconfig(attached.text);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

function compareBootconfigs(
  scope: Scope,
  a: readonly BootconfigEntry[],
  b: readonly BootconfigEntry[],
  isAlone: boolean,
): void {
  const table = (entries: readonly BootconfigEntry[]): Map<string, string> =>
    new Map(entries.map(({ key, values }) => [key, values.join(', ')]));
  const [x, y] = [table(a), table(b)];
  for (const key of new Set([...x.keys(), ...y.keys()])) {
    const [left, right] = [x.get(key), y.get(key)];
    if (left === right) continue;
    const isDigest = /\.(?:digest|size)$/.test(key);
    const isKey = key.endsWith('.certificates');
    scope.found({
      level: 'content',
      nature: isKey ? 'signature' : isDigest && !isAlone ? 'consequence' : 'origin',
      change: left === undefined ? 'added' : right === undefined ? 'removed' : 'changed',
      field: key,
      ...(left !== undefined && { a: left }),
      ...(right !== undefined && { b: right }),
      ...(isKey && { cause: namedCause('key', 'the payload is signed with another key') }),
    });
  }
  const order = (entries: Map<string, string>, other: Map<string, string>): string =>
    [...entries.keys()].filter((key) => other.has(key)).join();
  if (order(x, y) !== order(y, x)) {
    scope.found({
      level: 'structure',
      field: 'order',
      cause: namedCause('order', 'the same keys in another order'),
    });
  }
}
