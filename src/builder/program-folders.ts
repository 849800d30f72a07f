/** The folders in which programs are looked for. */

import { stat } from 'node:fs/promises';
import { delimiter, resolve } from 'node:path';

/** Those of PATH that are there, in order. */
export async function programFolders(env: NodeJS.ProcessEnv): Promise<string[]> {
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const found = await Promise.all(
    folders.map(async (folder) => {
      const path = resolve(folder);
      const stats = await stat(path).catch(() => undefined);
      return stats?.isDirectory() === true ? [path] : [];
    }),
  );
  return found.flat();
}
