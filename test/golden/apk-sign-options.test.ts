/**
 * Signing must give the bytes of apksig in Android 14 with all of its options, also where AOSP's own
 * tests have no sample. apksig was asked once; its answers are in the table.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { decodeLineageFile } from '../../src/formats/apk/lineage.ts';
import { bytesSource } from '../../src/io/byte-source.ts';
import { MemorySink } from '../../src/io/image-sink.ts';
import type { Lineage } from '../../src/signing/apk/lineage-change.ts';
import { signApk, type ApkSigner } from '../../src/signing/apk/sign.ts';
import { corpus, corpusPath } from '../support/corpus.ts';
import { corpusKey } from '../unit/signing/apk/fixtures.ts';

interface Row {
  readonly apk: string;
  /** `-` where there is none. */
  readonly idsig: string;
  readonly input: string;
  readonly signers: readonly string[];
  readonly options: ReadonlyMap<string, string>;
}

const rows: readonly Row[] = readFileSync('test/golden/apk-sign-options.txt', 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => {
    const [apk = '', idsig = '', input = '', signers = '', ...options] = line.split(' ');
    const pairs = options.map((option) => option.split('=') as [string, string]);
    return { apk, idsig, input, signers: signers.split(','), options: new Map(pairs) };
  });

const lineageOf = (name: string | undefined): Lineage | undefined =>
  name === undefined
    ? undefined
    : decodeLineageFile(new Uint8Array(readFileSync(corpusPath('sig-apksig', 'keys', name))));

/** `KEY[+CERTIFICATE...][:NAME[:SDK:LINEAGE]]` */
function signerOf(text: string): ApkSigner {
  const [keys = '', name, minSdk, lineage] = text.split(':');
  const chain = keys.split('+').map(corpusKey);
  const [own] = chain;
  if (own === undefined) throw new Error(`${text} names no key`);
  return {
    signer: own.signer,
    certificates: chain.map(({ certificateDer }) => certificateDer),
    name: name?.replaceAll('_', ' ') || (keys.split('+')[0] ?? ''),
    ...(minSdk !== undefined && { minSdk: Number(minSdk), lineage: lineageOf(lineage) ?? [] }),
  };
}

const digest = (sink: MemorySink): string =>
  createHash('sha256').update(sink.bytes()).digest('hex').slice(0, 32);

async function sign({ input, signers, options, idsig }: Row) {
  const flag = (name: string): boolean | undefined =>
    options.has(name) ? options.get(name) === '1' : undefined;
  const number = (name: string): number | undefined =>
    options.has(name) ? Number(options.get(name)) : undefined;
  const stamp = options.get('stamp');
  const outputs = { output: new MemorySink(), idsig: new MemorySink() };
  await signApk({
    input: bytesSource(readFileSync(corpusPath('sig-apksig', 'apk', input))),
    output: outputs.output,
    idsig: idsig === '-' ? undefined : outputs.idsig,
    signers: signers.map(signerOf),
    schemes: { v1: flag('v1'), v2: flag('v2'), v3: flag('v3') },
    minSdk: number('min'),
    lineage: lineageOf(options.get('lineage')),
    rotationMinSdk: number('rot'),
    rotationTargetsDevRelease: flag('dev'),
    verity: flag('verity'),
    alignFileSize: flag('afs'),
    createdBy: options.get('by')?.replaceAll('_', ' '),
    stamp:
      stamp === undefined
        ? undefined
        : { signer: signerOf(stamp), lineage: lineageOf(options.get('stamplineage')) },
    alignment: 'kept',
    entryComments: true,
  });
  return { apk: digest(outputs.output), idsig: idsig === '-' ? '-' : digest(outputs.idsig) };
}

describe.skipIf(corpus === undefined)("signApk gives apksig's bytes", () => {
  const named = rows.map((row) => {
    const options = [...row.options].map(([name, value]) => `${name} ${value}`);
    return [[row.input, 'by', row.signers.join(' and '), ...options].join(' '), row] as const;
  });
  test.for(named)('%s', async ([, row]) => {
    expect(await sign(row)).toEqual({ apk: row.apk, idsig: row.idsig });
  });
});
