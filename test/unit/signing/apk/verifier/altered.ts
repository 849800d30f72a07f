/** Signed APKs with another signing block: signatures do not cover it. */

import {
  encodeSigningBlock,
  findApkSections,
  readSigningBlock,
  VERITY_PADDING_BLOCK_ID,
  type BlockPair,
} from '../../../../../src/formats/apk/signing-block.ts';
import { EOCD_CENTRAL_DIRECTORY_OFFSET_AT } from '../../../../../src/formats/zip/layout.ts';
import { bytesSource } from '../../../../../src/io/byte-source.ts';

/** The pairs of an APK, without padding. */
export async function pairsOf(apk: Uint8Array): Promise<readonly BlockPair[]> {
  const source = bytesSource(apk);
  const pairs = await readSigningBlock(source, await findApkSections(source));
  return pairs.filter(({ id }) => id !== VERITY_PADDING_BLOCK_ID);
}

/** The same APK with these pairs. */
export async function withPairs(apk: Uint8Array, pairs: readonly BlockPair[]): Promise<Uint8Array> {
  const { entriesEnd, centralDirectoryOffset, endOffset } = await findApkSections(bytesSource(apk));
  const block = encodeSigningBlock(pairs);
  const end = Uint8Array.from(apk.subarray(endOffset));
  new DataView(end.buffer).setUint32(
    EOCD_CENTRAL_DIRECTORY_OFFSET_AT,
    entriesEnd + block.length,
    true,
  );
  return Uint8Array.from(
    Buffer.concat([
      apk.subarray(0, entriesEnd),
      block,
      apk.subarray(centralDirectoryOffset, endOffset),
      end,
    ]),
  );
}

/** The same APK with one pair's value changed. */
export async function withValue(
  apk: Uint8Array,
  id: number,
  change: (value: Uint8Array) => Uint8Array,
): Promise<Uint8Array> {
  const pairs = await pairsOf(apk);
  return withPairs(
    apk,
    pairs.map((pair) =>
      pair.id === id ? { id, value: change(Uint8Array.from(pair.value)) } : pair,
    ),
  );
}
