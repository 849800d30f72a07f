/** What `init` can make: the folders of `templates/`, and what is known of them. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compileAidl } from '../../runner/aidl/compile.ts';
import { generateRust } from '../../runner/aidl/generate/rust.ts';
import type { SourceFile } from '../../runner/aidl/compile.ts';
import { substitute } from './names.ts';

interface Template {
  readonly summary: string;
  /** What `run` is given to show what the payload does. */
  readonly run: string;
  /** Interfaces of microbuild's that its code in Rust calls, beside its own: folders below `guest/aidl`. */
  readonly rust?: { readonly calls: readonly string[] };
}

export const templates = {
  minimal: {
    summary: 'a program in C that prints and ends',
    run: '',
  },
  'c-payload': {
    summary: 'a service in C, called by Binder RPC',
    run: `--call I__Name__.hello --arg '"world"'`,
  },
  'rust-payload': {
    summary: 'a service in Rust, called by Binder RPC',
    run: '--call I__Name__.add --arg 2 --arg 3',
    rust: { calls: [] },
  },
  keystore: {
    summary: 'a service in Rust that signs with keys which are nowhere but in its VM',
    run: `--call I__Name__.prove --arg '"a message"'`,
    rust: { calls: ['dev/microbuild/keystore'] },
  },
} as const satisfies Readonly<Record<string, Template>>;

export type TemplateName = keyof typeof templates;

export const templateNames = Object.keys(templates) as TemplateName[];

/** A file to be made; the path is relative. */
export interface NewFile {
  readonly path: string;
  readonly text: string;
}

/** Tells editors where the schema is, in a recipe that it can be found from. */
const SCHEMA_LINES = /^# yaml-language-server:.*\n#\n/;

/**
 * The files of a template with names in the place of placeholders, and what is generated from them.
 *
 * @param packageRoot Folder of microbuild's package.json.
 * @param hasSchema Whether `__root__` leads from the recipe to the schema wherever both are copied.
 */
export async function instantiate(
  name: TemplateName,
  values: ReadonlyMap<string, string>,
  { packageRoot, hasSchema }: { readonly packageRoot: string; readonly hasSchema: boolean },
): Promise<NewFile[]> {
  const files: NewFile[] = [];
  for (const file of await filesBelow(join(packageRoot, 'templates', name))) {
    const text = substitute(file.text, values);
    files.push({
      path: substitute(file.path, values),
      text: hasSchema ? text : text.replace(SCHEMA_LINES, ''),
    });
  }
  const { rust }: Template = templates[name];
  if (rust === undefined) return files;
  const sources: SourceFile[] = files
    .filter(({ path }) => path.endsWith('.aidl'))
    .map(({ path, text }) => ({ path, text }));
  for (const folder of rust.calls) {
    const at = join(packageRoot, 'guest', 'aidl', folder);
    for (const { path, text } of await filesBelow(at)) sources.push({ path: join(at, path), text });
  }
  const text = generateRust(compileAidl(sources), { runtime: 'vm_payload::aidl' });
  return [...files, { path: 'src/aidl.rs', text }];
}

/** Sorted by path. */
async function filesBelow(folder: string): Promise<NewFile[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
  return Promise.all(
    paths.map(async (path) => ({ path, text: await readFile(join(folder, path), 'utf8') })),
  );
}
