/**
 * Pass phrases and PINs: never an argument, never in a message, overwritten after use.
 *
 * A source is `env:NAME`, `file:PATH` (first line), `stdin` (next line) or `prompt`. As with the tools
 * of Android, several secrets of one command may come from stdin, one a line, in the order in which they
 * are asked for.
 */

import { isatty } from 'node:tty';
import { UsageError } from '../../core/errors.ts';
import { readSecretFile } from './bounded-file.ts';

export interface SecretRequest {
  /** `env:NAME`, `file:PATH`, `stdin`, `prompt`; undefined prompts where somebody can answer. */
  readonly source: string | undefined;
  /** The option that names the source, for errors: `--key-pass`. */
  readonly option: string;
  /** What is asked for, for the prompt and for errors: `pass phrase of key.pem`. */
  readonly what: string;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
}

/** Longer ones are files in the wrong place. */
const MAX_SECRET = 4096;

const SOURCES = 'env:NAME, file:PATH, stdin or prompt';

async function prompt(what: string, signal: AbortSignal | undefined): Promise<Buffer> {
  const { promptForSecret } = await import('./secret-prompt.ts');
  return promptForSecret(what, signal);
}

/**
 * Reads a secret.
 *
 * @returns UTF-8 without a line end. The caller overwrites it after use.
 * @throws {UsageError} `key` when the source is none, or nothing is there.
 */
export async function readSecret(request: SecretRequest): Promise<Buffer> {
  const { source, option, what, env, signal } = request;
  if (source === undefined) {
    if (isatty(0) && isatty(2)) return prompt(what, signal);
    throw new UsageError('key', `Cannot use key without the ${what}`, {
      hint: `Say where it is: ${option} ${SOURCES}`,
    });
  }
  if (source === 'prompt') return prompt(what, signal);
  if (source === 'stdin') {
    const { readSecretLine } = await import('./secret-stdin.ts');
    return readSecretLine(what, MAX_SECRET, signal);
  }
  const [, kind, name = ''] = /^(env|file):(.+)$/s.exec(source) ?? [];
  if (kind === 'env') return secretOfEnvironment(name, what, env);
  if (kind === 'file') return firstLineOf(name);
  if (source.startsWith('pass:')) {
    throw new UsageError('key', `Cannot take the ${what} from the command line`, {
      hint: `Arguments can be seen by every user and stay in the shell's history. Change it, and write ${option} ${SOURCES}`,
    });
  }
  // The text is not repeated: it may be the secret itself.
  throw new UsageError('key', `Cannot use ${option}: it names no source of a secret`, {
    hint: `Write ${option} ${SOURCES}, never the secret itself`,
  });
}

function secretOfEnvironment(name: string, what: string, env: NodeJS.ProcessEnv): Buffer {
  const value = env[name];
  if (value === undefined) {
    throw new UsageError('key', `Cannot read the ${what}: ${name} is not in the environment`, {
      hint: `Set and export ${name}`,
    });
  }
  return Buffer.from(value, 'utf8');
}

async function firstLineOf(path: string): Promise<Buffer> {
  const bytes = await readSecretFile(path, { what: 'pass phrase file', maxSize: MAX_SECRET });
  const line = Buffer.from(firstLine(bytes));
  bytes.fill(0);
  return line;
}

/** Without its end, which may be CR LF. */
function firstLine(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0x0a);
  const line = end === -1 ? bytes : bytes.subarray(0, end);
  return line.at(-1) === 0x0d ? line.subarray(0, -1) : line;
}

/**
 * Reads a secret that is new: typed twice where it is typed, and never empty.
 *
 * @throws {UsageError} `key` when both differ, or nothing is there.
 */
export async function readNewSecret(
  request: SecretRequest & { readonly source: string },
): Promise<Buffer> {
  const first = await readSecret(request);
  if (first.length === 0) {
    throw new UsageError('key', `Cannot use an empty ${request.what}`, {
      hint: `Leave ${request.option} away for a key that is not encrypted`,
    });
  }
  if (request.source !== 'prompt') return first;
  const second = await readSecret({ ...request, what: `${request.what}, again` });
  const isSame = first.equals(second);
  second.fill(0);
  if (isSame) return first;
  first.fill(0);
  throw new UsageError('key', `Cannot use the ${request.what}: both differ`);
}
