/** What a new recipe and the things in it are called: all of it follows from one name. */

import { UsageError } from '../../core/errors.ts';
import { rustName } from '../../runner/aidl/generate/rust-types.ts';

export interface Names {
  /** Of the recipe, such as `my-vm`. */
  readonly name: string;
  /** Of types, such as `MyVm`. */
  readonly typeName: string;
  /** Of the payload's package, such as `dev.example.myvm`. */
  readonly package: string;
}

const NAME = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;
/** Names of machines, which are those of recipes, are no longer. */
const MAX_NAME = 63;
const PACKAGE = /^[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+$/;
const MAX_PACKAGE = 200;

/**
 * @param given Outright; default: as the folder.
 * @param folder Name of the folder that the recipe goes to.
 * @throws {UsageError} for what cannot be a name.
 */
export function namesOf(
  given: { readonly name?: string | undefined; readonly package?: string | undefined },
  folder: string,
): Names {
  const name = given.name ?? nameFrom(folder);
  if (!NAME.test(name) || name.length > MAX_NAME) {
    const what = given.name === undefined ? `The folder "${folder}"` : `"${name}"`;
    throw new UsageError('usage', `${what} gives no name for a recipe`, {
      hint: 'Write --name with lower-case letters, digits and single dashes, beginning with a letter',
    });
  }
  const packageName = given.package ?? `dev.example.${name.replaceAll('-', '')}`;
  if (!PACKAGE.test(packageName) || packageName.length > MAX_PACKAGE) {
    throw new UsageError('usage', `"${packageName}" is no name of a package`, {
      hint: 'Write at least two parts of lower-case letters, digits and _, such as com.example.hello',
    });
  }
  const typeName = name
    .split('-')
    .map((part) => part.slice(0, 1).toUpperCase() + part.slice(1))
    .join('');
  return { name, typeName, package: packageName };
}

/** The nearest name to that of a folder. */
const nameFrom = (folder: string): string =>
  folder
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^[^a-z]+|-$/g, '');

/** What stands in templates for names, in texts and in paths. */
export function placeholders(
  names: Names,
  place: { readonly directory: string; readonly root: string; readonly run: string },
): ReadonlyMap<string, string> {
  const parts = names.package.split('.');
  const values = new Map([
    ['__name__', names.name],
    ['__Name__', names.typeName],
    ['__package__', names.package],
    ['__package_path__', parts.join('/')],
    ['__package_module__', parts.map(rustName).join('::')],
    ['__dir__', place.directory],
    ['__root__', place.root],
  ]);
  return values.set('__run__', substitute(place.run, values));
}

/** Replaces all placeholders of a text. @throws {TypeError} for one that is not known. */
export const substitute = (text: string, values: ReadonlyMap<string, string>): string =>
  text.replaceAll(/__[A-Za-z]+(?:_[a-z]+)*__/g, (placeholder) => {
    const value = values.get(placeholder);
    if (value === undefined) throw new TypeError(`A template has ${placeholder}`);
    return value;
  });
