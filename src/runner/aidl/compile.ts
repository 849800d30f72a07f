/**
 * Compiles AIDL: text to descriptions with everything looked up and checked. All problems of all files
 * are told at once.
 *
 * @see https://source.android.com/docs/core/architecture/aidl/aidl-language
 */

import { type Diagnostic, RecipeError } from '../../core/errors.ts';
import { Containment } from './check/containment.ts';
import { type AidlSources, Documents, type Entry } from './check/documents.ts';
import { Describer } from './check/describe.ts';
import { Problems, type SourceFile } from './syntax/source.ts';
import type { Document } from './syntax/tree.ts';
import type {
  AidlMethod,
  AidlType,
  InterfaceDescription,
  StructureDescription,
  TypeDescription,
} from './types.ts';

export type { AidlSources } from './check/documents.ts';
export type { SourceFile } from './syntax/source.ts';

export interface CompileOptions {
  /** Where imported files come from; default: only the given files are known. */
  readonly sources?: AidlSources;
  /** Keep methods whose types cannot travel over vsock, marked; default: they are problems. */
  readonly allowUnsupported?: boolean;
  /** Whether each file must lie at the path that its package says, as AOSP's compiler wants it. */
  readonly checkFileNames?: boolean;
}

export interface AidlProgram {
  /** Of the given files, in order; without nested ones. */
  readonly types: readonly TypeDescription[];
  /** Also those of imported files, nested ones included, by full name in the order of their reading. */
  readonly all: ReadonlyMap<string, TypeDescription>;
  /** AIDL that no call over vsock can carry; empty unless `allowUnsupported`. */
  readonly unsupported: readonly Diagnostic[];
  /** Paths of all files that were read. */
  readonly files: readonly string[];
}

const NO_SOURCES: AidlSources = { find: () => [] };

/** @throws {RecipeError} with every problem found, each with file, line and column. */
export function compileAidl(
  files: readonly SourceFile[],
  options: CompileOptions = {},
): AidlProgram {
  const problems = new Problems();
  const documents = new Documents(problems, options.sources ?? NO_SOURCES);
  const given = files.flatMap((file) => documents.add(file) ?? []);
  for (const document of given) {
    documents.loadImports(document);
    checkOneType(document, problems);
    if (options.checkFileNames === true) checkFileName(document, problems);
  }
  // Half-read files would only bring problems that are none.
  problems.throwIfAny();
  const describer = new Describer(documents, problems);
  const descriptions = describer.describeAll();
  const containment = new Containment(problems, ({ fullName }) => documents.entry(fullName));
  for (const description of descriptions.values()) {
    if (isStructure(description)) containment.check(description);
  }
  problems.throwIfAny();
  const unsupported = [...describer.unsupported];
  for (const description of descriptions.values()) {
    if (description.kind === 'interface') markUnsupported(description, containment);
  }
  if (unsupported.length > 0 && options.allowUnsupported !== true) {
    throw new RecipeError(unsupported.slice(0, 100));
  }
  const typeOf = (entry: Entry | undefined): TypeDescription[] => {
    const found = entry === undefined ? undefined : descriptions.get(entry);
    return found === undefined ? [] : [found];
  };
  return {
    types: given.flatMap(({ packageName, declarations }) =>
      declarations.flatMap(({ name }) =>
        typeOf(documents.entry(packageName === '' ? name : `${packageName}.${name}`)),
      ),
    ),
    all: new Map(
      [...documents.entries].flatMap((entry) =>
        typeOf(entry).map((type) => [entry.fullName, type] as const),
      ),
    ),
    unsupported,
    files: documents.all.map(({ source }) => source.path),
  };
}

const isStructure = (description: TypeDescription): description is StructureDescription =>
  description.kind === 'parcelable' || description.kind === 'union';

/** A method whose structures hold what cannot travel cannot be called either. */
function markUnsupported(description: InterfaceDescription, containment: Containment): void {
  const methods = description.methods as AidlMethod[];
  for (const [index, method] of methods.entries()) {
    if (method.unsupported !== undefined) continue;
    const types = [method.returns, ...method.args.map((arg) => arg.type)];
    const unsupported = types
      .map((type) => (type === null ? undefined : structureOf(type)))
      .map((structure) =>
        structure === undefined ? undefined : containment.unsupported(structure),
      )
      .find((each) => each !== undefined);
    if (unsupported !== undefined) methods[index] = { ...method, unsupported };
  }
}

function structureOf(type: AidlType): StructureDescription | undefined {
  if (type.kind === 'array') return structureOf(type.element);
  return type.kind === 'structure' ? type.declaration : undefined;
}

function checkOneType({ declarations }: Document, problems: Problems): void {
  const [, second] = declarations.filter(({ kind }) => kind !== 'unstructured');
  if (second === undefined) return;
  problems.add(
    second.place,
    `Cannot declare "${second.name}" here: a file declares one type`,
    'Declare it in a file of its own, or inside the other type',
  );
}

function checkFileName({ source, packageName, declarations }: Document, problems: Problems): void {
  const [only, second] = declarations;
  if (only === undefined || second !== undefined) return;
  const wanted = [...(packageName === '' ? [] : packageName.split('.')), `${only.name}.aidl`].join(
    '/',
  );
  const path = source.path.replaceAll('\\', '/');
  if (path === wanted || path.endsWith(`/${wanted}`)) return;
  problems.add(
    only.place,
    `Cannot declare "${only.name}" in this file`,
    `Its file is .../${wanted}`,
  );
}
