/** Finds the AIDL interface that a call names, and parses `IFoo.method` and its JSON arguments. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../core/errors.ts';
import { parseAidl } from '../runner/aidl/parse.ts';
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

/** The `.aidl` files of a folder, parsed; none when there is no such folder. */
export async function readInterfaces(folder: string): Promise<InterfaceDescription[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const found: InterfaceDescription[] = [];
  for (const name of names.filter((each) => each.endsWith('.aidl')).sort()) {
    found.push(parseAidl(await readFile(join(folder, name), 'utf8'), name));
  }
  return found;
}

/** @throws {UsageError} naming the interfaces that there are. */
export function findInterface(
  interfaces: readonly InterfaceDescription[],
  name: string,
): InterfaceDescription {
  const found = interfaces.find(
    ({ descriptor }) => descriptor === name || descriptor.endsWith(`.${name}`),
  );
  if (found !== undefined) return found;
  const known = interfaces.map(({ descriptor }) => descriptor).join(', ');
  throw new UsageError('usage', `Cannot find the interface "${name}"`, {
    hint:
      known === ''
        ? 'Name its file with --aidl FILE'
        : `Known are ${known}; others with --aidl FILE`,
  });
}
