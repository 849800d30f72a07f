// Debian's `aidl`, of Android 10, on several hundred texts: what it accepts we accept, what it refuses we
// refuse, but for what later Androids changed.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compileAidl } from '../../src/runner/aidl/compile.ts';
import { RecipeError } from '../../src/core/errors.ts';
import { aidlFolder } from '../support/aidl.ts';
import { aidlSamples, SAMPLE_IMPORTS } from '../support/aidl-samples.ts';
import { runTool } from '../support/tools.ts';
import { tmpDir } from '../support/tmp-dir.ts';

/** Where we judge as the compiler of Android 15 does, and the one of Android 10 did not. */
const DIFFERENCES: readonly (readonly [text: RegExp, ours: 'accepts' | 'refuses', why: string])[] =
  [
    [/interface S { } interface T/, 'refuses', 'a file declares one type'],
    [/@nullable @nullable/, 'refuses', 'annotations cannot be repeated'],
    [/int a; int a;/, 'refuses', 'fields have names of their own'],
    [/@utf8InCpp List<(?:P|IBinder)>/, 'refuses', 'only texts are encoded'],
    [/const int A = [1(-].*[<|+(]/, 'accepts', 'expressions are computed'],
    [/int a = 1 << 3/, 'accepts', 'expressions are computed'],
    [/\{1, 2, 3,\}/, 'accepts', 'a comma may end the values'],
    [/Map<String, String> f/, 'accepts', 'generic maps are AIDL, if nothing that vsock carries'],
    [/@nullable (?:CharSequence|FileDescriptor) /, 'accepts', 'they can be null'],
  ];

test('texts are judged as Android judges them, but for the differences that are listed', () => {
  const folder = tmpDir();
  mkdirSync(join(folder, 'p'));
  for (const [path, text] of Object.entries(SAMPLE_IMPORTS))
    writeFileSync(join(folder, path), text);
  const sources = aidlFolder(SAMPLE_IMPORTS);
  const input = join(folder, 'p/S.aidl');
  const output = join(folder, 'out');
  const samples = aidlSamples();
  expect(samples.length).toBeGreaterThan(300);
  const used = new Set<RegExp>();
  const unexpected = samples.flatMap((text) => {
    writeFileSync(input, text);
    const { status } = runTool('aidl', ['--lang=java', `-I${folder}`, input, '-o', output]);
    const theirs = status === 0 ? 'accepts' : 'refuses';
    const ours = verdict(text);
    if (ours === theirs) return [];
    const known = DIFFERENCES.find(
      ([pattern, verdictOf]) => verdictOf === ours && pattern.test(text),
    );
    if (known === undefined) return [`${text}: aidl ${theirs}, microbuild ${ours}`];
    used.add(known[0]);
    return [];
  });
  expect(unexpected).toEqual([]);
  expect(DIFFERENCES.filter(([pattern]) => !used.has(pattern))).toEqual([]);

  function verdict(text: string): 'accepts' | 'refuses' {
    try {
      compileAidl([{ path: input, text }], {
        sources,
        allowUnsupported: true,
        checkFileNames: true,
      });
      return 'accepts';
    } catch (error) {
      if (error instanceof RecipeError) return 'refuses';
      throw error;
    }
  }
});
