/**
 * `build.json`: what a bundle was built from, down to the line of the recipe that asked for it. Nobody needs it to
 * run or to verify a bundle; with it a difference is led back to an input, and the bundle is built again.
 *
 * It is part of what is built reproducibly: no paths of the host, no times.
 */

import { FormatError } from '../core/errors.ts';

/** What a recipe names and the build took, such as a folder, a package or a key. */
export interface BuildInput {
  /** The place in the resolved recipe, such as `partitions.system.contents[3]`. */
  readonly at: string;
  /** Of `recipe.files`: the path of the file that says so, and the line there, from 1 on. */
  readonly file: string;
  readonly line: number;
  /** The key by which the recipe names it: `dir`, `deb`, `oci`, `file`, `kernel`, `build`, ... */
  readonly kind: string;
  /** As the recipe writes it. */
  readonly name: string;
  /** Of what the name led to, such as `bookworm 1.2.3-1`. */
  readonly version?: string;
  /** `sha256:HEX` of its bytes; of a folder: of its tree. */
  readonly digest?: string;
  /** SPDX expression. */
  readonly license?: string;
}

/**
 * Who put the inodes of a tree there, in the order in which `walk` visits them: runs of `[count, source]`, the index of
 * the source in `contents`, or -1 for what the builder itself adds.
 */
export type OriginRuns = readonly (readonly [count: number, source: number])[];

/** A Debian package of a partition. */
export interface RecordedPackage {
  readonly name: string;
  readonly version: string;
  /** Debian's name, or `all`. */
  readonly architecture: string;
  /** SPDX expression, where its copyright file tells. */
  readonly license?: string;
  /** `at` of the input that brought it. */
  readonly input: string;
  /** Its files that belong to who runs the system; they are as the package has them. */
  readonly conffiles?: readonly string[];
  /** Its scripts, such as `postinst`, which were not run. */
  readonly scripts?: readonly string[];
}

/** A library in the programs of the guest. */
export interface RecordedCrate {
  readonly name: string;
  readonly version: string;
  /** SPDX expression. */
  readonly license?: string;
  /** SHA-256 of its archive in the registry; none for what is part of microbuild. */
  readonly sha256?: string;
  /** `NAME VERSION` of the crates that it uses. */
  readonly dependencies: readonly string[];
}

/** One entry of an APK. */
export interface RecordedEntry {
  readonly name: string;
  /** The place in the resolved recipe that asks for it: `at` of one of the inputs. */
  readonly input: string;
}

export interface RecordedPayload {
  readonly entries: readonly RecordedEntry[];
}

export interface BuildRecord {
  readonly schemaVersion: 1;
  /** Version of microbuild. */
  readonly microbuild: string;
  readonly recipe: {
    /** All files that made it, in the order in which they were read; paths are relative to the first one's folder. */
    readonly files: readonly {
      readonly path: string;
      readonly sha256: string;
      readonly text: string;
    }[];
    /** Profiles in effect, in order. */
    readonly profiles: readonly string[];
    readonly vars: Readonly<Record<string, string | number | boolean>>;
    /** The resolved recipe, with all defaults. */
    readonly data: unknown;
  };
  /** The text of `microbuild.lock`. */
  readonly lock: string | null;
  /** Seconds since 1970: the one time in the output. */
  readonly sourceDate: number;
  readonly inputs: readonly BuildInput[];
  /** In the order in which they were merged; absent where there are none. */
  readonly packages?: readonly RecordedPackage[];
  /** By name, as in the recipe. */
  readonly partitions: Readonly<Record<string, { readonly origins: OriginRuns }>>;
  /** The default payload, and further ones by name. */
  readonly payload: RecordedPayload;
  readonly payloads: Readonly<Record<string, RecordedPayload>>;
  readonly kernel: {
    readonly release: string;
    /** Of what the VMM starts, before it is signed. */
    readonly sha256: string;
    /** In load order. */
    readonly modules: readonly { readonly name: string; readonly sha256: string }[];
  };
  /** Over the names and bytes of the guest's own files. */
  readonly guest: {
    readonly sha256: string;
    /** Absent where those who built the programs did not tell. */
    readonly crates?: readonly RecordedCrate[];
  };
}

/** Canonical text: fixed key order, two spaces, one newline at the end. */
export const formatBuildRecord = (record: BuildRecord): string =>
  `${JSON.stringify(record, undefined, 2)}\n`;

type Check = (value: unknown) => boolean;
type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  value !== null && typeof value === 'object' && !Array.isArray(value);
const isText: Check = (value) => typeof value === 'string';
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isHexDigest: Check = (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const recordOf =
  (check: Check): Check =>
  (value) =>
    isFields(value) && Object.values(value).every(check);
const shape =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value) =>
    isFields(value) &&
    Object.entries(fields).every(([name, check]) =>
      check(Object.hasOwn(value, name) ? value[name] : undefined),
    );

const isOrigin: Check = (value) =>
  Array.isArray(value) &&
  value.length === 2 &&
  isCount(value[0]) &&
  Number.isSafeInteger(value[1]) &&
  (value[1] as number) >= -1;
const isPackage = shape({
  name: isText,
  version: isText,
  architecture: isText,
  license: optional(isText),
  input: isText,
  conffiles: optional(listOf(isText)),
  scripts: optional(listOf(isText)),
});
/** Those who build the guest's programs write it as the record has it. */
export const isRecordedCrate: Check = shape({
  name: isText,
  version: isText,
  license: optional(isText),
  sha256: optional(isHexDigest),
  dependencies: listOf(isText),
});
const isPayload = shape({ entries: listOf(shape({ name: isText, input: isText })) });

const FIELDS: Readonly<Record<keyof BuildRecord, Check>> = {
  schemaVersion: (value) => value === 1,
  microbuild: isText,
  recipe: shape({
    files: listOf(shape({ path: isText, sha256: isHexDigest, text: isText })),
    profiles: listOf(isText),
    vars: recordOf((value) => ['string', 'number', 'boolean'].includes(typeof value)),
    data: isFields,
  }),
  lock: (value) => value === null || isText(value),
  sourceDate: isCount,
  inputs: listOf(
    shape({
      at: isText,
      file: isText,
      line: isCount,
      kind: isText,
      name: isText,
      version: optional(isText),
      digest: optional(isText),
      license: optional(isText),
    }),
  ),
  packages: optional(listOf(isPackage)),
  partitions: recordOf(shape({ origins: listOf(isOrigin) })),
  payload: isPayload,
  payloads: recordOf(isPayload),
  kernel: shape({
    release: isText,
    sha256: isHexDigest,
    modules: listOf(shape({ name: isText, sha256: isHexDigest })),
  }),
  guest: shape({ sha256: isHexDigest, crates: optional(listOf(isRecordedCrate)) }),
};

/** @throws {FormatError} naming the field that is not as it must be. */
export function parseBuildRecord(text: string): BuildRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new FormatError('build-record', 'bad-value', 'Cannot read build.json: it is not JSON', {
      cause,
    });
  }
  const fields = isFields(value) ? value : {};
  for (const [field, check] of Object.entries(FIELDS)) {
    if (check(Object.hasOwn(fields, field) ? fields[field] : undefined)) continue;
    throw new FormatError(
      'build-record',
      'bad-value',
      `Cannot use build.json: ${field} is not what a build writes`,
      { field },
    );
  }
  return value as BuildRecord;
}
