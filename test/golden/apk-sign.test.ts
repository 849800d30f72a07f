/** Signing must give the bytes that AOSP's apksigner gives (RSA PKCS#1 v1.5 is deterministic). */

import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../src/io/byte-source.ts';
import { MemorySink } from '../../src/io/image-sink.ts';
import { signApk } from '../../src/signing/apk/sign.ts';
import { corpus, corpusPath } from '../support/corpus.ts';
import { corpusKey } from '../unit/signing/apk/fixtures.ts';

interface GoldenCase {
  readonly in: string;
  readonly out: string;
  readonly signers: readonly string[];
  readonly lineage: string | null;
  readonly options: Readonly<Record<string, string>>;
}

const folder = (...parts: string[]): string => corpusPath('sig-apksig', ...parts);

const cases: readonly GoldenCase[] = corpus
  ? (
      JSON.parse(readFileSync(folder('golden.json'), 'utf8')) as {
        readonly golden: readonly GoldenCase[];
      }
    ).golden
  : [];

/** Why a case asks for something that signing does not offer, or undefined. */
function unsupported({ lineage, options }: GoldenCase): string | undefined {
  if (lineage !== null) return 'key rotation';
  // Left out, JAR signing is on: these inputs run on releases older than Android 7.
  if (options['setV1SigningEnabled'] !== 'false') return 'JAR signing (v1)';
  if (options['setVerityEnabled'] === 'true') return 'verity digests';
  if (options['setAlignFileSize'] === 'true') return 'aligned file size';
  return undefined;
}

describe.skipIf(corpus === undefined)("signApk gives apksigner's bytes", () => {
  for (const golden of cases) {
    const reason = unsupported(golden);
    const [keyName = ''] = golden.signers;
    test.skipIf(reason !== undefined)(`${golden.out}${reason ? ` (${reason})` : ''}`, async () => {
      const output = new MemorySink();
      const idsig = new MemorySink();
      await signApk({
        input: bytesSource(readFileSync(folder('apk', golden.in))),
        output,
        idsig,
        ...corpusKey(keyName),
        entryComments: true,
        schemes: {
          v2: golden.options['setV2SigningEnabled'] !== 'false',
          v3: golden.options['setV3SigningEnabled'] !== 'false',
        },
      });
      expect(Buffer.from(output.bytes())).toEqual(readFileSync(folder('apk', golden.out)));
      const idsigPath = folder('idsig', `${golden.out}.idsig`);
      expect(existsSync(idsigPath)).toBe(true);
      expect(Buffer.from(idsig.bytes())).toEqual(readFileSync(idsigPath));
    });
  }
});
