/** Which module talks to a token: the one that the URI names, or the environment. */

import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../core/errors.ts';
import type { Cryptoki, LoadCryptoki } from '../../formats/pkcs11/cryptoki.ts';
import type { Pkcs11Uri } from './pkcs11-uri.ts';

/** Names a module for URIs that name none. */
export const MODULE_VARIABLE = 'MICROBUILD_PKCS11_MODULE';

/** Where Debian, Fedora and `make install` put modules; `ARCH` stands for Debian's folder of a machine. */
const FOLDERS = [
  '/usr/lib/ARCH/pkcs11',
  '/usr/lib/ARCH',
  '/usr/lib/ARCH/softhsm',
  '/usr/lib64/pkcs11',
  '/usr/lib64',
  '/usr/lib64/softhsm',
  '/usr/lib/pkcs11',
  '/usr/lib/softhsm',
  '/usr/lib',
  '/usr/local/lib/pkcs11',
  '/usr/local/lib/softhsm',
  '/usr/local/lib',
];

const MACHINES: Readonly<Record<string, string>> = {
  x64: 'x86_64-linux-gnu',
  arm64: 'aarch64-linux-gnu',
};

const HINT = `Write module-path=/PATH/OF/MODULE.so behind the "?" of the URI, or set ${MODULE_VARIABLE}`;

/** @throws {UsageError} `key` when there is no such module, or it does not start. */
export async function loadModule(
  uri: Pkcs11Uri,
  load: LoadCryptoki,
  { env, signal }: { readonly env: NodeJS.ProcessEnv; readonly signal?: AbortSignal | undefined },
): Promise<Cryptoki> {
  const path = await findModule(uri, env);
  try {
    return await load(path, { signal });
  } catch (cause) {
    signal?.throwIfAborted();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError('key', `Cannot use PKCS#11 module ${path}: ${reason}`, {
      cause,
      hint: 'It must be a PKCS#11 library that was built for this machine',
    });
  }
}

async function findModule(uri: Pkcs11Uri, env: NodeJS.ProcessEnv): Promise<string> {
  const { modulePath, moduleName } = uri;
  const fromEnvironment = env[MODULE_VARIABLE];
  if (modulePath !== undefined) return fileOf(modulePath, moduleName);
  if (moduleName !== undefined) {
    const machine = MACHINES[process.arch];
    const folders = FOLDERS.filter((folder) => machine !== undefined || !folder.includes('ARCH'));
    return findNamed(
      moduleName,
      folders.map((folder) => folder.replace('ARCH', machine ?? '')),
    );
  }
  if (fromEnvironment === undefined || fromEnvironment === '') {
    throw new UsageError('key', 'Cannot use PKCS#11 URI: it names no module', { hint: HINT });
  }
  if (!fromEnvironment.startsWith('/')) {
    throw new UsageError('key', `Cannot use ${MODULE_VARIABLE}: it is no absolute path`, {
      hint: `Set ${MODULE_VARIABLE} to the whole path of the module`,
    });
  }
  return fileOf(fromEnvironment, undefined);
}

/** @param name Of the module in a folder, which a module path may be. */
async function fileOf(path: string, name: string | undefined): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() === true && name !== undefined) return findNamed(name, [path]);
  if (found?.isFile() === true) return path;
  const reason = found === undefined ? 'there is no such file' : 'it is no file';
  throw new UsageError('key', `Cannot use PKCS#11 module ${path}: ${reason}`, {
    hint: 'Install the library of the token (SoftHSM: apt-get install softhsm2), or correct the path',
  });
}

async function findNamed(name: string, folders: readonly string[]): Promise<string> {
  for (const folder of folders) {
    for (const file of [`lib${name}.so`, `${name}.so`, `${name}-pkcs11.so`]) {
      const path = join(folder, file);
      const exists = await access(path).then(
        () => true,
        () => false,
      );
      if (exists) return path;
    }
  }
  throw new UsageError(
    'key',
    `Cannot find PKCS#11 module ${name}: there is no lib${name}.so in ${folders.join(', ')}`,
    { hint: HINT },
  );
}
