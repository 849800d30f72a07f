/** Options that several verbs of `avb` share, with avbtool's names, and reading their values. */

import type { Options } from 'yargs';
import { UsageError } from '../../../core/errors.ts';
import type { CommandArguments } from '../../command.ts';

/** A text, of which the last one counts, as in avbtool. */
export const textOption = (describe: string, more: Options = {}): Options => ({
  type: 'string',
  requiresArg: true,
  describe,
  ...more,
});

export const listOption = (describe: string): Options => ({
  type: 'string',
  array: true,
  nargs: 1,
  describe,
});

export const flagOption = (describe: string): Options => ({ type: 'boolean', describe });

export const required: Options = { demandOption: true };

export const imageOption = (describe: string): Options => textOption(describe, required);

export const outputOption = textOption('Write the result to this file instead of stdout');

/** The last value of an option that may be given again and again. */
export function lastText(args: CommandArguments, name: string): string | undefined {
  // yargs gathers what is repeated, whatever the option's type says.
  const value = args.optionalText(name) as string | string[] | undefined;
  return Array.isArray(value) ? value.at(-1) : value;
}

/** @throws {UsageError} when it is missing. */
export function requiredText(args: CommandArguments, name: string): string {
  const value = lastText(args, name);
  if (value !== undefined) return value;
  throw new UsageError('usage', `Missing required argument: ${name}`);
}

/** Decimal, or hexadecimal, octal and binary with their prefix. */
const NUMBER = /^(?:0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0+|[1-9][0-9]*)$/;

/** @throws {UsageError} when the text is no number, or is negative or too large. */
export function parseNumber(text: string, name: string, max: bigint): bigint {
  // As in Python, digits may be grouped with underscores.
  const trimmed = text.trim().replaceAll(/(?<=[0-9a-fA-F])_(?=[0-9a-fA-F])/g, '');
  if (!NUMBER.test(trimmed)) {
    const negative = /^-\d/.test(trimmed) ? 'it is negative' : 'it is no number';
    throw new UsageError('usage', `Cannot use --${name} ${text}: ${negative}`);
  }
  const value = BigInt(trimmed);
  if (value > max) {
    throw new UsageError('usage', `Cannot use --${name} ${text}: at most ${max} is possible`);
  }
  return value;
}

/** A number of bytes, or another one that a program counts with. */
export function sizeOf(args: CommandArguments, name: string): number | undefined {
  const text = lastText(args, name);
  return text === undefined
    ? undefined
    : Number(parseNumber(text, name, BigInt(Number.MAX_SAFE_INTEGER)));
}

export const u32Of = (args: CommandArguments, name: string): number =>
  Number(parseNumber(lastText(args, name) ?? '0', name, 0xffff_ffffn));

export const u64Of = (args: CommandArguments, name: string): bigint =>
  parseNumber(lastText(args, name) ?? '0', name, 0xffff_ffff_ffff_ffffn);

/** Texts around the first colons: the last one may hold more of them. */
export function splitAtColons(text: string, count: number, what: string): string[] {
  const parts = text.split(':');
  if (parts.length < count || parts[0] === '') {
    throw new UsageError('usage', `Cannot use ${JSON.stringify(text)}: it is not ${what}`);
  }
  return [...parts.slice(0, count - 1), parts.slice(count - 1).join(':')];
}
