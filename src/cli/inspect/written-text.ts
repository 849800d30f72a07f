/** Recipes and locks: every value with its place in the file. */

import type { DumpField, DumpNode } from '../../core/dump.ts';
import { RecipeError, UsageError } from '../../core/errors.ts';
import { parseLock } from '../../recipe/lockfile.ts';
import type { Located } from '../../recipe/located.ts';
import { sourceText, type SourceText } from '../../recipe/source-text.ts';
import { parseYaml } from '../../recipe/yaml.ts';
import type { WrittenKind } from './written-kind.ts';

/** Shows what stands there; what is wrong with it, at its place. */
export function dumpWritten(kind: WrittenKind, path: string, bytes: Uint8Array): DumpNode {
  const about = { name: kind === 'lock' ? 'lock' : 'recipe', offset: 0, size: bytes.length };
  try {
    const source = sourceText(bytes, path);
    const node = nodeOf(about.name, parseYaml(source), bytePlaces(source));
    return { ...node, ...about, ...(kind === 'lock' && problemOfLock(source)) };
  } catch (error) {
    if (!(error instanceof RecipeError)) throw error;
    const [first] = error.diagnostics;
    const message = `${first?.line}:${first?.column} ${first?.message}`;
    return { ...about, fields: [], children: [], error: { code: 'bad-value', message } };
  }
}

function problemOfLock({ text, file }: SourceText): Pick<DumpNode, 'error'> | undefined {
  try {
    parseLock(text, file);
    return undefined;
  } catch (error) {
    if (!(error instanceof UsageError) && !(error instanceof RecipeError)) throw error;
    return { error: { code: 'bad-value', message: error.message } };
  }
}

/** Offsets in bytes of offsets in UTF-16 units. */
function bytePlaces({ text }: SourceText): (unit: number) => number {
  if (Buffer.byteLength(text) === text.length) return (unit) => unit;
  const places = new Uint32Array(text.length + 1);
  let at = 0;
  let unit = 0;
  for (const character of text) {
    places.fill(at, unit, unit + character.length);
    at += Buffer.byteLength(character);
    unit += character.length;
  }
  places[unit] = at;
  return (each) => places[each] ?? at;
}

function nodeOf(name: string, value: Located, place: (unit: number) => number): DumpNode {
  const fields: DumpField[] = [];
  const children: DumpNode[] = [];
  const entries: [string, Located][] =
    value.kind === 'map'
      ? [...value.entries].map(([key, entry]): [string, Located] => [
          entry.does === 'append' ? `${key}+` : key,
          entry.value,
        ])
      : value.kind === 'list'
        ? value.items.map((item, index): [string, Located] => [`[${index}]`, item])
        : [];
  for (const [key, each] of entries) {
    const { start, end } = each.origin;
    const [offset, size] = [place(start), place(end) - place(start)];
    if (each.kind === 'scalar') {
      fields.push({ name: key, value: each.text ?? each.value ?? 'null', offset, size });
    } else {
      children.push({ ...nodeOf(key, each, place), offset, size });
    }
  }
  return { name, fields, children };
}
