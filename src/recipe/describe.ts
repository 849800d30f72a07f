/** A recipe as it is after everything is put together, with the place where each value was written. */

import { stringify } from 'yaml';
import type { RecipePath } from './located.ts';
import { valueAt } from './located.ts';
import type { Recipe } from './parse.ts';
import { escapeReferences } from './vars.ts';

/**
 * YAML of the whole recipe: a recipe by itself, with each value's file and line as a comment. Paths are
 * relative to the folder of the recipe.
 */
export function describeRecipe(recipe: Recipe): string {
  const lines: string[] = [];
  const visit = (value: unknown, path: RecipePath, indent: string, lead: string): void => {
    const written = valueAt(recipe.written, path);
    const isKnown = written !== undefined;
    if (Array.isArray(value) && value.length > 0) {
      // A single value may stand for a list of one.
      const items = value as readonly unknown[];
      const isList = written?.kind !== 'scalar';
      lines.push(lead.trimEnd());
      for (const [index, item] of items.entries()) {
        visit(item, isList ? [...path, index] : path, `${indent}  `, `${indent}- `);
      }
      return;
    }
    if (isMapping(value) && Object.keys(value).length > 0) {
      const entries = Object.entries(value).filter(
        ([key, each]) => each !== undefined && isWritable(recipe, [...path, key]),
      );
      const isItem = lead.endsWith('- ');
      if (!isItem && lead !== '') lines.push(lead.trimEnd());
      for (const [index, [key, each]] of entries.entries()) {
        const start = isItem && index === 0 ? lead : indent;
        visit(each, [...path, key], `${indent}  `, `${start}${scalarText(key)}: `);
      }
      return;
    }
    const shown = written?.kind === 'scalar' ? written.value : inWriting(value, path);
    const comment = isKnown ? place(recipe, path) : 'default';
    lines.push(`${lead}${scalarText(shown)} # ${comment}`);
  };
  visit(recipe.data, [], '', '');
  return `${lines.join('\n')}\n`;
}

function place(recipe: Recipe, path: RecipePath): string {
  const { file, line } = recipe.positionOf(path);
  return `${file}:${line}`;
}

/** What a recipe may say: some of its data only follows from the rest. */
function isWritable({ data, written }: Recipe, path: RecipePath): boolean {
  const [first, name = '', part, key = ''] = path;
  if (first !== 'partitions' || valueAt(written, path) !== undefined) return true;
  if (name === 'system' && part === 'mount') return false;
  const filesystem = data.partitions[name]?.filesystem;
  if (part !== 'filesystem' || filesystem === undefined) return true;
  if (key === 'level') return filesystem.level > 0;
  return filesystem.compression !== 'none' || (key !== 'clusterSize' && key !== 'tails');
}

/** A default in the form in which a recipe has it. */
function inWriting(value: unknown, path: RecipePath): unknown {
  if (path.join('.') === 'vm.memory') return `${String(value)}MiB`;
  return value ?? null;
}

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** On one line, whatever it holds. */
function scalarText(value: unknown): string {
  if (Array.isArray(value)) return '[]';
  if (isMapping(value)) return '{}';
  if (typeof value !== 'string') return JSON.stringify(value);
  const text = escapeReferences(value);
  const plain = stringify(text, { lineWidth: 0, version: '1.2' }).trimEnd();
  // What takes several lines, or could be taken for something else, goes into quotes.
  return plain.includes('\n') || /^[|>]/.test(plain) ? JSON.stringify(text) : plain;
}
