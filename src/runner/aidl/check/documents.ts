/**
 * The files of a compilation: those given, and those that their types lead to. Finds what a name means
 * by AIDL's rules: enclosing types, imports, the file's own types, then full names.
 */

import { parseDocument } from '../syntax/parser.ts';
import type { Place, Problems, SourceFile } from '../syntax/source.ts';
import type { Declaration, Document } from '../syntax/tree.ts';
import { builtInName, isIgnoredImport, isReservedTypeName } from './names.ts';

/** Where files other than those given come from. */
export interface AidlSources {
  /** The files at a path such as `a/b/IFoo.aidl` below each of the folders that are searched. */
  find(relativePath: string): readonly SourceFile[];
}

/** A declared type. */
export interface Entry {
  readonly fullName: string;
  readonly node: Declaration;
  readonly document: Document;
  readonly outer: Entry | undefined;
}

/** More files than this are no interface but an attack on our memory. */
const MAX_FILES = 2000;

export class Documents {
  readonly #problems: Problems;
  readonly #sources: AidlSources;
  readonly #documents: Document[] = [];
  readonly #entries = new Map<string, Entry>();
  readonly #paths = new Set<string>();
  /** Relative paths that were looked for. */
  readonly #sought = new Map<string, boolean>();

  constructor(problems: Problems, sources: AidlSources) {
    this.#problems = problems;
    this.#sources = sources;
  }

  /** Grows while names are resolved. */
  get all(): readonly Document[] {
    return this.#documents;
  }

  get entries(): Iterable<Entry> {
    return this.#entries.values();
  }

  entry(fullName: string): Entry | undefined {
    return this.#entries.get(fullName);
  }

  add(source: SourceFile): Document | undefined {
    if (this.#paths.has(source.path) || this.#documents.length >= MAX_FILES) return undefined;
    this.#paths.add(source.path);
    const document = parseDocument(source, this.#problems);
    this.#documents.push(document);
    for (const declaration of document.declarations) {
      this.#declare(declaration, document, undefined);
    }
    return document;
  }

  /** Loads what a given file imports. */
  loadImports(document: Document): void {
    for (const { name, place } of document.imports) {
      if (isIgnoredImport(name) || this.#entries.has(name)) continue;
      if (!this.#load(name, place)) {
        this.#problems.add(
          place,
          `Cannot find import "${name}"`,
          `Looked for ${name.replaceAll('.', '/')}.aidl: name its root folder with -I`,
        );
      } else if (!this.#entries.has(name)) {
        this.#problems.add(place, `Cannot find "${name}": its file does not declare it`);
      }
    }
  }

  /**
   * What a name means where it stands; undefined when nothing, which is told.
   *
   * @param quiet Tell nothing.
   */
  resolve(
    name: string,
    place: Place,
    scope: Entry,
    quiet = false,
  ): Entry | { readonly builtIn: string } | undefined {
    const builtIn = builtInName(name);
    if (builtIn !== undefined) return { builtIn };
    const full = this.#fullName(name, scope);
    const known = this.#entries.get(full);
    if (known !== undefined) return known;
    this.#load(full, place);
    const found = this.#entries.get(full);
    if (found === undefined && !quiet) {
      this.#problems.add(place, `Cannot find type "${name}"`, this.#advice(name, scope));
    }
    return found;
  }

  #fullName(name: string, scope: Entry): string {
    const dot = name.indexOf('.');
    const first = dot < 0 ? name : name.slice(0, dot);
    const rest = dot < 0 ? '' : name.slice(dot);
    for (let entry: Entry | undefined = scope; entry !== undefined; entry = entry.outer) {
      if (entry.node.nested.some((each) => each.name === first)) {
        return `${entry.fullName}.${first}${rest}`;
      }
    }
    const { imports, declarations, packageName } = scope.document;
    const imported = imports.find(
      (each) => each.name.slice(each.name.lastIndexOf('.') + 1) === first,
    );
    if (imported !== undefined) return imported.name + rest;
    if (declarations.some((each) => each.name === first)) return qualify(packageName, name);
    return name;
  }

  #advice(name: string, scope: Entry): string {
    const sibling = qualify(scope.document.packageName, name);
    if (this.#entries.has(sibling) || this.#sources.find(pathOf(sibling)).length > 0) {
      return `Import it: import ${sibling};`;
    }
    const other = [...this.#entries.keys()].find((each) => each.endsWith(`.${name}`));
    return other === undefined
      ? 'Declare it, or import it with its package'
      : `Import it: import ${other};`;
  }

  /** Reads the file of a type, or of the type that it is nested in. */
  #load(fullName: string, place: Place): boolean {
    const parts = fullName.split('.');
    for (let count = parts.length; count > 0; count--) {
      const path = pathOf(parts.slice(0, count).join('.'));
      const known = this.#sought.get(path);
      if (known === true) return true;
      if (known === false) continue;
      const files = this.#sources.find(path);
      this.#sought.set(path, files.length > 0);
      if (files.length > 1) {
        const where = files.map((each) => each.path).join(', ');
        this.#problems.add(place, `Cannot choose the file of "${fullName}": found ${where}`);
      }
      const [file] = files;
      if (file === undefined) continue;
      this.add(file);
      return true;
    }
    return false;
  }

  #declare(node: Declaration, document: Document, outer: Entry | undefined): void {
    const fullName =
      outer === undefined
        ? qualify(document.packageName, node.name)
        : `${outer.fullName}.${node.name}`;
    const known = this.#entries.get(fullName);
    if (known !== undefined) {
      const { source, line } = known.node.place;
      this.#problems.add(
        node.place,
        `Cannot declare "${fullName}" twice`,
        `The other one is in ${source.path}, line ${line}`,
      );
      return;
    }
    const reserved = fullName.split('.').find((part) => isReservedTypeName(part));
    if (reserved !== undefined) {
      this.#problems.add(node.place, `Cannot name a type "${fullName}": "${reserved}" is reserved`);
    }
    const entry: Entry = { fullName, node, document, outer };
    this.#entries.set(fullName, entry);
    for (const nested of node.nested) this.#declare(nested, document, entry);
  }
}

const qualify = (packageName: string, name: string): string =>
  packageName === '' ? name : `${packageName}.${name}`;

const pathOf = (fullName: string): string => `${fullName.replaceAll('.', '/')}.aidl`;
