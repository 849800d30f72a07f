/** What `microbuild check --against` does: builds a release again, and may sign a statement of what came out. */

import { checkAgainst, type AgainstReport } from '../../builder/check/against.ts';
import { rebuildStatement } from '../../builder/check/statement.ts';
import { attestationPath } from '../../bundle/attest/files.ts';
import { defaultCacheDirectory } from '../../cache/store.ts';
import { UsageError } from '../../core/errors.ts';
import { encodeEnvelope } from '../../formats/dsse/envelope.ts';
import { encodeStatement, STATEMENT_PAYLOAD_TYPE } from '../../formats/dsse/statement.ts';
import { writeFileAtomic } from '../../io/atomic-output.ts';
import { signDsse } from '../../signing/dsse.ts';
import type { CommandArguments, CommandContext, CommandResult } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { loadRecipe, recipeChoices } from '../load-recipe.ts';
import { packageRoot } from '../package-root.ts';
import { renderAgainst } from '../render/against.ts';
import { withSigning } from '../signing/session.ts';

/** Among the attestations of the release. */
const ATTESTATION = 'rebuild.dsse.json';

export async function checkRelease(
  release: string,
  args: CommandArguments,
  context: CommandContext,
): Promise<CommandResult> {
  expectNothingElse(args);
  const key = args.optionalText('attest');
  if (key === undefined) return describe(await rebuild(release, args, context), undefined, context);
  // The key is opened before the work, so that what cannot be signed is told at once.
  return withSigning({ inputs: [] }, args, context, async (session) => {
    const { signer } = await session.key(key, release, {
      passphrase: args.optionalText('key-pass'),
    });
    const report = await rebuild(release, args, context);
    const statement = await rebuildStatement(report, new Date());
    const payload = encodeStatement(statement);
    const envelope = await signDsse({ payloadType: STATEMENT_PAYLOAD_TYPE, payload }, [signer]);
    const file = args.optionalText('attestation') ?? attestationPath(release, ATTESTATION);
    await writeFileAtomic(file, encodeEnvelope(envelope));
    return describe(report, file, context);
  });
}

/** How it is built is told by the release. */
function expectNothingElse(args: CommandArguments): void {
  const names = ['vary', 'bisect', 'profile', 'var', 'image-key', 'payload-key', 'keys'] as const;
  const given = names.find((name) => args.any(name) !== undefined);
  if (given !== undefined) {
    throw new UsageError(
      'usage',
      `Cannot use --${given} with --against: the release says how it was built`,
    );
  }
  if (args.optionalText('attestation') !== undefined && args.optionalText('attest') === undefined) {
    throw new UsageError(
      'usage',
      'Cannot write --attestation without a key: name it with --attest',
    );
  }
}

async function rebuild(
  release: string,
  args: CommandArguments,
  { env, reporter, signal }: CommandContext,
): Promise<AgainstReport> {
  const path = args.optionalText('recipe');
  return checkAgainst({
    release,
    own: path === undefined ? undefined : await loadRecipe(path, recipeChoices(args)),
    packageRoot,
    cacheDirectory: defaultCacheDirectory(env),
    env,
    reporter,
    signal,
    offline: args.flag('offline'),
    runBuildCommands: args.flag('run-build-commands'),
    keep: args.optionalText('keep'),
  });
}

const describe = (
  report: AgainstReport,
  attestation: string | undefined,
  { terminal }: CommandContext,
): CommandResult => ({
  text: renderAgainst(report, attestation, terminal),
  json: { ...report, ...(attestation !== undefined && { attestation }) },
  exitCode: report.reproduced ? EXIT.ok : EXIT.failed,
});
