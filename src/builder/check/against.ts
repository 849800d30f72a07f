/**
 * Builds somebody else's release again, from the recipe and lock in its own build record, without their keys: their
 * signatures are taken from the release wherever they are over the bytes that come out here, too. So all of it must come
 * out as it is, or it is told what does not.
 */

import { createHash, generateKeyPair, type KeyObject } from 'node:crypto';
import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseBuildRecord, type BuildRecord } from '../../bundle/build-record.ts';
import { compareBundles } from '../../bundle/compare/compare.ts';
import {
  levels,
  type Comparison,
  type Finding,
  type Level,
  type Measurement,
} from '../../bundle/compare/finding.ts';
import { BUNDLE_FILES } from '../../bundle/layout.ts';
import { openBundle, type Bundle } from '../../bundle/open.ts';
import { readSignatures, type BundleSignatures } from '../../bundle/signatures.ts';
import { digestFile, openCache } from '../../cache/store.ts';
import { FormatError, MicrobuildError, UsageError } from '../../core/errors.ts';
import type { Reporter } from '../../core/events.ts';
import { streamOf } from '../../io/byte-source.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { replaySigner } from '../../signing/replay.ts';
import { keySigner, type SignaturePurpose, type Signer } from '../../signing/signer.ts';
import { certificateDigest, createSelfSignedCertificate } from '../../signing/x509.ts';
import { buildImage } from '../build.ts';
import type { BuildKeys } from '../keys.ts';
import { presentTools } from '../lock/tool-pins.ts';
import { ownFindings } from './culprits.ts';
import { releaseRecipe, type DifferentInput } from './release-recipe.ts';

export interface AgainstOptions {
  /** A bundle folder or archive. */
  readonly release: string;
  /** The user's recipe, whose files are taken where the release does not bring them. */
  readonly own: Recipe | undefined;
  readonly packageRoot: string;
  readonly cacheDirectory: string;
  readonly env: NodeJS.ProcessEnv;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
  readonly offline: boolean;
  readonly runBuildCommands: boolean;
  /** Where the rebuilt bundle is left: a folder that is not there yet. */
  readonly keep: string | undefined;
}

/** A part of the toolchain, here another one than the release was built with. */
export interface DifferentTool {
  readonly name: 'microbuild' | 'guest';
  readonly released: string;
  readonly here: string;
}

export interface AgainstReport {
  readonly schemaVersion: 1;
  readonly release: string;
  /** Of the recipe. */
  readonly name: string;
  /** Whether all came out byte for byte, signatures included. */
  readonly reproduced: boolean;
  /** Whether all but the signatures did. */
  readonly sameUnsigned: boolean;
  /** Why the build failed here. */
  readonly failure?: string;
  /** The signature that could not be taken over: what it is over came out otherwise. */
  readonly unreplayed?: SignaturePurpose;
  /** Inputs of the recipe's own that are other ones here. */
  readonly inputs: readonly DifferentInput[];
  readonly tools: readonly DifferentTool[];
  /** SHA-256 of each file. */
  readonly files: readonly {
    readonly path: string;
    readonly released?: string;
    readonly rebuilt?: string;
  }[];
  /** What the guest is measured by; the rest only holds it. Absent when the build failed. */
  readonly measured?: readonly Measurement[];
  readonly levels: Readonly<Record<Level, number>>;
  readonly first?: Finding;
  readonly comparison?: Comparison;
  /** What built it here. */
  readonly toolchain: {
    readonly microbuild: string;
    readonly guest: string;
    readonly node: string;
    readonly platform: string;
  };
  readonly kept?: string;
}

/** Build records are some kilobytes, and one of all inputs of a distribution is some megabytes. */
const MAX_RECORD = 64 << 20;

/**
 * @throws {UsageError} `input` when the release has no record, or files are missing that do not come with it.
 * @throws {FormatError} when the release is not as it must be.
 */
export async function checkAgainst(options: AgainstOptions): Promise<AgainstReport> {
  const { release: path, packageRoot, env, signal } = options;
  const release = await openBundle(path);
  const cache = await openCache(options.cacheDirectory);
  const work = await cache.temporaryFolder();
  try {
    const record = await recordOf(release);
    const signatures = await readSignatures(release);
    const folder = join(work, 'recipe');
    await mkdir(folder);
    const { recipe, different } = await releaseRecipe({ ...options, record, folder, cache });
    const present = await presentTools(packageRoot, recipe, env);
    const common = {
      schemaVersion: 1,
      release: path,
      name: recipe.data.name,
      inputs: different,
      tools: differentTools(record, present),
      toolchain: {
        ...present,
        node: process.version,
        platform: `${process.platform} ${process.arch}`,
      },
    } as const;
    const output = join(work, release.isArchive ? 'rebuilt.mbundle' : 'rebuilt');
    const replay = replayedKeys(release, signatures);
    const build = (isManifestSigned: boolean): Promise<unknown> =>
      buildImage({
        ...options,
        recipe,
        output,
        keyFolder: join(work, 'no-keys'),
        signers: replay.keys,
        manifestSignature: isManifestSigned,
        sourceDate: record.sourceDate,
        relockMissing: false,
        locked: false,
        force: true,
      });
    const failure = await attempt(async () => {
      let isManifestSigned = signatures.hasManifestSignature;
      for (;;) {
        const count = replay.missing.length;
        try {
          return void (await build(isManifestSigned));
        } catch (error) {
          const missing = replay.missing[count];
          if (missing === undefined) throw error;
          // To see what differs it is signed by somebody else, but nothing more than it takes.
          isManifestSigned = false;
          if (missing.purpose !== 'dsse') await replay.replaceKey(missing.purpose);
        }
      }
    });
    if (failure !== undefined) {
      return {
        ...common,
        reproduced: false,
        sameUnsigned: false,
        failure,
        files: (await digestsOf(release)).map(([name, released]) => ({ path: name, released })),
        levels: none,
      };
    }
    const [unreplayed] = replay.missing;
    const compared = await compareWith(release, output, signal);
    const kept = options.keep;
    if (kept !== undefined)
      await cp(output, kept, { recursive: true, errorOnExist: true, force: false });
    return {
      ...common,
      ...compared,
      ...(unreplayed?.purpose && { unreplayed: unreplayed.purpose }),
      ...(kept !== undefined && { kept }),
    };
  } finally {
    await rm(work, { recursive: true, force: true });
    await release.close();
    await cache.close();
  }
}

const none = Object.fromEntries(levels.map((level) => [level, 0])) as Record<Level, number>;

/** @returns why it failed, in the words of the error; undefined when it did not. */
async function attempt(work: () => Promise<void>): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    // What this machine lacks says nothing about the release.
    if (!(error instanceof MicrobuildError) || error.code === 'environment') throw error;
    if (error instanceof UsageError && error.code === 'lock') throw error;
    return error.message;
  }
}

async function recordOf(release: Bundle): Promise<BuildRecord> {
  if (!release.names.includes(BUNDLE_FILES.buildRecord)) {
    throw new UsageError(
      'input',
      `Cannot build ${release.path} again: it has no ${BUNDLE_FILES.buildRecord}`,
      {
        hint: 'It was made by an earlier version of microbuild, or its record was removed',
      },
    );
  }
  const source = await release.open(BUNDLE_FILES.buildRecord);
  if (source.size > MAX_RECORD) {
    throw new FormatError('build-record', 'too-large', `build.json takes ${source.size} bytes`);
  }
  return parseBuildRecord(Buffer.from(await source.read(0, source.size)).toString('utf8'));
}

function differentTools(
  record: BuildRecord,
  present: { readonly microbuild: string; readonly guest: string },
): DifferentTool[] {
  const tools = [
    { name: 'microbuild', released: record.microbuild, here: present.microbuild },
    { name: 'guest', released: record.guest.sha256, here: present.guest },
  ] as const;
  return tools.filter(({ released, here }) => released !== here);
}

/** A build that lacks a signature, and then is signed by other keys. */
interface Replay {
  keys: BuildKeys;
  readonly missing: readonly { readonly purpose?: SignaturePurpose }[];
  /** Another key of the same kind instead of the one that has no such signature: sizes stay. */
  replaceKey(purpose: SignaturePurpose | undefined): Promise<void>;
}

function replayedKeys(
  { manifest }: Bundle,
  { image, payload, signatures }: BundleSignatures,
): Replay {
  const missing: { readonly purpose?: SignaturePurpose }[] = [];
  const signer = (publicKey: KeyObject): Signer =>
    replaySigner(publicKey, signatures, (each) => missing.push(each));
  const replay: Replay = {
    missing,
    keys: {
      image: {
        signer: signer(image.publicKey),
        algorithm: image.algorithm,
        development: manifest.keys.image.development,
      },
      payload: {
        signer: signer(payload.publicKey),
        certificateDer: payload.certificateDer,
        development: manifest.keys.payload.development,
        accepted: certificateDigest(payload.certificateDer, 'sha256'),
      },
      created: false,
    },
    async replaceKey(purpose) {
      const isImage = purpose === 'vbmeta';
      const other = keySigner(await anotherKey((isImage ? image : payload).publicKey));
      if (isImage) {
        replay.keys = { ...replay.keys, image: { ...replay.keys.image, signer: other } };
      } else {
        const certificateDer = await createSelfSignedCertificate(other, {
          subject: [{ name: 'CN', value: 'rebuild' }],
        });
        const own = { ...replay.keys.payload, signer: other, certificateDer };
        replay.keys = { ...replay.keys, payload: own };
      }
    },
  };
  return replay;
}

async function anotherKey({
  asymmetricKeyType,
  asymmetricKeyDetails,
}: KeyObject): Promise<KeyObject> {
  const generate = promisify(generateKeyPair);
  const { modulusLength = 0, namedCurve = 'prime256v1' } = asymmetricKeyDetails ?? {};
  if (asymmetricKeyType === 'rsa' && modulusLength >= 1024 && modulusLength <= 16_384) {
    return (await generate('rsa', { modulusLength })).privateKey;
  }
  if (asymmetricKeyType === 'ec') return (await generate('ec', { namedCurve })).privateKey;
  throw new FormatError(
    'avb',
    'unsupported',
    `The release is signed by a ${asymmetricKeyType} key`,
  );
}

/** SHA-256 of all files, sorted by name. The manifest's word is not taken for it. */
async function digestsOf(bundle: Bundle): Promise<(readonly [name: string, sha256: string])[]> {
  const digests: (readonly [string, string])[] = [];
  for (const name of bundle.names) {
    const hash = createHash('sha256');
    for await (const chunk of streamOf(await bundle.open(name))) hash.update(chunk);
    digests.push([name, hash.digest('hex')]);
  }
  return digests;
}

async function compareWith(
  release: Bundle,
  output: string,
  signal: AbortSignal,
): Promise<
  Pick<
    AgainstReport,
    'reproduced' | 'sameUnsigned' | 'files' | 'measured' | 'levels' | 'first' | 'comparison'
  >
> {
  const rebuilt = await openBundle(output);
  try {
    const [released, made] = [new Map(await digestsOf(release)), new Map(await digestsOf(rebuilt))];
    const names = [...new Set([...released.keys(), ...made.keys()])].toSorted((a, b) =>
      a < b ? -1 : 1,
    );
    const files = names.map((path) => {
      const [a, b] = [released.get(path), made.get(path)];
      return { path, ...(a && { released: a }), ...(b && { rebuilt: b }) };
    });
    let isSame = files.every((file) => file.released === file.rebuilt);
    // The archive around the files has one form, too.
    if (isSame && release.isArchive) {
      isSame = (await digestFile(release.path)).sha256 === (await digestFile(output)).sha256;
    }
    const comparison = await compareBundles(release, rebuilt, { full: !isSame, signal });
    const [first] = isSame ? [] : ownFindings(comparison);
    return {
      reproduced: isSame,
      sameUnsigned: isSame || comparison.sameUnsigned,
      files,
      // The keys are the builder's own where theirs have signed something else.
      measured: comparison.measurements.filter(({ name }) => !name.endsWith(' key')),
      levels: comparison.counts,
      ...(first && { first }),
      ...(!isSame && { comparison }),
    };
  } finally {
    await rebuilt.close();
  }
}
