/** Shared libraries of the system, called without their headers: each binding repeats what it needs of them. */

import type * as Koffi from 'koffi';
import { EnvironmentError } from '../core/errors.ts';

export interface SystemLibrary {
  readonly koffi: typeof Koffi;
  readonly library: Koffi.LibraryHandle;
}

/** Where a library comes from. */
export interface SystemLibraryName {
  /** As the dynamic linker finds it, with the number of its interface. */
  readonly soname: string;
  readonly debianPackage: string;
}

/** @throws {EnvironmentError} when this machine does not have it; the hint names Debian's package. */
export async function openSystemLibrary(name: SystemLibraryName): Promise<SystemLibrary> {
  // Only here, as loading koffi costs more than most commands need it for.
  const koffi = await import('koffi');
  try {
    return { koffi, library: koffi.load(name.soname) };
  } catch (cause) {
    const label = name.soname.replace(/\.so.*$/, '');
    throw new EnvironmentError(label, `Cannot load ${name.soname}`, {
      cause,
      hint: `Install it (Debian: apt-get install ${name.debianPackage}), or use --engine native`,
    });
  }
}

/** The version of what calls these libraries. @throws when koffi has no build for this machine. */
export async function koffiVersion(): Promise<string> {
  const koffi = await import('koffi');
  return koffi.version;
}
