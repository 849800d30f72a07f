/**
 * Whether steps are what their inputs make them: actions whose results are kept are run again, and what both runs made is
 * compared byte by byte. A cache hides a step that never makes the same twice; this finds it.
 */

import { createHash, randomBytes } from 'node:crypto';
import { sha256, toHex } from '../core/digest.ts';
import { openFileSource, type ByteSource } from '../io/byte-source.ts';
import { canonicalJson, type Json } from './canonical-json.ts';
import { quarantine, type Difference, type Finding } from './quarantine.ts';
import type { Cache, StoredFile } from './store.ts';

export interface Audit {
  /** How many of 100 actions are run again: 0..100. */
  readonly percent: number;
  /** Decides which: the same seed takes the same actions. */
  readonly seed: string;
  /** The mnemonics of the actions that ran again. */
  readonly audited: string[];
  /** Those that made something else. */
  readonly findings: Finding[];
}

/** @param seed Default: another one each time, so that in time all actions are looked at. */
export function startAudit(percent: number, seed = randomBytes(8).toString('hex')): Audit {
  if (!(percent >= 0 && percent <= 100)) {
    throw new RangeError(`Cannot audit ${percent} % of the actions`);
  }
  return { percent, seed, audited: [], findings: [] };
}

/** Whether an action is among those that this audit runs again. */
export function isSampled({ percent, seed }: Audit, key: string): boolean {
  const digest = createHash('sha256').update(`${seed}\0${key}`).digest();
  return digest.readUInt32BE() < (percent / 100) * 2 ** 32;
}

/** What a run made. */
interface Run {
  readonly value: unknown;
  readonly outputs: Readonly<Record<string, StoredFile>>;
  readonly folders: Readonly<Record<string, Readonly<Record<string, StoredFile>>>>;
}

/** Compares what was kept with what was made now; puts an action that made something else into quarantine. */
export async function compareRuns(
  cache: Cache,
  audit: Audit,
  action: Pick<Finding, 'mnemonic' | 'key'>,
  kept: Run,
  fresh: Run,
): Promise<void> {
  audit.audited.push(action.mnemonic);
  const before = filesOf(kept);
  const after = filesOf(fresh);
  const differences: Difference[] = [];
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  for (const output of names) {
    const difference = await differenceOf(output, before.get(output), after.get(output));
    if (difference !== undefined) differences.push(difference);
  }
  const values = [kept.value, fresh.value].map((value) =>
    Buffer.from(canonicalJson(value as Json)),
  );
  const [old = Buffer.alloc(0), now = Buffer.alloc(0)] = values;
  if (!old.equals(now)) {
    const describe = (bytes: Buffer): Difference['kept'] => ({
      sha256: toHex(sha256(bytes)),
      size: bytes.length,
    });
    const offset = firstDifference(old, now) ?? Math.min(old.length, now.length);
    differences.push({ output: 'value', offset, kept: describe(old), fresh: describe(now) });
  }
  if (differences.length === 0) return;
  const finding = { ...action, differences };
  audit.findings.push(finding);
  await quarantine(cache.directory, finding);
  await cache.dropActionResult(action.key);
}

function filesOf({ outputs, folders }: Run): Map<string, StoredFile> {
  const files = new Map(Object.entries(outputs));
  for (const [folder, each] of Object.entries(folders)) {
    for (const [name, file] of Object.entries(each)) files.set(`${folder}/${name}`, file);
  }
  return files;
}

const NOTHING = { sha256: toHex(sha256(new Uint8Array(0))), size: 0 };

async function differenceOf(
  output: string,
  kept: StoredFile | undefined,
  fresh: StoredFile | undefined,
): Promise<Difference | undefined> {
  // Both are in the store, where a digest has one file; so equal digests are equal bytes.
  if (kept?.sha256 === fresh?.sha256) return undefined;
  const describe = (file: StoredFile | undefined): Difference['kept'] =>
    file === undefined ? NOTHING : { sha256: file.sha256, size: file.size };
  const offset = kept && fresh ? await firstDifferenceOfFiles(kept.path, fresh.path) : 0;
  return { output, offset, kept: describe(kept), fresh: describe(fresh) };
}

const PIECE = 1 << 20;

async function firstDifferenceOfFiles(a: string, b: string): Promise<number> {
  const first = await openFileSource(a, a);
  try {
    const second = await openFileSource(b, b);
    try {
      return await firstDifferenceOfSources(first, second);
    } finally {
      await second.close();
    }
  } finally {
    await first.close();
  }
}

async function firstDifferenceOfSources(a: ByteSource, b: ByteSource): Promise<number> {
  const end = Math.min(a.size, b.size);
  for (let at = 0; at < end; at += PIECE) {
    const length = Math.min(PIECE, end - at);
    const pieces = [await a.read(at, length), await b.read(at, length)] as const;
    const found = firstDifference(Buffer.from(pieces[0]), Buffer.from(pieces[1]));
    if (found !== undefined) return at + found;
  }
  return end;
}

/** The first byte that differs, where both have one. */
function firstDifference(a: Buffer, b: Buffer): number | undefined {
  const length = Math.min(a.length, b.length);
  if (a.subarray(0, length).equals(b.subarray(0, length))) return undefined;
  let at = 0;
  while (a[at] === b[at]) at += 1;
  return at;
}

/** What an audit found, in words; undefined when it found nothing. */
export function describeFindings({ findings }: Audit): string | undefined {
  if (findings.length === 0) return undefined;
  return findings
    .flatMap(({ mnemonic, key, differences }) => [
      `The step ${mnemonic} does not make the same twice (action ${key}):`,
      ...differences.map(
        ({ output, offset, kept, fresh }) =>
          `  ${output} differs from byte ${offset} on: ${kept.size} bytes before (${kept.sha256.slice(0, 16)}…), ${fresh.size} now (${fresh.sha256.slice(0, 16)}…)`,
      ),
    ])
    .join('\n');
}
