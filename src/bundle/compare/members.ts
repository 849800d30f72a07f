/** Compares the files of two bundles, each by what it is. */

import { FormatError } from '../../core/errors.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import type { BuildRecord } from '../build-record.ts';
import { BUNDLE_FILES } from '../layout.ts';
import type { Bundle } from '../open.ts';
import { firstDifference } from './bytes.ts';
import { tellDamage } from './damage.ts';
import { compareDisks, type DiskOptions } from './disk.ts';
import type { Meaning } from './dumps.ts';
import { compareInitrds } from './initrd.ts';
import { compareJson } from './json.ts';
import { compareKernels } from './kernel.ts';
import { BUILD_RECORD, comparePackages, originsOf } from './record.ts';
import type { Proof, Recorder, Scope } from './recorder.ts';

/** Digests of what the chain of trust is made of. */
const CHAIN =
  /^chain\.(?:kernelDigest|initrdNormalDigest|initrdDebuggableDigest|vbmetaDigest|systemRootDigest|apkRootDigest|partitionRootDigests\.[^.]+|extraApkRootDigests\[\d+\])$/;

interface Records {
  readonly a: BuildRecord | undefined;
  readonly b: BuildRecord | undefined;
}

type MemberComparer = (scope: Scope, a: ByteSource, b: ByteSource) => Promise<void>;

/** Statements about a bundle that are signed beside it. */
const isAttestation = (name: string): boolean =>
  name === BUNDLE_FILES.manifestSignature || name.startsWith('attestations/');

export async function compareMembers(
  recorder: Recorder,
  a: Bundle,
  b: Bundle,
  records: Records,
  full: boolean,
): Promise<void> {
  comparePackages(recorder, { a, b }, records);
  let [totalA, totalB] = [0, 0];
  for (const name of [...new Set([...a.names, ...b.names])].sort()) {
    const scope = recorder.scope(name);
    const [x, y] = [await openMember(a, name), await openMember(b, name)];
    const [sizeA, sizeB] = [x?.size ?? 0, y?.size ?? 0];
    if (!isAttestation(name)) {
      recorder.size({ member: name, a: sizeA, b: sizeB });
      totalA += sizeA;
      totalB += sizeB;
    }
    if (x === undefined || y === undefined) {
      const nature = isAttestation(name) ? 'signature' : 'origin';
      const side = x === undefined ? 'b' : 'a';
      const change = x === undefined ? 'added' : 'removed';
      scope.found({
        level: 'bundle',
        nature,
        change,
        field: '',
        [side]: `${(x ?? y)?.size} bytes`,
      });
      continue;
    }
    if (!full && isStatedEqual(a, b, name)) continue;
    if (await sameBytes(x, y, name, { full, signal: scope.signal })) continue;
    await compareMember(scope, name, x, y, comparerOf(name, a, records));
  }
  recorder.size({ member: '', a: totalA, b: totalB });
}

async function openMember(bundle: Bundle, name: string): Promise<ByteSource | undefined> {
  return bundle.names.includes(name) ? bundle.open(name) : undefined;
}

function isStatedEqual(a: Bundle, b: Bundle, name: string): boolean {
  const find = (bundle: Bundle): string | undefined => {
    const file = bundle.manifest.files.find(({ path }) => path === name);
    return file && `${file.size} ${file.sha256}`;
  };
  const stated = find(a);
  return stated !== undefined && stated === find(b);
}

/** Small files, and all where nothing is believed, are looked at first. */
async function sameBytes(
  a: ByteSource,
  b: ByteSource,
  name: string,
  { full, signal }: { readonly full: boolean; readonly signal: AbortSignal | undefined },
): Promise<boolean> {
  const isDisk = name.endsWith('.img') && !name.startsWith('initrd');
  if (isDisk && !full) return false;
  return a.size === b.size && (await firstDifference(a, b, signal)) === undefined;
}

async function compareMember(
  scope: Scope,
  name: string,
  a: ByteSource,
  b: ByteSource,
  compare: MemberComparer | undefined,
): Promise<void> {
  const nature = isAttestation(name) ? 'signature' : 'origin';
  const before = scope.told();
  if (compare !== undefined) {
    try {
      await compare(scope, a, b);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      await tellDamage(scope, compare, { a, b }, error);
    }
  }
  // Nothing that a format knows: the bytes say what there is to say.
  if (scope.told().total === before.total) await scope.content(a, b, { nature });
}

function comparerOf(name: string, a: Bundle, records: Records): MemberComparer | undefined {
  if (name === a.config.kernel) return (scope, x, y) => compareKernels(scope, x, y, false);
  if (name === BUNDLE_FILES.initrdNormal || name === BUNDLE_FILES.initrdDebuggable) {
    return (scope, x, y) => compareInitrds(scope, x, y, false);
  }
  if (name === BUNDLE_FILES.manifest)
    return (scope, x, y) => compareOwnJson(scope, x, y, (path) => judgeManifest(path, scope.chain));
  if (name === BUILD_RECORD) return (scope, x, y) => compareOwnJson(scope, x, y, judgeRecord);
  if (/^(?:os|payload(?:-[a-z0-9_-]+)?)\.img$/.test(name)) {
    const options: DiskOptions = {
      originsOf: (label) => {
        const partition = label.replace(/_a$/, '');
        return { a: originsOf(records.a, partition), b: originsOf(records.b, partition) };
      },
    };
    return (scope, x, y) => compareDisks(scope, x, y, options);
  }
  return undefined;
}

/** JSON in the one form in which we write it: in another one, it is told. */
async function compareOwnJson(
  scope: Scope,
  a: ByteSource,
  b: ByteSource,
  judge: (path: string) => Meaning,
): Promise<void> {
  const before = scope.told();
  await compareJson(scope, a, b, judge);
  const after = scope.told();
  if (after.total === before.total || after.origins > before.origins) return;
  const isPlain = async (source: ByteSource): Promise<boolean> => {
    const text = Buffer.from(await source.read(0, source.size)).toString('utf8');
    return `${JSON.stringify(JSON.parse(text), undefined, 2)}\n` === text;
  };
  const [x, y] = [await isPlain(a), await isPlain(b)];
  if (x && y) return;
  const show = (plain: boolean): string => (plain ? 'as microbuild writes it' : 'otherwise');
  scope.found({ level: 'structure', field: 'text', a: show(x), b: show(y) });
}

/** Most of a manifest says what other files hold. */
function judgeManifest(path: string, proof: Proof | undefined): Meaning {
  if (path === 'files' || path.startsWith('chain.payloadCertificates')) return { skip: true };
  if (path.startsWith('chain.')) {
    const isOwn = path === 'chain.rollbackIndex' || !CHAIN.test(path);
    return { nature: isOwn ? 'origin' : 'consequence', level: 'bundle', proof };
  }
  if (/^(?:keys\.(?:image|payload)\.(?:sha256|development)|release)$/.test(path)) {
    return { nature: 'signature', level: 'bundle' };
  }
  if (/^payloads\.[^.]+\.(?:apkRootDigest$|extraApkRootDigests\[)/.test(path)) {
    return { nature: 'consequence', proof };
  }
  return { level: 'bundle' };
}

/** Texts of the recipe are told line by line, what was resolved from them is not told again. */
function judgeRecord(path: string): Meaning {
  if (/^(?:recipe\.data|partitions\.|payload\.|payloads\.)/.test(path)) {
    return { nature: 'consequence' };
  }
  if (path.endsWith('.sha256') || path.endsWith('.digest')) {
    return { nature: 'consequence', level: 'bundle' };
  }
  return { level: 'bundle' };
}
