/** From the options of `microbuild sign apk` to an APK that is ready to be signed. */

import { basename } from 'node:path';
import { FormatError, UsageError } from '../../../core/errors.ts';
import type { ByteSource } from '../../../io/byte-source.ts';
import { loadApkHasher } from '../../../native/load-apk-hasher.ts';
import type { Lineage } from '../../../signing/apk/lineage-change.ts';
import { readLineageOf } from '../../../signing/apk/lineage-source.ts';
import { planIdsig } from '../../../signing/apk/sign-idsig.ts';
import type { SignaturePlan } from '../../../signing/apk/sign-plan.ts';
import type { ApkStamp } from '../../../signing/apk/sign-stamp.ts';
import { planApk, type ApkSigner, type PlannedApk } from '../../../signing/apk/sign.ts';
import type { CommandArguments } from '../../command.ts';
import type { SigningSession } from '../../signing/session.ts';
import { lastText } from '../avb/options.ts';
import { signerName, type SignerArguments } from './apk-signers.ts';

/** true, false, or undefined where nothing was said. */
function choiceOf(args: CommandArguments, name: string): boolean | undefined {
  const text = lastText(args, name);
  return text === undefined ? undefined : text === 'true';
}

/** Whether a scheme is signed, by either of its options. */
const schemeChoice = (args: CommandArguments, scheme: 'v1' | 'v2' | 'v3' | 'v4') =>
  choiceOf(args, scheme) ?? choiceOf(args, `${scheme}-signing-enabled`);

function numberOf(args: CommandArguments, name: string): number | undefined {
  const text = lastText(args, name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new UsageError('usage', `Cannot use --${name} ${text}: it is no number`);
}

const readLineage = async (path: string | undefined): Promise<Lineage | undefined> =>
  path === undefined ? undefined : await readLineageOf(path);

async function openSigner(
  session: SigningSession,
  given: SignerArguments,
  artefact: string,
): Promise<ApkSigner> {
  if (given.lineage !== undefined && given.minSdk === undefined) {
    throw new UsageError(
      'usage',
      'Cannot use --signer-lineage without --signer-for-min-sdk-version',
    );
  }
  const { signer, certificates } = await session.key(given.key, artefact, {
    certificate: given.cert,
    passphrase: given.keyPass,
    storePassphrase: given.storePass,
  });
  const name = signerName(given);
  const lineage = await readLineage(given.lineage);
  return {
    signer,
    certificates,
    ...(name !== undefined && { name }),
    ...(given.minSdk !== undefined && { minSdk: given.minSdk }),
    ...(lineage && { lineage }),
  };
}

async function openStamp(
  session: SigningSession,
  args: CommandArguments,
  artefact: string,
): Promise<ApkStamp | undefined> {
  const key = lastText(args, 'stamp-key');
  const cert = lastText(args, 'stamp-cert');
  if (key === undefined && cert === undefined) return undefined;
  const keyPass = lastText(args, 'stamp-key-pass');
  const signer = await openSigner(
    session,
    {
      ...(key !== undefined && { key }),
      ...(cert !== undefined && { cert }),
      ...(keyPass !== undefined && { keyPass }),
    },
    artefact,
  );
  return {
    signer,
    lineage: await readLineage(lastText(args, 'stamp-lineage')),
    overwrite: args.flag('force-stamp-overwrite'),
    time: numberOf(args, 'stamp-timestamp'),
  };
}

/** The files that are read: they must be the same when signatures are attached. */
export function inputsOf(
  args: CommandArguments,
  path: string,
  signers: readonly SignerArguments[],
): string[] {
  const lineages = [
    lastText(args, 'lineage'),
    lastText(args, 'stamp-lineage'),
    ...signers.map(({ lineage }) => lineage),
  ];
  return [path, ...lineages.filter((each) => each !== undefined)];
}

export function checkSdkRange(args: CommandArguments): void {
  const min = numberOf(args, 'min-sdk-version');
  const max = numberOf(args, 'max-sdk-version');
  if (min !== undefined && max !== undefined && min > max) {
    throw new UsageError('usage', `Cannot sign for SDK ${min} to ${max}: the range is empty`);
  }
}

/** Whether there will be an idsig: where it is asked for, or nothing was said and it can be. */
export function wantsIdsig(args: CommandArguments, plan: SignaturePlan): boolean {
  const choice = schemeChoice(args, 'v4');
  if (choice === false) return false;
  try {
    planIdsig(plan);
    return true;
  } catch (error) {
    if (choice === true || lastText(args, 'idsig') !== undefined) throw error;
    return false;
  }
}

/** What a release must not be, as far as the manifest tells. */
export async function reviewApk(
  session: SigningSession,
  args: CommandArguments,
  apk: PlannedApk,
  name: string,
): Promise<void> {
  let debuggable = false;
  try {
    debuggable = await apk.isDebuggable();
  } catch (error) {
    if (!(error instanceof FormatError) || args.optionalText('profile') === 'release') throw error;
  }
  await session.review({ kind: 'apk', name, debuggable });
}

/** Reads what the options say, opens the keys, and plans the signatures. */
export async function planFrom(
  session: SigningSession,
  args: CommandArguments,
  path: string,
  given: readonly SignerArguments[],
  input: ByteSource,
  signal: AbortSignal,
): Promise<PlannedApk> {
  const name = basename(path);
  const signers: ApkSigner[] = [];
  for (const each of given.length === 0 ? [{}] : given) {
    signers.push(await openSigner(session, each, name));
  }
  return planApk({
    input,
    signers,
    schemes: {
      v1: schemeChoice(args, 'v1'),
      v2: schemeChoice(args, 'v2'),
      v3: schemeChoice(args, 'v3'),
    },
    minSdk: numberOf(args, 'min-sdk-version'),
    lineage: await readLineage(lastText(args, 'lineage')),
    rotationMinSdk: numberOf(args, 'rotation-min-sdk-version'),
    rotationTargetsDevRelease: args.flag('rotation-targets-dev-release'),
    appendSignature: args.flag('append-signature'),
    verity: args.flag('verity-enabled'),
    alignFileSize: args.flag('align-file-size'),
    alignment: args.flag('alignment-preserved')
      ? 'kept'
      : { libraryPage: numberOf(args, 'lib-page-alignment') ?? 4096 },
    entryComments: args.flag('keep-entry-comments'),
    dropGaps: args.flag('drop-gaps'),
    checkContents: args.optionalText('profile') === 'release' ? true : undefined,
    debuggablePermitted: choiceOf(args, 'debuggable-apk-permitted'),
    stamp: await openStamp(session, args, name),
    hasher: await loadApkHasher(input.size),
    signal,
  });
}
