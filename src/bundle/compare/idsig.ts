/** Compares two idsigs: the APK Signature Scheme v4. */

import { dumpIdsig } from '../../formats/apk/dump.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { firstDifference } from './bytes.ts';
import { namedCause } from './causes.ts';
import { compareDumps, type Meaning } from './dumps.ts';
import type { Scope } from './recorder.ts';

/** @param isAlone The APK is not compared, from which its digests follow. */
export async function compareIdsigs(
  scope: Scope,
  a: ByteSource,
  b: ByteSource,
  isAlone = true,
): Promise<void> {
  const offset = await firstDifference(a, b, scope.signal);
  if (offset === undefined) return;
  const digest: Meaning = { level: 'content', nature: isAlone ? 'origin' : 'consequence' };
  const judge = (_part: string, field: string): Meaning => {
    if (field === 'raw root hash' || field === 'apk digest') return digest;
    if (field === 'tree') return { nature: 'consequence' };
    if (field === 'signature') return { nature: isAlone ? 'signature' : 'consequence' };
    if (field === 'salt') {
      return { cause: namedCause('random-salt', 'a salt comes from chance') };
    }
    return { nature: 'signature', cause: namedCause('key', 'signed with another key') };
  };
  const before = scope.total();
  compareDumps(scope, await dumpIdsig(a), await dumpIdsig(b), judge);
  if (scope.total() === before) scope.found({ level: 'bytes', field: 'hash tree', offset });
}
