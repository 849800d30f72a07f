/** The payload APK of a recipe, as Android's tools read it. */

import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { builtPayload, payloadsOf, type RecipePayload } from '../../src/builder/payloads.ts';
import { writePayloadApk } from '../../src/builder/steps/payload-apk.ts';
import { RecipeError } from '../../src/core/errors.ts';
import { checkStrictApk } from '../../src/formats/apk/strict.ts';
import { openFileSource } from '../../src/io/byte-source.ts';
import { createFileSink } from '../../src/io/image-sink.ts';
import { readRecipe } from '../../src/recipe/parse.ts';
import { verifyIdsig } from '../../src/signing/apk/verify-idsig.ts';
import { verifyPayload } from '../../src/signing/apk/verify.ts';
import { copyHello } from '../support/recipes.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';
import { pattern, testKey } from '../unit/signing/apk/fixtures.ts';

function run(program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = runTool(program, args);
  expect(`${status} ${stderr}`, `${program} ${args.join(' ')}: ${stdout}`).toMatch(/^0 /);
  return stdout;
}

/** A copy of hello with other lines in its payload. */
function recipeFolder(payload: string, debug = 'none'): string {
  const folder = join(tmpDir(), 'hello');
  copyHello(folder, [
    [
      `  build:
    command: [make]
    inputs: [Makefile, src]
    outputs: [build/libhello.so]
  libraries: { x86_64: [build/libhello.so] }
`,
      payload,
    ],
    ['vm: {', `vm: { debug: ${debug},`],
  ]);
  for (const abi of ['x86_64', 'arm64-v8a']) {
    mkdirSync(join(folder, abi));
    writeFileSync(join(folder, abi, 'libhello.so'), pattern(70_000, abi.length));
  }
  mkdirSync(join(folder, 'data/deep'), { recursive: true });
  writeFileSync(join(folder, 'data/deep/u.txt'), 'deep');
  writeFileSync(join(folder, 'model.bin'), pattern(5000));
  return folder;
}

const PAYLOAD = `  libraries:
    x86_64: [x86_64/libhello.so]
    arm64-v8a: [arm64-v8a/libhello.so]
  assets: data
  files:
    - { file: model.bin, to: res/raw/model.bin }
  features:
    - { name: android.software.virtualization_framework }
    - { name: android.hardware.camera, required: false }
`;

async function build(folder: string): Promise<{ readonly apk: string; readonly idsig: string }> {
  const recipe = await readRecipe(folder);
  const paths = { apk: join(folder, 'out.apk'), idsig: join(folder, 'out.apk.idsig') };
  const { signer, certificateDer } = await testKey();
  const [apk, idsig] = [await createFileSink(paths.apk), await createFileSink(paths.idsig)];
  const payload = builtPayload(recipe, payloadsOf(recipe)[0] as RecipePayload, undefined);
  try {
    await writePayloadApk(
      recipe,
      payload,
      { apk, idsig },
      {
        config: undefined,
        keys: { signer, certificateDer, development: false },
        hasher: undefined,
        signal: new AbortController().signal,
      },
    );
  } finally {
    await Promise.all([apk.close(), idsig.close()]);
  }
  return paths;
}

const problemsOf = (folder: string): Promise<readonly string[]> =>
  build(folder).then(
    () => [],
    (error: unknown) => {
      if (!(error instanceof RecipeError)) throw error;
      return error.diagnostics.map(({ message }) => message);
    },
  );

describe('the payload APK', () => {
  test('is what the recipe says, to aapt, unzip and apksigner', async () => {
    const { apk, idsig } = await build(recipeFolder(PAYLOAD));
    const badging = run('aapt', 'dump', 'badging', apk).split('\n');
    for (const line of [
      "  uses-feature: name='android.software.virtualization_framework'",
      "  uses-feature-not-required: name='android.hardware.camera'",
      "native-code: 'arm64-v8a' 'x86_64'",
    ]) {
      expect(badging).toContain(line);
    }
    expect(badging).not.toContain('application-debuggable');
    const tree = run('aapt', 'dump', 'xmltree', apk, 'AndroidManifest.xml');
    expect(tree).toContain('android:extractNativeLibs(0x010104ea)=(type 0x12)0x0');
    expect(run('unzip', '-Z1', apk).trim().split('\n')).toEqual([
      'AndroidManifest.xml',
      'assets/deep/u.txt',
      'lib/arm64-v8a/libhello.so',
      'lib/x86_64/libhello.so',
      'res/raw/model.bin',
    ]);
    run('zipalign', '-c', '-p', '4', apk);
    run('apksigner', 'verify', '--min-sdk-version', '30', '--v4-signature-file', idsig, apk);
    const source = await openFileSource(apk);
    await checkStrictApk(source);
    await source.close();
  });

  test('is debuggable only where the VM is', async () => {
    const { apk } = await build(recipeFolder(PAYLOAD, 'full'));
    const badging = run('aapt', 'dump', 'badging', apk);
    expect(badging.split('\n')).toContain('application-debuggable');
  });

  test('has a name for each entry that every reader understands in one way', async () => {
    const folder = recipeFolder(PAYLOAD);
    writeFileSync(join(folder, 'data/A.txt'), '1');
    writeFileSync(join(folder, 'data/a.txt'), '2');
    writeFileSync(join(folder, 'data/b\\c'), '3');
    expect(await problemsOf(folder)).toEqual([
      '"assets/a.txt" in the APK is listed twice (ignoring case and normalization)',
      '"assets/b\\\\c" in the APK holds a backslash',
    ]);
  });

  test.each(['AndroidManifest.xml', 'META-INF/MANIFEST.MF', '../x', '/x', 'a//b', 'a/./b'])(
    'takes no file as %s',
    async (name) => {
      const folder = recipeFolder(PAYLOAD.replace('res/raw/model.bin', name));
      const refused = readRecipe(folder);
      await expect(refused).rejects.toThrow('payload.files.0.to');
    },
  );

  test('is streamed: a large asset is copied and signed', { timeout: 60_000 }, async () => {
    const folder = recipeFolder(PAYLOAD);
    writeFileSync(join(folder, 'data/large.bin'), 'begin');
    truncateSync(join(folder, 'data/large.bin'), 300_000_001);
    const { apk, idsig } = await build(folder);
    const [source, v4] = [await openFileSource(apk), await openFileSource(idsig)];
    expect(source.size).toBeGreaterThan(300_000_000);
    const verified = await verifyPayload(source);
    expect((await verifyIdsig(source, v4, { apk: verified })).rootHash).toHaveLength(32);
    await Promise.all([source.close(), v4.close()]);
  });

  test('beyond 4 GiB is refused before it is written', async () => {
    const folder = recipeFolder(PAYLOAD);
    writeFileSync(join(folder, 'data/large.bin'), '');
    truncateSync(join(folder, 'data/large.bin'), 2 ** 32);
    await expect(build(folder)).rejects.toThrow(/4 GiB with "assets\/large.bin"/);
  });
});
