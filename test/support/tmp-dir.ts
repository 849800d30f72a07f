/** A directory that lives as long as one test. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** Makes a new directory, removed when the running test ends. */
export function tmpDir(): string {
  const path = mkdtempSync(join(tmpdir(), 'microbuild-test-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
