/** The build behind `microbuild image`, once it is known that there is something to do. */

import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { BuildAttestation } from '../../builder/attest/attest-step.ts';
import { buildImage, type BuildResult, type BuildStamp } from '../../builder/build.ts';
import type { ChosenKey } from '../../builder/keys.ts';
import { isRequired, readLock, whyNotPinned } from '../../builder/lock.ts';
import { wantsOf } from '../../builder/lock/wants.ts';
import { findKeyFolder } from '../../builder/workspace.ts';
import { describeFindings, startAudit, type Audit } from '../../cache/audit.ts';
import { defaultCacheDirectory } from '../../cache/store.ts';
import { UsageError } from '../../core/errors.ts';
import { parseSourceDate } from '../../core/source-date.ts';
import { emptyLock } from '../../recipe/lockfile.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { InputsSubject } from '../../signing/policy/release.ts';
import type { CommandArguments, CommandContext, CommandResult } from '../command.ts';
import { lastText } from '../commands/avb/options.ts';
import { EXIT } from '../exit-code.ts';
import { packageRoot } from '../package-root.ts';
import { optimizePatiently } from '../patience.ts';
import { recipeOf } from '../load-recipe.ts';
import { withSigning } from '../signing/session.ts';
import { isCi } from '../terminal.ts';
import { builderIdOf } from './builder-id.ts';

/** @param tell Says what was built, while the keys are still open. */
export async function buildRecipe(
  args: CommandArguments,
  context: CommandContext,
  stamp: (BuildStamp & { readonly tool: string }) | undefined,
  tell: (result: BuildResult) => Promise<CommandResult>,
): Promise<CommandResult> {
  const { env, reporter, signal } = context;
  optimizePatiently();
  const recipe = await recipeOf(args, context, {
    elsewhere: {
      image: chosenKey(args, 'image').reference !== undefined,
      payload: chosenKey(args, 'payload').reference !== undefined,
    },
    isLockNeeded: !args.flag('relock'),
  });
  const keyFolder =
    args.optionalText('keys') ?? (await findKeyFolder(process.cwd(), [recipe.directory], env));
  return withSigning({ inputs: [] }, args, context, async (session) => {
    const audit = auditOf(args);
    await session.review(await describeInputs(recipe, args.flag('relock')));
    const result = await buildImage({
      recipe,
      output: args.optionalText('output') ?? join('out', recipe.data.name),
      packageRoot,
      keyFolder,
      keys: {
        image: chosenKey(args, 'image'),
        payload: chosenKey(args, 'payload'),
        attestations: chosenKey(args, 'attestation'),
      },
      openKey: (reference, artefact, access) => session.key(reference, artefact, access),
      review: (subject) => session.review(subject),
      manifestSignature: args.flag('manifest-signature'),
      attestations: attestationOf(args, context),
      cacheDirectory: defaultCacheDirectory(env),
      sourceDate: sourceDate(env),
      relockMissing: args.flag('relock'),
      locked: isLocked(args, env),
      offline: args.flag('offline'),
      stamp,
      tool: stamp?.tool,
      force: args.flag('force'),
      audit,
      env,
      reporter,
      signal,
    });
    return withAudit(await tell(result), audit);
  });
}

/** `--audit-cache 10%`: how many of the kept results are looked at again. */
function auditOf(args: CommandArguments): Audit | undefined {
  const given = args.optionalText('audit-cache');
  if (given === undefined) return undefined;
  const percent = /^(\d{1,3})%?$/.exec(given)?.[1];
  if (percent === undefined || Number(percent) > 100) {
    throw new UsageError('usage', `Cannot audit "${given}" of the cache: write 0% to 100%`);
  }
  return startAudit(Number(percent));
}

/** Adds what an audit found. That is a failure, though the bundle stands: it was made anew. */
function withAudit(result: CommandResult, audit: Audit | undefined): CommandResult {
  if (audit === undefined) return result;
  const { percent, seed, audited, findings } = audit;
  const found = describeFindings(audit) ?? 'all made the same';
  return {
    ...result,
    text: `${result.text}\n  audit          ${audited.length} steps ran again: ${found}`,
    json: { ...(result.json as object), audit: { percent, seed, audited, findings } },
    ...(findings.length > 0 && { exitCode: EXIT.failed }),
  };
}

function chosenKey(args: CommandArguments, which: 'image' | 'payload' | 'attestation'): ChosenKey {
  return {
    reference: lastText(args, `${which}-key`),
    certificate: lastText(args, `${which}-cert`),
    passphrase: lastText(args, `${which}-key-pass`) ?? lastText(args, 'key-pass'),
    storePassphrase: lastText(args, 'store-pass'),
  };
}

/** Options that decide the output, beside profiles and variables, which the recipe's own record has. */
const DECIDING = ['force', 'manifest-signature', 'offline', 'relock'] as const;

/** What the provenance tells of this run. @throws {UsageError} when the builder's id is no URI. */
function attestationOf(
  args: CommandArguments,
  { env }: CommandContext,
): BuildAttestation | undefined {
  if (args.optionalFlag('attestations') === false) return undefined;
  const builderId = builderIdOf(args);
  const given = DECIDING.flatMap((name) => {
    const value = args.any(name);
    return typeof value === 'boolean' ? [[name, value] as const] : [];
  });
  const now = (): Date => new Date();
  return {
    now,
    run: {
      builderId,
      options: { ...Object.fromEntries(given), locked: isLocked(args, env) },
      invocationId: `urn:uuid:${randomUUID()}`,
      startedOn: now(),
    },
  };
}

/** Whether what is not pinned is refused. */
const isLocked = (args: CommandArguments, env: NodeJS.ProcessEnv): boolean =>
  args.optionalFlag('locked') ?? (isCi(env) && !args.flag('relock'));

/** What the build takes from elsewhere. With --relock, what is not there any more is whatever is there now. */
async function describeInputs(recipe: Recipe, relock: boolean): Promise<InputsSubject> {
  const lock = (await readLock(recipe)) ?? emptyLock;
  const wants = wantsOf(recipe).filter(isRequired);
  const unpinned = wants.filter((want) => relock || whyNotPinned(lock, want) !== undefined);
  return {
    kind: 'inputs',
    name: recipe.data.name,
    unpinned: unpinned.map(({ name }) => name),
    pinWith: relock
      ? `leave out --relock, and look at what microbuild lock ${recipe.directory} changes`
      : `microbuild lock ${recipe.directory}`,
  };
}

function sourceDate(env: NodeJS.ProcessEnv): number {
  try {
    return parseSourceDate(env['SOURCE_DATE_EPOCH']);
  } catch (cause) {
    throw new UsageError('usage', cause instanceof Error ? cause.message : String(cause), {
      cause,
    });
  }
}
