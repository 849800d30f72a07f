/** Libraries: our own, and those of the system. */

import { bestSha256Engine } from '../../native/sha256-engine.ts';
import { LIBCRYPTSETUP } from '../../native/libcryptsetup.ts';
import { LIBFSVERITY } from '../../native/libfsverity.ts';
import { loadNativeLibrary } from '../../native/library.ts';
import {
  koffiVersion,
  openSystemLibrary,
  type SystemLibraryName,
} from '../../native/system-library.ts';
import { EnvironmentError } from '../../core/errors.ts';
import type { Check, Checker } from './check.ts';

const BUILD = 'cargo build --release -p microbuild-native (npm run setup does it)';

export const checkNative: Checker = async ({ env }) => {
  const about = { name: 'native library', for: 'speed; fsverity enable and measure' };
  const named = env['MICROBUILD_NATIVE'];
  if (named === '') {
    const found = 'turned off by MICROBUILD_NATIVE';
    return { ...about, status: 'limited', found, fix: 'unset MICROBUILD_NATIVE' };
  }
  try {
    const library = await loadNativeLibrary(named);
    if (library === undefined) {
      const found = 'not built, or of other sources: hashing takes several times as long';
      return { ...about, status: 'limited', found, fix: BUILD };
    }
    const engine = bestSha256Engine(library);
    return { ...about, status: 'ok', found: `${library.path}, SHA-256 by ${engine}` };
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    // Asked for by name, so that every command fails.
    return { ...about, status: 'missing', found: error.message, fix: error.hint ?? BUILD };
  }
};

export const checkKoffi: Checker = async () => {
  const about = { name: 'koffi', for: 'the native library, --engine system' };
  try {
    return { ...about, status: 'ok', found: await koffiVersion() };
  } catch (error) {
    const found = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return { ...about, status: 'limited', found, fix: 'npm install' };
  }
};

const checkSystemLibrary =
  (library: SystemLibraryName): Checker =>
  async (): Promise<Check> => {
    const about = { name: library.soname, for: '--engine system' };
    try {
      await openSystemLibrary(library);
      return { ...about, status: 'ok', found: 'found' };
    } catch (error) {
      if (!(error instanceof EnvironmentError)) throw error;
      const fix = `apt-get install ${library.debianPackage}`;
      return { ...about, status: 'limited', found: 'not installed', fix };
    }
  };

export const checkLibcryptsetup = checkSystemLibrary(LIBCRYPTSETUP);
export const checkLibfsverity = checkSystemLibrary(LIBFSVERITY);
