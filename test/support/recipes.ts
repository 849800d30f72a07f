/** Recipes for tests: copies of hello, changed. */

import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Replacements in the recipe's text; each must apply. */
export type Edits = readonly (readonly [from: string, to: string])[];

/** Copies `recipes/hello` to `folder` and edits its recipe. */
export function copyHello(folder: string, edits: Edits = []): string {
  cpSync('recipes/hello', folder, { recursive: true });
  edit(join(folder, 'microbuild.yaml'), edits);
  return folder;
}

/** What makes hello a guest for aarch64; its lock pins other packages then. */
export const ON_AARCH64: Edits = [
  ['arch: x86_64', 'arch: aarch64'],
  ['linux-image-cloud-amd64', 'linux-image-cloud-arm64'],
  ['libraries: { x86_64:', 'libraries: { arm64-v8a:'],
];

/** A recipe whose payload is one of `test/fixtures/payloads`. */
export function payloadRecipe(folder: string, name: string): string {
  copyHello(folder, [
    ['command: [make]', 'command: [make, OUT=build]'],
    ['inputs: [Makefile, src]', 'inputs: [payloads]'],
    ['name: hello', `name: ${name}`],
    ['outputs: [build/libhello.so]', `outputs: [payloads/build/lib${name}.so]`],
    ['[build/libhello.so]', `[payloads/build/lib${name}.so]`],
    ['entry: libhello.so', `entry: lib${name}.so`],
    ['  interfaces: [aidl/dev/microbuild/hello/IHello.aidl]\n', ''],
    [', rpcPort: 5678', ''],
    ['command: [make, OUT=build]', 'command: [make, -C, payloads, OUT=build]'],
  ]);
  cpSync('test/fixtures/payloads', join(folder, 'payloads'), { recursive: true });
  return folder;
}

/** Changes a recipe’s text. */
export function edit(file: string, edits: Edits): void {
  let text = readFileSync(file, 'utf8');
  for (const [from, to] of edits) {
    if (!text.includes(from)) throw new Error(`${file} does not contain ${JSON.stringify(from)}`);
    text = text.replace(from, to);
  }
  writeFileSync(file, text);
}
