/**
 * Recipe text to validated value. Positions are kept, so that every later problem with a value can
 * still name the line it came from.
 *
 * A recipe may come from a stranger: its size, nesting and aliases are bounded before it is parsed.
 */

import { basename, dirname, resolve } from 'node:path';
import { open } from 'node:fs/promises';
import {
  isAlias,
  isMap,
  isScalar,
  LineCounter,
  parseAllDocuments,
  visit,
  type Document,
  type ParsedNode,
} from 'yaml';
import { sha256, toHex } from '../core/digest.ts';
import { RecipeError, UsageError, type Diagnostic } from '../core/errors.ts';
import { describeIssue, nodeAt, type At, type RecipePath } from './issues.ts';
import { recipeSchema, type RecipeData } from './schema.ts';

/** A recipe is a page or two; what is larger is not one. */
const MAX_RECIPE_BYTES = 1 << 20;
/** Deeper than any recipe, far below what a parser stack takes. */
const MAX_DEPTH = 64;

/** A file that is part of a recipe. */
export interface RecipeFile {
  /** Relative to the folder of the recipe; may begin with `../`. */
  readonly path: string;
  /** In lower-case hexadecimal. */
  readonly sha256: string;
  readonly text: string;
}

/** A place in a recipe's files. Lines and columns count from 1. */
export interface Position {
  /** As `path` of `RecipeFile`. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** A validated recipe that knows where each value was written. */
export interface Recipe {
  readonly data: RecipeData;
  /** Absolute path of the recipe file; paths of the recipe are relative to `directory`. */
  readonly file: string;
  readonly directory: string;
  /** All files that made it, in the order of reading. */
  readonly files: readonly RecipeFile[];
  /** The profiles in effect, in the order in which they were applied. */
  readonly profiles: readonly string[];
  /** The variables with the values in effect. */
  readonly vars: Readonly<Record<string, string | number | boolean>>;
  /** Where the value at `path` was written, or the nearest value above it. */
  positionOf(path: RecipePath): Position;
  /** Absolute path of the folder whose files the value at `path` may name: that of the file it stands in. */
  folderOf(path: RecipePath): string;
  /** A problem with the value at `path`, or with the nearest value above it that was written down. */
  diagnosticAt(path: RecipePath, message: string, hint?: string): Diagnostic;
}

/**
 * Reads `RECIPE` (a file, or a folder that holds `microbuild.yaml`).
 *
 * @throws {RecipeError} with every problem of the text and of its values.
 * @throws {UsageError} `input` when there is no such file or it cannot be read.
 */
export async function readRecipe(path: string): Promise<Recipe> {
  const absolute = resolve(path);
  for (const file of [absolute, resolve(absolute, 'microbuild.yaml')]) {
    const bytes = await readBounded(file);
    if (bytes !== undefined) return parseRecipe(bytes, file);
  }
  throw new UsageError('input', `Cannot find a recipe at ${path}`, {
    hint: 'Name a recipe file, or a folder that holds microbuild.yaml',
  });
}

async function readBounded(file: string): Promise<Uint8Array | undefined> {
  let handle;
  try {
    handle = await open(file, 'r');
    const { size } = await handle.stat();
    if (size > MAX_RECIPE_BYTES) {
      throw new UsageError(
        'input',
        `Cannot read ${file}: ${size} bytes are more than a recipe may have (${MAX_RECIPE_BYTES})`,
      );
    }
    return new Uint8Array(await handle.readFile());
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'EISDIR' || code === 'ENOTDIR') return undefined;
    if (code === 'EACCES') {
      throw new UsageError('input', `Cannot read ${file}: permission denied`, { cause: error });
    }
    throw error;
  } finally {
    await handle?.close();
  }
}

/**
 * Parses a recipe's bytes.
 *
 * @param file Absolute path, for messages and for paths relative to it.
 */
export function parseRecipe(bytes: Uint8Array, file: string): Recipe {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new RecipeError(
      [{ file, line: 1, column: 1, message: 'The recipe is not valid UTF-8' }],
      { cause },
    );
  }
  const lines = new LineCounter();
  const at = (offset: number, message: string, hint?: string, length = 1): Diagnostic => {
    const { line, col } = lines.linePos(offset);
    const source = text.split('\n', line)[line - 1] ?? '';
    return {
      file,
      line,
      column: col,
      message,
      source: source.replace(/\r$/, ''),
      length,
      ...(hint === undefined ? {} : { hint }),
    };
  };

  const document = parseYaml(text, lines, at);
  const diagnosticAt = (path: RecipePath, message: string, hint?: string): Diagnostic => {
    const range = nodeAt(document, path)?.range ?? [0, 0, 0];
    const length = Math.max(1, Math.min(range[1] - range[0], 200));
    return at(range[0], message, hint, length);
  };

  const parsed = recipeSchema.safeParse(document.toJS({ maxAliasCount: 0 }));
  if (!parsed.success) {
    throw new RecipeError(
      parsed.error.issues.flatMap((issue) => describeIssue(issue, { document, at, diagnosticAt })),
    );
  }
  const directory = dirname(file);
  return {
    data: parsed.data,
    file,
    directory,
    files: [{ path: basename(file), sha256: toHex(sha256(bytes)), text }],
    profiles: [],
    vars: {},
    positionOf(path) {
      const { line, col } = lines.linePos(nodeAt(document, path)?.range?.[0] ?? 0);
      return { file: basename(file), line, column: col };
    },
    folderOf: () => directory,
    diagnosticAt,
  };
}

function parseYaml(text: string, lineCounter: LineCounter, at: At): Document.Parsed {
  // The library's own check for equal keys is quadratic; ours is below.
  const documents = parseAllDocuments(text, { lineCounter, uniqueKeys: false, version: '1.2' });
  const [document, second] = 'empty' in documents ? [] : documents;
  if (document === undefined) throw new RecipeError([at(0, 'The recipe is empty')]);
  const problems: Diagnostic[] = document.errors.map((error) =>
    at(error.pos[0], firstLine(error.message)),
  );
  if (second !== undefined) {
    problems.push(at(second.range[0], 'The recipe holds a second YAML document', 'Write one'));
  }
  visit(document, (_, node, ancestors) => {
    const offset = (node as Partial<ParsedNode> | null)?.range?.[0] ?? 0;
    if (ancestors.length > MAX_DEPTH) {
      problems.push(at(offset, `The recipe nests deeper than ${MAX_DEPTH} levels`));
      return visit.BREAK;
    }
    if (isAlias(node)) problems.push(at(offset, 'Aliases are not part of a recipe', 'Repeat it'));
    if (isMap(node)) {
      const seen = new Set<unknown>();
      for (const { key } of node.items) {
        const keyAt = (key as Partial<ParsedNode> | null)?.range?.[0] ?? 0;
        if (!isScalar(key) || typeof key.value !== 'string') {
          problems.push(at(keyAt, 'A key of a recipe is a plain word'));
        } else if (seen.has(key.value)) {
          problems.push(
            at(keyAt, `The key "${key.value}" is written twice`, 'Keep one', key.value.length),
          );
        } else {
          seen.add(key.value);
        }
      }
    }
    return undefined;
  });
  if (problems.length > 0) throw new RecipeError(problems);
  return document;
}

const firstLine = (text: string): string => text.split('\n', 1)[0]?.replace(/:$/, '') ?? text;
