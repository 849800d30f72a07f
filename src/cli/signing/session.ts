/**
 * What all commands that sign have in common: how a key is named and opened, and what happens around
 * each signature. A command gets its keys from the session and nowhere else.
 *
 * A session signs at once, or in two phases: `--prepare` writes what is to be signed, somebody signs it
 * somewhere, and `--attach` runs the same command again with what came back.
 */

import { dirname, join } from 'node:path';
import { UsageError } from '../../core/errors.ts';
import { loadCryptoki } from '../../native/load-cryptoki.ts';
import { AUDIT_LOG, noAuditLog, openAuditLog, type AuditLog } from '../../signing/audit.ts';
import type { OpenedKey } from '../../signing/keys/open-key.ts';
import { RELEASE_LOG } from '../../signing/policy/last-releases.ts';
import type { ReviewSubject, SigningProfile } from '../../signing/policy/release.ts';
import type { CommandArguments, CommandContext, CommandResult } from '../command.ts';
import { lastText } from '../commands/avb/options.ts';
import { auditedSigner } from './audited-signer.ts';
import { identityOf } from './identity.ts';
import { describeCommandLine } from './job.ts';
import type { SigningKeyOptions } from './key-modes.ts';
import { attachPhase, directPhase, preparePhase, type SigningPhase } from './phases.ts';
import { openReviewer } from './reviewer.ts';

export { keyOptions, signingOptions } from './options.ts';

export interface SigningSession {
  /**
   * Opens a key. All keys are closed when the session ends.
   *
   * @param reference Undefined where none was given: an error, but when requests are prepared for the
   *   key of the certificate.
   * @param artefact What it will sign, as requests and the audit log name it: a file's name.
   */
  key(
    reference: string | undefined,
    artefact: string,
    options?: SigningKeyOptions,
  ): Promise<OpenedKey>;
  /**
   * Asks the profile whether this may be signed. To be called before the first signature, once for
   * each APK and each vbmeta image.
   *
   * @throws {VerificationError} `release-policy`, with all reasons against it.
   */
  review(subject: ReviewSubject): Promise<void>;
}

export interface SigningJob {
  /** Files that are read and must be the same when signatures are attached later. */
  readonly inputs: readonly string[];
}

/**
 * Runs what signs. It must write aside and publish at its very end, and it must ask for signatures that
 * do not depend on each other at the same time.
 */
export async function withSigning(
  job: SigningJob,
  args: CommandArguments,
  context: CommandContext,
  work: (session: SigningSession) => Promise<CommandResult>,
): Promise<CommandResult> {
  const { env, reporter, signal } = context;
  const phase = await openPhase(job, args, context);
  const profile: SigningProfile =
    // A recipe has profiles, too, of which several may be chosen.
    [args.any('profile')].flat().includes('release') ? 'release' : 'development';
  const releaseLog = lastText(args, 'release-log') ?? RELEASE_LOG;
  const audit = openAudit(args, context, { profile, releaseLog, mode: phase.mode });
  const reviewer = await openReviewer({ profile, releaseLog, audit, env, reporter });
  const opened: OpenedKey[] = [];
  const session: SigningSession = {
    async key(reference, artefact, options = {}) {
      const key = await phase.key(reference, artefact, { ...options, env, signal, loadCryptoki });
      opened.push(key);
      const { publicKey } = key.signer;
      await reviewer.reviewKey(reference, { ...key, publicKey });
      return { ...key, signer: auditedSigner(key, artefact, audit) };
    },
    review: (subject) => reviewer.review(subject),
  };
  try {
    return await phase.run(
      () => work(session),
      () => reviewer.release(),
    );
  } finally {
    await Promise.all(opened.map((key) => key.close()));
  }
}

function openPhase(
  { inputs }: SigningJob,
  args: CommandArguments,
  { argv, signal }: CommandContext,
): SigningPhase | Promise<SigningPhase> {
  const prepare = lastText(args, 'prepare');
  const attach = lastText(args, 'attach');
  if (prepare !== undefined && attach !== undefined) {
    throw new UsageError('usage', 'Cannot both prepare and attach: give --prepare or --attach');
  }
  if (prepare !== undefined) return preparePhase(prepare, { argv, inputs, signal });
  if (attach !== undefined) return attachPhase(attach, { argv, inputs, signal });
  return directPhase;
}

/** Every signature of a release is logged; others where somebody asks for it. */
function openAudit(
  args: CommandArguments,
  { argv, env }: CommandContext,
  {
    profile,
    releaseLog,
    mode,
  }: {
    readonly profile: SigningProfile;
    readonly releaseLog: string;
    readonly mode: SigningPhase['mode'];
  },
): AuditLog {
  const path =
    lastText(args, 'audit-log') ??
    (profile === 'release' ? join(dirname(releaseLog), AUDIT_LOG) : undefined);
  if (path === undefined) return noAuditLog;
  return openAuditLog(path, {
    identity: identityOf(env),
    command: describeCommandLine(argv).command.join(' '),
    profile,
    mode,
    now: () => new Date(),
  });
}
