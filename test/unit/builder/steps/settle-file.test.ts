import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { settleFile } from '../../../../src/builder/steps/settle-file.ts';
import { loadNativeLibrary } from '../../../../src/native/library.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

describe('settleFile()', () => {
  test.each([0, 1, 63, 64, 4096, 3_000_001])(
    'gives size and SHA-256 of %d bytes, with the native library and without',
    async (size) => {
      const folder = tmpDir();
      const bytes = Buffer.alloc(size, 'microbuild');
      writeFileSync(join(folder, 'file'), bytes);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const expected = { path: 'file', size, sha256 };
      expect(await settleFile(folder, 'file', undefined)).toEqual(expected);
      const library = await loadNativeLibrary();
      expect(library).toBeDefined();
      expect(await settleFile(folder, 'file', library)).toEqual(expected);
    },
  );
});
