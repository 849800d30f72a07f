/** Compares two APKs: the entries, then the signing block, then what stands between them. */

import type { DumpNode } from '../../core/dump.ts';
import { FormatError } from '../../core/errors.ts';
import { dumpApk } from '../../formats/apk/dump.ts';
import { readZip } from '../../formats/zip/read.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { zipEntries } from '../entries/archives.ts';
import { namedCause } from './causes.ts';
import { compareDumps, type Meaning } from './dumps.ts';
import { compareEntries } from './entries.ts';
import type { Nature } from './finding.ts';
import type { Scope } from './recorder.ts';

const PLACES = ['localHeaderOffset'];

/** Signatures of scheme v1. */
const natureOf = (name: string): Nature =>
  /^META-INF\/(?:[^/]+\.(?:RSA|DSA|EC|SF)|MANIFEST\.MF|SIG-[^/]+)$/i.test(name)
    ? 'signature'
    : 'origin';

export async function compareZips(scope: Scope, a: ByteSource, b: ByteSource): Promise<void> {
  await compareEntries(scope, zipEntries(a), zipEntries(b), { places: PLACES });
  await compareComments(scope, a, b);
}

async function compareComments(scope: Scope, a: ByteSource, b: ByteSource): Promise<void> {
  const comment = async (source: ByteSource): Promise<string> => {
    const { end, endOffset } = await readZip(source);
    if (endOffset + 22 + end.commentLength > source.size) return '';
    return Buffer.from(await source.read(endOffset + 22, end.commentLength)).toString('latin1');
  };
  const [x, y] = [await comment(a), await comment(b)];
  if (x !== y) scope.found({ level: 'structure', field: 'comment', a: x, b: y });
}

const SIGNING_BLOCK = 'APK Signing Block';

/** @throws {FormatError} when one is no archive. */
export async function compareApks(scope: Scope, a: ByteSource, b: ByteSource): Promise<void> {
  await compareEntries(scope, zipEntries(a), zipEntries(b), { places: PLACES, natureOf });
  await compareComments(scope, a, b);
  const block = async (source: ByteSource): Promise<DumpNode | undefined> => {
    try {
      return (await dumpApk(source)).children.find(({ name }) => name === SIGNING_BLOCK);
    } catch (error) {
      if (error instanceof FormatError) return undefined;
      throw error;
    }
  };
  const [x, y] = [await block(a), await block(b)];
  const none: DumpNode = { name: SIGNING_BLOCK, fields: [], children: [] };
  const judge = (part: string, field: string): Meaning => {
    if (field.startsWith('digest ') || field === 'size') return { nature: 'consequence' };
    const isKey = field.startsWith('certificate') || field.startsWith('public key');
    const cause = isKey ? namedCause('key', 'signed with another key') : undefined;
    const isSignature = part !== '' || field !== '';
    return { nature: isSignature ? 'signature' : 'origin', ...(cause && { cause }) };
  };
  compareDumps(scope.at('signing block'), x ?? none, y ?? none, judge);
}
