/** Development keys that all sandboxes share: making RSA keys of 4096 bits takes longer than what most tests do with them. */

import { cpSync } from 'node:fs';
import { resolve } from 'node:path';
import { ensureDevelopmentKeys } from '../../src/signing/keys/development.ts';

/** Kept from run to run; nobody trusts what they sign. */
const FOLDER = resolve('node_modules/.cache/microbuild-test-keys');

/** Of vitest: runs once before all tests. */
export async function setup(): Promise<void> {
  await ensureDevelopmentKeys(FOLDER);
}

/** Makes `folder` a key folder that holds them. */
export function copySharedKeys(folder: string): void {
  cpSync(FOLDER, folder, { recursive: true });
}
