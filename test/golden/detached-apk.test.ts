/** A signature taken out of an APK of AOSP's and put onto its unsigned input gives that APK again. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { bytesSource, openFileSource } from '../../src/io/byte-source.ts';
import { MemorySink } from '../../src/io/image-sink.ts';
import { compareApks } from '../../src/signing/detached/apk-compare.ts';
import { formatDetachedApk, parseDetachedApk } from '../../src/signing/detached/apk-file.ts';
import { isSigned, splitApk, type ApkPieces } from '../../src/signing/detached/apk-pieces.ts';
import { putApkTogether } from '../../src/signing/detached/apk-replace.ts';
import { FormatError } from '../../src/core/errors.ts';
import { corpus, corpusPath } from '../support/corpus.ts';

const apk = (name: string): string => corpusPath('sig-apksig', 'apk', name);

const cases: readonly { readonly in: string; readonly out: string }[] = corpus
  ? (
      JSON.parse(readFileSync(corpusPath('sig-apksig', 'golden.json'), 'utf8')) as {
        golden: { in: string; out: string }[];
      }
    ).golden.filter((each) => existsSync(apk(each.in)) && existsSync(apk(each.out)))
  : [];

async function split(path: string): Promise<ApkPieces> {
  const source = await openFileSource(path);
  try {
    return await splitApk(source);
  } finally {
    await source.close();
  }
}

async function together(signature: ApkPieces, build: Uint8Array): Promise<Uint8Array> {
  const sink = new MemorySink();
  await putApkTogether(signature, bytesSource(build), sink);
  return sink.bytes();
}

describe.skipIf(corpus === undefined)('the signature of AOSP’s golden APK', () => {
  test.each(cases)('$out, put onto its input, gives it again', async (each) => {
    const text = formatDetachedApk(await split(apk(each.out)));
    const signature = parseDetachedApk(text, 'file');
    expect(formatDetachedApk(signature)).toBe(text);
    const result = await together(signature, readFileSync(apk(each.in)));
    expect(Buffer.compare(result, readFileSync(apk(each.out)))).toBe(0);
  });

  test.each(cases)('$out is over the same content as its input', async (each) => {
    const signed = await split(apk(each.out));
    expect(compareApks(signed, await split(apk(each.in))).differences).toEqual([]);
  });
});

describe.skipIf(corpus === undefined)('any APK of AOSP’s tests', () => {
  const names = corpus === undefined ? [] : readdirSync(corpusPath('sig-apksig', 'apk'));

  test('is given again by its own signature, or refused with a reason', async () => {
    let again = 0;
    for (const name of names) {
      const bytes = readFileSync(apk(name));
      try {
        const signature = await splitApk(bytesSource(bytes));
        if (!isSigned(signature)) continue;
        const result = await together(parseDetachedApk(formatDetachedApk(signature), name), bytes);
        expect([name, Buffer.compare(result, bytes)]).toEqual([name, 0]);
        again += 1;
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
      }
    }
    expect(again).toBeGreaterThan(names.length * 0.8);
  });
});
