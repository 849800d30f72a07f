/** The payload's libraries: for the architecture of their folder, and with what the launcher calls. */

import { basename } from 'node:path';
import { ARCHITECTURES } from '../../core/arch.ts';
import { FormatError } from '../../core/errors.ts';
import { readDynamicLibrary, readElfIdentity } from '../../formats/elf/dynamic.ts';
import { openFileSource } from '../../io/byte-source.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import type { CheckContext, CheckedPayload } from './context.ts';

/** What the launcher calls. @see AOSP vm_main.h */
const ENTRY_SYMBOL = 'AVmPayload_main';
/** The same, as C++ writes it where nobody says otherwise. */
const MANGLED_ENTRY = '_Z15AVmPayload_mainv';
/** How a library says that it runs with glibc. */
const GLIBC = 'libc.so.6';
/** How musl and bionic are named. */
const OTHER_LIBC = 'libc.so';

interface AbiNames {
  readonly elfClass: 32 | 64;
  /** `e_machine`. */
  readonly machine: number;
}

/** What libraries in the folders of an APK are made of. @see https://developer.android.com/ndk/guides/abis */
const ABIS: Readonly<Record<string, AbiNames>> = {
  x86_64: { elfClass: 64, machine: 62 },
  'arm64-v8a': { elfClass: 64, machine: 183 },
  'armeabi-v7a': { elfClass: 32, machine: 40 },
  riscv64: { elfClass: 64, machine: 243 },
  x86: { elfClass: 32, machine: 3 },
};

export async function checkLibraries(context: CheckContext): Promise<void> {
  for (const payload of context.payloads) {
    for (const [abi, paths] of Object.entries(payload.data.libraries)) {
      for (const [index, path] of (paths ?? []).entries()) {
        const at = [...payload.at, 'libraries', abi, index];
        const real = context.realPath(at);
        if (real !== undefined) await checkLibrary(context, payload, { at, abi, path, real });
      }
    }
  }
}

interface Library {
  readonly at: RecipePath;
  readonly abi: string;
  readonly path: string;
  readonly real: string;
}

async function checkLibrary(
  context: CheckContext,
  payload: CheckedPayload,
  { at, abi, path, real }: Library,
): Promise<void> {
  const source = await openFileSource(real, path);
  try {
    const found = await readElfIdentity(source);
    const wanted = ABIS[abi];
    if (wanted?.machine !== found.machine || wanted.elfClass !== found.elfClass) {
      const own = Object.entries(ABIS).find(
        ([, each]) => each.machine === found.machine && each.elfClass === found.elfClass,
      )?.[0];
      context.tell(
        at,
        `"${path}" is for ${own ?? `machine ${found.machine}`}, and stands in libraries.${abi}`,
        own === undefined ? `Build it for ${abi}` : `Write it below libraries.${own}`,
      );
      return;
    }
    const { arch } = context.recipe.data;
    if (abi === ARCHITECTURES[arch].abi)
      await checkForGuest(context, payload, { at, path }, source);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    context.tell(at, `"${path}" is no library: ${error.message}`, 'Name a shared library (.so)');
  } finally {
    await source.close();
  }
}

/** A library that the guest loads. */
async function checkForGuest(
  context: CheckContext,
  { at: payloadAt, data }: CheckedPayload,
  { at, path }: Pick<Library, 'at' | 'path'>,
  source: ByteSource,
): Promise<void> {
  const library = await readDynamicLibrary(source);
  const { runtime } = context.recipe.data;
  if (runtime !== 'glibc' && library.needed.includes(GLIBC) && context.isSound(['runtime'])) {
    context.tell(
      at,
      `"${path}" is linked with glibc (it needs ${GLIBC}), and the recipe says runtime: ${runtime}`,
      `Link it with ${runtime}, or write runtime: glibc`,
    );
  }
  if (
    runtime === 'glibc' &&
    library.needed.includes(OTHER_LIBC) &&
    !library.needed.includes(GLIBC) &&
    context.isSound(['runtime'])
  ) {
    context.tell(
      at,
      `"${path}" is linked with musl or bionic (it needs ${OTHER_LIBC}), and the recipe says runtime: glibc`,
      'Link it with glibc, or write the runtime that it is linked with',
    );
  }
  const isEntry =
    data.entry === basename(path) ||
    (typeof data.config === 'object' &&
      data.config.task.type === 'microdroid_launcher' &&
      data.config.task.command === basename(path));
  if (!isEntry || (await library.exports(ENTRY_SYMBOL))) return;
  context.tell(
    data.entry === undefined
      ? [...payloadAt, 'config', 'task', 'command']
      : [...payloadAt, 'entry'],
    `"${path}" does not export ${ENTRY_SYMBOL}, which the launcher calls`,
    (await library.exports(MANGLED_ENTRY))
      ? `It exports ${MANGLED_ENTRY}: declare the function extern "C"`
      : 'Define int AVmPayload_main(void), with default visibility',
  );
}
