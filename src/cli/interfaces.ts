/** Finds the AIDL interface that a call names, and parses `IFoo.method` and its JSON arguments. */

import { readFile } from 'node:fs/promises';
import { UsageError } from '../core/errors.ts';
import { compileAidl } from '../runner/aidl/compile.ts';
import { aidlSources, listAidlFiles, readAidlFiles } from '../runner/aidl/files.ts';
import type { InterfaceDescription } from '../runner/aidl/types.ts';

export interface MethodName {
  /** Simple or full name of the interface. */
  readonly iface: string;
  readonly method: string;
}

/** @throws {UsageError} when the text is not `INTERFACE.METHOD`. */
export function parseMethodName(text: string): MethodName {
  const dot = text.lastIndexOf('.');
  if (dot <= 0 || dot === text.length - 1) {
    throw new UsageError('usage', `Cannot call "${text}": it is not INTERFACE.METHOD`, {
      hint: 'Write it as in IHello.hello',
    });
  }
  return { iface: text.slice(0, dot), method: text.slice(dot + 1) };
}

/** Arguments as JSON; what is no JSON is an error that shows how to quote. */
export function parseArguments(texts: readonly string[]): unknown[] {
  return texts.map((text) => {
    try {
      return JSON.parse(text) as unknown;
    } catch (cause) {
      throw new UsageError('usage', `Cannot use the argument ${text}: it is not JSON`, {
        cause,
        hint: `A text is written with its quotes, inside quotes of the shell: '${JSON.stringify(text)}'`,
      });
    }
  });
}

/**
 * The arguments of a file that holds them as one JSON array.
 *
 * @throws {UsageError} when it holds anything else.
 */
export async function readArguments(path: string): Promise<unknown[]> {
  const wrong = (cause?: unknown): UsageError =>
    new UsageError('input', `Cannot use ${path}: it holds no JSON array of arguments`, {
      cause,
      hint: 'Write the arguments as in ["text", 7, {"field": true}]',
    });
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new UsageError('input', `Cannot read ${path}`, { cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw wrong(cause);
  }
  if (!Array.isArray(value)) throw wrong();
  return value as unknown[];
}

/** The interfaces of the `.aidl` files of a folder; none when there is no such folder. */
export async function readInterfaces(folder: string): Promise<InterfaceDescription[]> {
  return Promise.resolve(interfacesOf(listAidlFiles(folder), []));
}

/**
 * All interfaces that files declare or lead to. Methods that no call can carry are kept, marked: others
 * of the same interface can be called.
 *
 * @param folders Searched for imports.
 * @throws {RecipeError} with all problems of the files.
 */
export function interfacesOf(
  paths: readonly string[],
  folders: readonly string[],
): InterfaceDescription[] {
  const files = readAidlFiles(paths);
  const { all } = compileAidl(files, {
    sources: aidlSources(folders, files),
    allowUnsupported: true,
  });
  return [...all.values()].filter((type) => type.kind === 'interface');
}

/** @throws {UsageError} naming the interfaces that there are. */
export function findInterface(
  interfaces: readonly InterfaceDescription[],
  name: string,
): InterfaceDescription {
  const found =
    interfaces.find(({ fullName, descriptor }) => fullName === name || descriptor === name) ??
    interfaces.find(({ fullName }) => fullName.endsWith(`.${name}`));
  if (found !== undefined) return found;
  const known = interfaces.map(({ fullName }) => fullName).join(', ');
  throw new UsageError('usage', `Cannot find the interface "${name}"`, {
    hint:
      known === ''
        ? 'Name its file with --aidl FILE'
        : `Known are ${known}; others with --aidl FILE`,
  });
}
