/** The digests of the recipe's own files: each file is read once, whoever asks, and not again while it does not change. */

import { join } from 'node:path';
import { openStatDigests, type KnownDigests } from '../cache/stat-digests.ts';
import type { FileReader } from '../io/file-signatures.ts';

export interface FileDigests {
  /** SHA-256 of a file in hexadecimal, and its size in bytes. */
  digestOf(path: string): Promise<{ readonly sha256: string; readonly size: number }>;
  /** Those of several, in their order. */
  digestsOf(paths: readonly string[]): Promise<KnownDigests>;
  /** Keeps what is known for the next build. */
  save(): Promise<void>;
}

/** Nothing is read before the first question. */
export function openFileDigests(cacheDirectory: string, reader?: FileReader): FileDigests {
  const file = join(cacheDirectory, 'microbuild', 'inputs');
  let opened: ReturnType<typeof openStatDigests> | undefined;
  const known = () => (opened ??= openStatDigests(file, reader && { reader }));
  /** Steps run side by side, and several may want one archive. */
  const underWay = new Map<string, ReturnType<FileDigests['digestOf']>>();
  return {
    async digestOf(path) {
      const other = underWay.get(path);
      if (other !== undefined) return other;
      const reading = known().then((table) => table.digestOf(path));
      underWay.set(path, reading);
      try {
        return await reading;
      } finally {
        underWay.delete(path);
      }
    },
    digestsOf: async (paths) => (await known()).digestsOf(paths),
    async save() {
      if (opened !== undefined) await (await opened).save();
    },
  };
}
