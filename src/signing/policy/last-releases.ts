/**
 * What was released last: a small file of rollback indexes that stands in the project's repository and
 * is read in reviews like the code.
 *
 * ```json
 * { "schemaVersion": 1, "rollbackIndexes": { "hello/kernel": "7", "vendor#2": "3" } }
 * ```
 *
 * The key is the name of an image, with `#LOCATION` behind it where its rollback index location is not
 * 0; the value is decimal text, since the index has 64 bits.
 */

import { oneOf, readStrictJson, record, wrongField, type JsonReader } from '../strict-json.ts';

/** Highest released rollback index by `rollbackName`. */
export type LastReleases = ReadonlyMap<string, bigint>;

/** The name of the file where `--release-log` names none: in the current folder. */
export const RELEASE_LOG = 'microbuild.releases.json';

/** Names of images are file and partition names; a file with more than this is something else. */
const MAX_ENTRIES = 10_000;
const NAME = /^\P{Cc}{1,300}$/u;
const U64 = /^(?:0|[1-9][0-9]{0,19})$/;

/** The key of an image in the file. */
export const rollbackName = (name: string, location: number): string =>
  location === 0 ? name : `${name}#${location}`;

const readIndexes: JsonReader<LastReleases> = (value, field) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return wrongField(field, 'an object');
  }
  const entries = Object.entries(value);
  if (entries.length > MAX_ENTRIES) return wrongField(field, `of ${MAX_ENTRIES} images at most`);
  return new Map(
    entries.map(([name, index]) => {
      const at = `${field}.${name}`;
      if (!NAME.test(name)) return wrongField(at, 'the name of an image');
      if (typeof index !== 'string' || !U64.test(index) || BigInt(index) >= 1n << 64n) {
        return wrongField(at, 'a 64-bit number as text');
      }
      return [name, BigInt(index)];
    }),
  );
};

const readDocument = record<{ schemaVersion: number; rollbackIndexes: LastReleases }>({
  schemaVersion: oneOf(1),
  rollbackIndexes: readIndexes,
});

/** @throws {FormatError} `releases`, naming the field. */
export const parseLastReleases = (json: string, file: string): LastReleases =>
  readStrictJson(
    json,
    readDocument,
    'releases',
    file,
    'Take it from version control again: it says which releases must not be undone',
  ).rollbackIndexes;

/** Sorted, so that equal contents are equal bytes. */
export function formatLastReleases(last: LastReleases): string {
  const indexes = [...last].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const rollbackIndexes = Object.fromEntries(indexes.map(([name, at]) => [name, at.toString()]));
  return `${JSON.stringify({ schemaVersion: 1, rollbackIndexes }, undefined, 2)}\n`;
}

/** The same with what was released now; an index never goes down. */
export function withReleases(
  last: LastReleases,
  now: Iterable<readonly [name: string, index: bigint]>,
): LastReleases {
  const all = new Map(last);
  for (const [name, index] of now) {
    const before = all.get(name);
    if (before === undefined || index > before) all.set(name, index);
  }
  return all;
}
