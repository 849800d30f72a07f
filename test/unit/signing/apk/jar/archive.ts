/** Archives for tests, which may hold what no writer of ours writes: names twice, data that lies. */

import { createHash } from 'node:crypto';
import { crc32, deflateRawSync } from 'node:zlib';
import {
  CENTRAL_FILE_HEADER_SIGNATURE,
  CentralFileHeader,
  END_OF_CENTRAL_DIRECTORY_SIGNATURE,
  EndOfCentralDirectory,
  LOCAL_FILE_HEADER_SIGNATURE,
  LocalFileHeader,
  METHOD_DEFLATED,
  METHOD_STORED,
} from '../../../../../src/formats/zip/layout.ts';
import { bytesSource } from '../../../../../src/io/byte-source.ts';
import {
  jarDigestAlgorithm,
  signJar,
  type JarSigner,
  type SignJarOptions,
} from '../../../../../src/signing/apk/jar/sign.ts';
import { isListedInManifest } from '../../../../../src/signing/apk/jar/names.ts';
import { verifyJar, type VerifiedJar } from '../../../../../src/signing/apk/jar/verify.ts';
import { openApk, readEntries } from '../../../../../src/signing/apk/verifier/apk-view.ts';
import { createIssueLog, type Issue } from '../../../../../src/signing/apk/verifier/issue.ts';

export interface TestEntry {
  readonly name: string;
  readonly content: Uint8Array;
  readonly deflate?: boolean;
  /** Fields of the headers that say something else than they should. */
  readonly local?: Partial<Parameters<typeof LocalFileHeader.encode>[0]>;
  readonly central?: Partial<Parameters<typeof CentralFileHeader.encode>[0]>;
}

export const entry = (name: string, content: string | Uint8Array): TestEntry => ({
  name,
  content: typeof content === 'string' ? new Uint8Array(Buffer.from(content)) : content,
});

/** A ZIP archive of these entries, in this order. */
export function archive(entries: readonly TestEntry[]): Uint8Array {
  const bodies: Uint8Array[] = [];
  const records: Uint8Array[] = [];
  let offset = 0;
  for (const { name, content, deflate = false, local, central } of entries) {
    const nameBytes = Buffer.from(name, 'utf8');
    const data = deflate ? deflateRawSync(content) : content;
    const common = {
      versionNeeded: 20,
      flags: 0x800,
      method: deflate ? METHOD_DEFLATED : METHOD_STORED,
      time: 0,
      date: 0x21,
      crc32: crc32(content),
      compressedSize: data.length,
      size: content.length,
      nameLength: nameBytes.length,
      extraLength: 0,
    };
    const header = LocalFileHeader.encode({
      ...common,
      signature: LOCAL_FILE_HEADER_SIGNATURE,
      ...local,
    });
    records.push(
      CentralFileHeader.encode({
        ...common,
        signature: CENTRAL_FILE_HEADER_SIGNATURE,
        versionMadeBy: 20,
        commentLength: 0,
        diskNumber: 0,
        internalAttributes: 0,
        externalAttributes: 0,
        localHeaderOffset: offset,
        ...central,
      }),
      nameBytes,
    );
    bodies.push(header, nameBytes, data);
    offset += header.length + nameBytes.length + data.length;
  }
  const directory = Buffer.concat(records);
  const end = EndOfCentralDirectory.encode({
    signature: END_OF_CENTRAL_DIRECTORY_SIGNATURE,
    diskNumber: 0,
    centralDirectoryDisk: 0,
    entriesOnDisk: entries.length,
    entryCount: entries.length,
    centralDirectorySize: directory.length,
    centralDirectoryOffset: offset,
    commentLength: 0,
  });
  return new Uint8Array(Buffer.concat([...bodies, directory, end]));
}

/** The entries with the files of their JAR signature behind them. */
export async function signed(
  entries: readonly TestEntry[],
  signers: readonly JarSigner[],
  options: Partial<SignJarOptions> = {},
): Promise<readonly TestEntry[]> {
  const minSdk = options.minSdk ?? 18;
  const algorithm = jarDigestAlgorithm(signers, minSdk);
  const digests = new Map(
    entries
      .filter(({ name }) => isListedInManifest(name))
      .map(({ name, content }) => [
        name,
        new Uint8Array(createHash(algorithm).update(content).digest()),
      ]),
  );
  return [...entries, ...(await signJar({ signers, minSdk, digests, schemes: [], ...options }))];
}

export interface JarVerdict extends VerifiedJar {
  readonly issues: readonly Issue[];
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
}

export async function verdictOn(
  entries: readonly TestEntry[],
  options: { minSdk?: number; maxSdk?: number; foundSchemes?: readonly number[] } = {},
): Promise<JarVerdict> {
  const apk = await openApk(bytesSource(archive(entries)));
  const log = createIssueLog();
  const { minSdk = 18, maxSdk = 0x7fff_ffff, foundSchemes = [] } = options;
  const range = { minSdk, maxSdk, foundSchemes: new Set(foundSchemes) };
  const jar = await verifyJar(apk, await readEntries(apk), range, log);
  const namesOf = (severity: Issue['severity']): readonly string[] =>
    log.issues.flatMap((issue) => (issue.severity === severity ? [issue.name] : []));
  return { ...jar, issues: log.issues, errors: namesOf('error'), warnings: namesOf('warning') };
}

/** The entries with the content of one changed. */
export const edit = (
  entries: readonly TestEntry[],
  name: string,
  change: (text: string) => string,
): readonly TestEntry[] =>
  entries.map((each) =>
    each.name === name
      ? {
          ...each,
          content: new Uint8Array(
            Buffer.from(change(Buffer.from(each.content).toString('latin1')), 'latin1'),
          ),
        }
      : each,
  );
