/** What a new certificate says, as options. */

import type { Options } from 'yargs';
import { UsageError } from '../../../core/errors.ts';
import {
  DEFAULT_NOT_AFTER,
  DEFAULT_NOT_BEFORE,
  type SelfSignedOptions,
} from '../../../signing/x509.ts';
import { parseSubject } from '../../../signing/x509-subject.ts';
import type { CommandArguments } from '../../command.ts';
import { lastText } from '../avb/options.ts';

const day = (date: Date): string => date.toISOString().slice(0, 10);

const text = { type: 'string', requiresArg: true } as const;

export const certificateOptions = {
  subject: {
    ...text,
    describe: "Whose certificate it is: a name, or 'CN=Release key, O=Example'",
  },
  'not-before': {
    ...text,
    describe: `First day on which it is valid, or a time in UTC; default: ${day(DEFAULT_NOT_BEFORE)}`,
  },
  'not-after': {
    ...text,
    describe: `When it ends to be valid; default: ${day(DEFAULT_NOT_AFTER)}`,
  },
} as const satisfies Record<string, Options>;

const TIME = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}:\d{2}Z)?$/;

function dateOf(args: CommandArguments, option: string): Date | undefined {
  const given = lastText(args, option);
  if (given === undefined) return undefined;
  const date = new Date(given);
  // Date moves February 30th into March.
  const isReal = TIME.test(given) && date.toString() !== 'Invalid Date';
  if (isReal && date.toISOString().startsWith(given.slice(0, 10))) return date;
  throw new UsageError('usage', `Cannot use --${option} ${given}: it is no day`, {
    hint: 'Write 2030-01-31, or 2030-01-31T23:59:59Z',
  });
}

/** @throws {UsageError} when an option is none of what it must be. */
export function certificateRequest(args: CommandArguments): SelfSignedOptions {
  const subject = lastText(args, 'subject');
  if (subject === undefined) {
    throw new UsageError('usage', 'Cannot make a certificate without a subject', {
      hint: "Give --subject 'Release key of Example'",
    });
  }
  const notBefore = dateOf(args, 'not-before');
  const notAfter = dateOf(args, 'not-after');
  if ((notAfter ?? DEFAULT_NOT_AFTER) <= (notBefore ?? DEFAULT_NOT_BEFORE)) {
    throw new UsageError('usage', 'Cannot make a certificate that ends before it begins');
  }
  return { subject: parseSubject(subject), notBefore, notAfter, extensions: 'code-signing' };
}
