/** Compares two initrds: the archives' members, then the bootconfig key by key. */

import { equalBytes } from '../../core/digest.ts';
import { FormatError } from '../../core/errors.ts';
import {
  formatBootconfig,
  parseBootconfig,
  readBootconfigTrailer,
  type BootconfigEntry,
} from '../../formats/boot-image/bootconfig.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { cpioEntries } from '../entries/archives.ts';
import { namedCause } from './causes.ts';
import { compareEntries } from './entries.ts';
import type { Proof, Scope } from './recorder.ts';
import { compareResidue } from './residue.ts';

/** Where members stand, and numbers that only must differ among themselves. */
const PLACES = ['offset', 'dataOffset', 'ino'];
/** Our initrds have the bootconfig twice; keys are told once. */
const BOOTCONFIG_MEMBER = 'bootconfig';
/** What follows from the vbmeta image that the initrd pins. */
const PINS = new Set(['androidboot.vbmeta.digest', 'androidboot.vbmeta.size']);
const CERTIFICATES = 'microbuild.payload.certificates';

/** @param isAlone The images are not compared from which digests in the bootconfig follow. */
export async function compareInitrds(
  scope: Scope,
  a: ByteSource,
  b: ByteSource,
  isAlone = true,
): Promise<void> {
  const [x, y] = [await bootconfigOf(a), await bootconfigOf(b)];
  const isTwice = x !== undefined && y !== undefined;
  const before = scope.told();
  await compareEntries(scope, cpioEntries(a), cpioEntries(b), {
    places: PLACES,
    dataOf: (name) =>
      isTwice && name === BOOTCONFIG_MEMBER
        ? { nature: 'consequence', proof: () => isCopied(a, b) }
        : undefined,
  });
  compareBootconfigs(scope.at('bootconfig'), x?.entries ?? [], y?.entries ?? [], isAlone);
  if (scope.told().origins > before.origins) return;
  const isTold = (path: string): boolean =>
    /^\/member "bootconfig"\/(?:data|c_filesize)$/.test(path) ||
    // Keys are compared by what they say; how that is written is the same wherever we write it.
    (hasOurForm(x) && hasOurForm(y) && /^\/bootconfig\/(?:text|size|checksum)$/.test(path));
  await compareResidue(scope, 'initrd', a, b, isTold);
}

interface Attached {
  readonly text: string;
  readonly entries: readonly BootconfigEntry[];
}

const hasOurForm = (of: Attached | undefined): boolean => {
  if (of === undefined) return true;
  try {
    return formatBootconfig(of.entries) === of.text;
  } catch (error) {
    if (error instanceof RangeError || error instanceof FormatError) return false;
    throw error;
  }
};

/** Whether the member of the archive says what the end of the file does. */
async function isCopied(...sources: readonly [a: ByteSource, b: ByteSource]): ReturnType<Proof> {
  const wrong = async (source: ByteSource): Promise<string | undefined> => {
    const { offset = source.size } = (await readBootconfigTrailer(source)) ?? {};
    const end = await source.read(offset, source.size - offset);
    for await (const { entry } of cpioEntries(source).entries()) {
      if (entry.name !== BOOTCONFIG_MEMBER || entry.stored === undefined) continue;
      const { stored } = entry;
      const isSame =
        stored.size === end.length && equalBytes(await stored.read(0, stored.size), end);
      if (!isSame) return 'its archive has another bootconfig than its end';
    }
    return undefined;
  };
  const [a, b] = [await wrong(sources[0]), await wrong(sources[1])];
  return a === undefined && b === undefined ? undefined : { ...(a && { a }), ...(b && { b }) };
}

async function bootconfigOf(source: ByteSource): Promise<Attached | undefined> {
  try {
    const attached = await readBootconfigTrailer(source);
    return attached && { text: attached.text, entries: parseBootconfig(attached.text) };
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
    const isPin = PINS.has(key);
    const isKey = key === CERTIFICATES && scope.chain !== undefined;
    scope.found({
      level: 'content',
      nature: isKey ? 'signature' : isPin && !isAlone ? 'consequence' : 'origin',
      proof: scope.chain,
      change: left === undefined ? 'added' : right === undefined ? 'removed' : 'changed',
      field: key,
      ...(left !== undefined && { a: left }),
      ...(right !== undefined && { b: right }),
      ...(key === CERTIFICATES && {
        cause: namedCause('key', 'the payload is signed with another key'),
      }),
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
