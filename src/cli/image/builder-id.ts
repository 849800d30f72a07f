/** Who builds, as the command line names them. */

import { LOCAL_BUILDER } from '../../builder/attest/provenance.ts';
import { UsageError } from '../../core/errors.ts';
import type { CommandArguments } from '../command.ts';
import { lastText } from '../commands/avb/options.ts';

/** @throws {UsageError} when `--builder-id` is no URI. */
export function builderIdOf(args: CommandArguments): string {
  const builderId = lastText(args, 'builder-id') ?? LOCAL_BUILDER;
  if (/^[a-z][a-z0-9+.-]*:[^\s]+$/i.test(builderId)) return builderId;
  throw new UsageError('usage', `Cannot use --builder-id ${builderId}: it is no URI`, {
    hint: 'Write one that says who builds, such as https://ci.example.com/builders/1',
  });
}
