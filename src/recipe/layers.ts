/**
 * The files of a recipe, put on top of each other: bases (`extends`) lie below fragments (`include`), and
 * those below the file that names them.
 *
 * A base or fragment may lie anywhere that a relative path leads to, because that path is there for all
 * to read. What a symbolic link leads to is not: it has to stay in the folder that the path starts from.
 */

import { open, realpath, stat } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { RecipeError, UsageError, type Diagnostic } from '../core/errors.ts';
import { layersSchema } from './composition-schema.ts';
import { describeIssue } from './issues.ts';
import { plainValue, valueAt, type LocatedMap, type LocatedScalar } from './located.ts';
import { mergeMaps } from './merge.ts';
import { MAX_SOURCE_BYTES, problemAt, sourceText, type SourceText } from './source-text.ts';
import { parseYaml } from './yaml.ts';

const MAX_FILES = 64;
/** How often files may be laid on each other, however they name each other. */
const MAX_LAYERS = 256;

export interface Layers {
  /** Undefined when the recipe itself is no YAML. */
  readonly root: LocatedMap | undefined;
  /** In the order of reading. */
  readonly sources: readonly SourceText[];
}

interface Reading {
  readonly directory: string;
  readonly problems: Diagnostic[];
  readonly sources: SourceText[];
  /** By real path; undefined when it cannot be used. */
  readonly done: Map<string, LocatedMap | undefined>;
  /** Real paths of the files that lead to this one. */
  readonly open: string[];
  layers: number;
}

const LAYER_KEYS = ['extends', 'include'] as const;

/** Reads a recipe and all that it stands on. Problems are added to `problems`. */
export async function readLayers(
  bytes: Uint8Array,
  file: string,
  problems: Diagnostic[],
): Promise<Layers> {
  const reading: Reading = {
    directory: dirname(file),
    problems,
    sources: [],
    done: new Map(),
    open: [],
    layers: 0,
  };
  const identity = await realpath(file).catch(() => file);
  return { root: await readLayer(bytes, file, identity, reading), sources: reading.sources };
}

/** A single text, which stands on nothing. */
export function readSingle(bytes: Uint8Array, file: string, problems: Diagnostic[]): Layers {
  const { root, source } = parseSource(bytes, file, problems);
  for (const key of LAYER_KEYS) {
    const entry = root?.entries.get(key);
    if (entry === undefined) continue;
    problems.push(problemAt(entry.key, `"${key}" has no meaning for a text without a folder`));
  }
  return { root: root && withoutLayerKeys(root), sources: source === undefined ? [] : [source] };
}

function parseSource(
  bytes: Uint8Array,
  file: string,
  problems: Diagnostic[],
): { readonly root?: LocatedMap; readonly source?: SourceText } {
  let source;
  try {
    source = sourceText(bytes, file);
    return { root: parseYaml(source), source };
  } catch (error) {
    if (!(error instanceof RecipeError)) throw error;
    problems.push(...error.diagnostics);
    return source === undefined ? {} : { source };
  }
}

function withoutLayerKeys(map: LocatedMap): LocatedMap {
  const entries = new Map(map.entries);
  for (const key of LAYER_KEYS) entries.delete(key);
  return { ...map, entries };
}

async function readLayer(
  bytes: Uint8Array,
  file: string,
  identity: string,
  reading: Reading,
): Promise<LocatedMap | undefined> {
  const { root: own, source } = parseSource(bytes, file, reading.problems);
  if (source !== undefined) reading.sources.push(source);
  if (own === undefined) return undefined;
  reading.open.push(identity);
  const below: LocatedMap[] = [];
  for (const named of namedLayers(own, reading)) {
    const layer = await findLayer(named, reading);
    if (layer !== undefined) below.push(layer);
  }
  reading.open.pop();
  const context = { problems: reading.problems, directory: reading.directory };
  return [...below, withoutLayerKeys(own)].reduce((under, layer) =>
    mergeMaps(under, layer, context),
  );
}

/** What `extends` and `include` name, the lowest first. */
function namedLayers(own: LocatedMap, { problems }: Reading): LocatedScalar[] {
  const parsed = layersSchema.safeParse(plainValue(own));
  if (!parsed.success) {
    const issues = parsed.error.issues;
    problems.push(
      ...issues.flatMap((issue) => describeIssue(issue, { root: own, schema: layersSchema })),
    );
    return [];
  }
  return LAYER_KEYS.flatMap((key) => {
    const value = valueAt(own, [key]);
    const items = value?.kind === 'list' ? value.items : value === undefined ? [] : [value];
    return items.flatMap((item) => (item.kind === 'scalar' ? [item] : []));
  });
}

async function findLayer(named: LocatedScalar, reading: Reading): Promise<LocatedMap | undefined> {
  const path = String(named.value);
  const refuse = (message: string, hint?: string): undefined => {
    reading.problems.push(problemAt(named.origin, message, hint));
    return undefined;
  };
  reading.layers += 1;
  if (reading.layers > MAX_LAYERS) {
    if (reading.layers > MAX_LAYERS + 1) return undefined;
    return refuse(`The recipe stands on more than ${MAX_LAYERS} others`);
  }
  const folder = dirname(named.origin.source.file);
  let file = join(folder, path);
  let real: string;
  try {
    if ((await stat(file)).isDirectory()) file = join(file, 'microbuild.yaml');
    real = await realpath(file);
    const start = await realpath(join(folder, startOf(path)));
    if (relative(start, real).split(sep)[0] === '..') {
      return refuse(
        `"${path}" leads outside of ${start}, to ${real}`,
        'Write the path that it leads to: a link could be changed unseen',
      );
    }
    if (!(await stat(real)).isFile()) return refuse(`"${path}" is not a regular file`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EACCES') return refuse(`"${path}" cannot be read: permission denied`);
    if (code === 'ELOOP') return refuse(`"${path}" is a symbolic link that leads to itself`);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') {
      return refuse(`"${path}" does not exist`, `Looked for ${file}`);
    }
    throw error;
  }
  const cycle = reading.open.indexOf(real);
  if (cycle >= 0) {
    const way = [...reading.open.slice(cycle), real].map((each) =>
      relative(reading.directory, each),
    );
    return refuse(`The recipe stands on itself: ${way.join(' -> ')}`, 'Leave out one of them');
  }
  if (reading.done.has(real)) return reading.done.get(real);
  if (reading.sources.length >= MAX_FILES) {
    reading.done.set(real, undefined);
    return refuse(`The recipe has more than ${MAX_FILES} files`);
  }
  if ((await stat(real)).size > MAX_SOURCE_BYTES) {
    return refuse(`"${path}" has more than ${MAX_SOURCE_BYTES} bytes: it is no recipe`);
  }
  const bytes = await readBounded(file);
  if (bytes === undefined) return refuse(`"${path}" does not exist`, `Looked for ${file}`);
  const layer = await readLayer(bytes, file, real, reading);
  reading.done.set(real, layer);
  return layer;
}

/** The folders upwards with which a path begins. */
const startOf = (path: string): string => {
  const up = /^(?:\.\.?\/+)*/.exec(path)?.[0] ?? '';
  return up === '' ? '.' : up;
};

/**
 * The bytes of a file of a recipe.
 *
 * @returns undefined when there is no such file.
 * @throws {UsageError} `input` when it is too large, or cannot be read.
 */
export async function readBounded(file: string): Promise<Uint8Array | undefined> {
  let handle;
  try {
    handle = await open(file, 'r');
    // Pipes have no size; they, too, may not go on for ever.
    const bytes = new Uint8Array(MAX_SOURCE_BYTES + 1);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length);
      if (bytesRead === 0) return bytes.slice(0, length);
      length += bytesRead;
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EISDIR' || code === 'ENOTDIR') return undefined;
    if (code === 'EACCES') {
      throw new UsageError('input', `Cannot read ${file}: permission denied`, { cause: error });
    }
    throw error;
  } finally {
    await handle?.close();
  }
  throw new UsageError(
    'input',
    `Cannot read ${file}: it has more bytes than a recipe may have (${MAX_SOURCE_BYTES})`,
  );
}
