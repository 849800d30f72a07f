/** Compares two idsigs: the APK Signature Scheme v4. */

import { dumpIdsig } from '../../formats/apk/dump.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { readIdsig } from '../../formats/apk/idsig.ts';
import { firstDifference } from './bytes.ts';
import { namedCause } from './causes.ts';
import { compareDumps, type Meaning } from './dumps.ts';
import { compareGaps, type PartedFile } from './gaps.ts';
import type { Proof, Scope } from './recorder.ts';
import { compareResidue } from './residue.ts';

/** Fields that are compared by what they say, and those of keys and signatures with their sizes. */
const TOLD =
  /\/(?:raw root hash|tree|tree size|signing infos size|signing info size|(?:apk digest|certificate|public key|signature)(?: size)?|signature algorithm)$/;

async function partsOf(source: ByteSource): Promise<PartedFile> {
  const { treeOffset, treeSize } = await readIdsig(source);
  return { source, parts: [{ offset: 0, size: treeOffset + treeSize }] };
}

/**
 * @param isAlone The APK is not compared, from which its digests follow.
 * @param proof That they do, of both.
 */
export async function compareIdsigs(
  scope: Scope,
  a: ByteSource,
  b: ByteSource,
  isAlone = true,
  proof?: Proof,
): Promise<void> {
  const offset = await firstDifference(a, b, scope.signal);
  if (offset === undefined) return;
  const follows: Meaning = { nature: 'consequence', proof: scope.chain ?? proof };
  const digest: Meaning = { ...(isAlone ? {} : follows), level: 'content' };
  const judge = (_part: string, field: string): Meaning => {
    if (field === 'raw root hash' || field === 'apk digest') return digest;
    if (field === 'tree') return follows;
    if (field === 'signature') return isAlone ? { nature: 'signature' } : follows;
    if (field === 'salt') {
      return { cause: namedCause('random-salt', 'a salt comes from chance') };
    }
    // Signed, but of no key: it may say anything.
    if (field === 'additional data') return {};
    return { nature: 'signature', cause: namedCause('key', 'signed with another key') };
  };
  const before = scope.told();
  compareDumps(scope, await dumpIdsig(a), await dumpIdsig(b), judge);
  await compareGaps(scope, await partsOf(a), await partsOf(b), 'padding');
  const after = scope.told();
  if (after.total === before.total) scope.found({ level: 'bytes', field: 'hash tree', offset });
  else if (after.origins === before.origins) {
    await compareResidue(scope, 'idsig', a, b, (path) => TOLD.test(path));
  }
}
