/** Leads what differs back to the recipe, by the build records of the bundles. */

import { FormatError } from '../../core/errors.ts';
import { parseBuildRecord, type BuildInput, type BuildRecord } from '../build-record.ts';
import type { Bundle } from '../open.ts';
import type { OriginOf } from './erofs.ts';
import type { InputPlace, PackageChange } from './finding.ts';
import type { Recorder } from './recorder.ts';

/** The bundle file. */
export const BUILD_RECORD = 'build.json';
const MAX_SIZE = 64 << 20;

/** @returns undefined when the bundle has none that can be used. */
export async function readRecord(bundle: Bundle): Promise<BuildRecord | undefined> {
  if (!bundle.names.includes(BUILD_RECORD)) return undefined;
  const source = await bundle.open(BUILD_RECORD);
  if (source.size > MAX_SIZE) return undefined;
  try {
    return parseBuildRecord(Buffer.from(await source.read(0, source.size)).toString('utf8'));
  } catch (error) {
    // That it differs, or is damaged, is told when it is compared.
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

const placeOf = ({ at, file, line, kind, name, version }: BuildInput): InputPlace => ({
  at,
  file,
  line,
  name: [kind, name, version].filter(Boolean).join(' '),
});

const findPlace = (record: BuildRecord, at: string): InputPlace | undefined => {
  const input = record.inputs.find((each) => each.at === at);
  return input && placeOf(input);
};

/**
 * Where the names of a partition come from, by their place in the walk.
 *
 * @param name As in the recipe.
 */
export function originsOf(record: BuildRecord | undefined, name: string): OriginOf | undefined {
  const runs =
    record !== undefined && Object.hasOwn(record.partitions, name)
      ? record.partitions[name]?.origins
      : undefined;
  if (record === undefined || runs === undefined) return undefined;
  const ends: number[] = [];
  let end = 0;
  for (const [count] of runs) ends.push((end += count));
  const places = new Map<number, InputPlace | undefined>();
  return (walked) => {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((ends[middle] ?? 0) <= walked) low = middle + 1;
      else high = middle;
    }
    const source = runs[low]?.[1] ?? -1;
    if (source < 0) return undefined;
    if (!places.has(source)) {
      places.set(source, findPlace(record, `partitions.${name}.contents[${source}]`));
    }
    return places.get(source);
  };
}

/** For a file that a payload's build makes, which is no input itself: what the build reads. */
function buildPlace(record: BuildRecord, at: string): InputPlace | undefined {
  const [payload = ''] = /^payloads\.[^.]+|^payload/.exec(at) ?? [];
  const inputs = record.inputs.filter((each) => each.at.startsWith(`${payload}.build.inputs[`));
  const [first] = inputs;
  if (payload === '' || first === undefined) return undefined;
  const { file, line } = first;
  const name = `build of ${inputs.map((each) => each.name).join(', ')}`;
  return { at: `${payload}.build`, file, line, name };
}

const PAYLOAD_DISK = /^payload(?:-([a-z][a-z0-9_-]*))?\.img$/;
const APK_PART = 'microdroid-apk!';

/** Where other parts of a bundle come from, by their path in it. */
export function locator(
  record: BuildRecord | undefined,
): (member: string, path: string) => InputPlace | undefined {
  if (record === undefined) return () => undefined;
  const kernel = record.inputs.find(({ at }) => at.startsWith('kernel'));
  const entries = new Map<string, string>();
  const add = (payload: string, list: BuildRecord['payload']['entries']): void => {
    for (const { name, input } of list) entries.set(`${payload}!${name}`, input);
  };
  add('', record.payload.entries);
  for (const [name, payload] of Object.entries(record.payloads)) add(name, payload.entries);
  return (member, path) => {
    const isKernel =
      member === 'kernel' || (member.startsWith('initrd') && path.startsWith('modules/'));
    if (isKernel) return kernel && placeOf(kernel);
    const disk = PAYLOAD_DISK.exec(member);
    if (disk === null || !path.startsWith(APK_PART)) return undefined;
    // The name of an entry may have a part of its own behind it.
    const parts = path.slice(APK_PART.length).split('!');
    const at = entries.get(`${disk[1] ?? ''}!${parts[0] ?? ''}`);
    return at === undefined ? undefined : (findPlace(record, at) ?? buildPlace(record, at));
  };
}

/** An input that came from elsewhere, whose version or digest can be another without a change of the recipe. */
interface Pinned {
  readonly kind: string;
  readonly name: string;
  readonly version: string;
  readonly place: InputPlace | undefined;
}

const PINNED_KINDS = new Set(['deb', 'oci', 'git', 'kernel', 'tar', 'zip', 'apk']);

function pinned(bundle: Bundle, record: BuildRecord | undefined): Map<string, Pinned> {
  const all = new Map<string, Pinned>();
  const add = (each: Pinned): void => {
    all.set(`${each.kind} ${each.name}`, each);
  };
  if (record === undefined) {
    for (const { name, version, sha256 } of bundle.manifest.inputs) {
      add({ kind: 'input', name, version: version || sha256.slice(0, 12), place: undefined });
    }
    return all;
  }
  for (const input of record.inputs) {
    if (!PINNED_KINDS.has(input.kind)) continue;
    const { kind, name, digest = '' } = input;
    const version = input.version ?? digest.slice(0, 'sha256:'.length + 12);
    add({ kind, name, version, place: placeOf(input) });
  }
  return all;
}

/** Tells which packages were added, removed or have another version. */
export function comparePackages(
  recorder: Recorder,
  sides: { readonly a: Bundle; readonly b: Bundle },
  records: { readonly a: BuildRecord | undefined; readonly b: BuildRecord | undefined },
): void {
  // Without both records only what both manifests say can be compared.
  const both = records.a !== undefined && records.b !== undefined;
  const x = pinned(sides.a, both ? records.a : undefined);
  const y = pinned(sides.b, both ? records.b : undefined);
  for (const key of new Set([...x.keys(), ...y.keys()])) {
    const [left, right] = [x.get(key), y.get(key)];
    const either = right ?? left;
    if (either === undefined || left?.version === right?.version) continue;
    const change: PackageChange['change'] =
      left === undefined ? 'added' : right === undefined ? 'removed' : 'changed';
    recorder.package({
      change,
      kind: either.kind,
      name: either.name,
      ...(left && { a: left.version }),
      ...(right && { b: right.version }),
    });
    if (left !== undefined && right?.place !== undefined) {
      recorder.version(right.place, { a: left.version, b: right.version });
    }
  }
}
