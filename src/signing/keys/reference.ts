/**
 * References to keys: where a private key is, as text that holds no secret.
 *
 * ```
 * PATH  or  file:PATH           a key file, PEM or DER
 * p12:PATH[#ALIAS]              a PKCS#12 store
 * jks:PATH[#ALIAS]              a Java KeyStore
 * pkcs11:ATTRIBUTE=VALUE;...    a token (RFC 7512)
 * helper:PROGRAM[?NAME=VALUE&...]   a program that signs
 * ```
 *
 * Behind the last `#` of a store is the alias; no character of PATH is special otherwise. The values of
 * a helper's parameters are percent-encoded.
 */

import { join } from 'node:path';
import { UsageError } from '../../core/errors.ts';

export interface FileReference {
  readonly kind: 'file';
  readonly path: string;
}

export interface StoreReference {
  readonly kind: 'p12' | 'jks';
  readonly path: string;
  /** Which key; undefined where the store holds one only. */
  readonly alias: string | undefined;
}

export interface TokenReference {
  readonly kind: 'pkcs11';
  readonly uri: string;
}

export interface HelperReference {
  readonly kind: 'helper';
  /** A path, or a name that is looked up in PATH. */
  readonly program: string;
  /** Arguments in front of those of the protocol. */
  readonly args: readonly string[];
  readonly mode: 'digest' | 'raw';
  /** What the program is told of which key it is. */
  readonly key: string | undefined;
  /** File with the public key, where there is no certificate. */
  readonly publicKey: string | undefined;
  readonly timeoutSeconds: number;
}

export type KeyReference = FileReference | StoreReference | TokenReference | HelperReference;

/** Long enough for a person to press the button of a token, short enough for a CI job. */
const DEFAULT_HELPER_TIMEOUT = 60;
const MAX_HELPER_TIMEOUT = 3600;

const HINT = 'Name a PEM or DER file, or write file:, p12:, jks:, pkcs11: or helper:';

const refuse = (message: string, hint: string): never => {
  throw new UsageError('key', message, { hint });
};

/**
 * @throws {UsageError} `key` when it is no reference. The message repeats no more than its kind: what
 *   is not understood may be a secret in the wrong place.
 */
export function parseKeyReference(text: string): KeyReference {
  // A lone letter would be a file's name; schemes have two letters and more.
  const [, kind, rest = ''] = /^([a-z][a-z0-9]+):(.*)$/s.exec(text) ?? [];
  if (text.includes('\0')) return refuse('Cannot use key: its name holds a NUL byte', HINT);
  switch (kind) {
    case undefined:
      return { kind: 'file', path: filled(text, 'file') };
    case 'file':
      return { kind, path: filled(rest, kind) };
    case 'p12':
    case 'jks':
      return { kind, ...storeParts(rest, kind) };
    case 'pkcs11':
      return { kind, uri: text };
    case 'helper':
      return helperReference(rest);
    case 'pass':
    case 'env':
    case 'stdin':
    case 'prompt':
      return refuse(
        `Cannot use a key given with ${kind}: that is no place where keys are`,
        `${HINT}; a pass phrase belongs to --key-pass`,
      );
    default:
      return refuse(
        `Cannot use key: ${kind}: is no kind of key`,
        `${HINT}; a file whose name begins so is file:${kind}:...`,
      );
  }
}

function filled(path: string, kind: string): string {
  return path === '' ? refuse(`Cannot use key: ${kind}: names no file`, HINT) : path;
}

function storeParts(rest: string, kind: string): { path: string; alias: string | undefined } {
  const at = rest.lastIndexOf('#');
  const alias = at === -1 ? '' : rest.slice(at + 1);
  return {
    path: filled(at === -1 ? rest : rest.slice(0, at), kind),
    alias: alias === '' ? undefined : alias,
  };
}

const PARAMETERS = 'mode, key, public-key, timeout, arg';

function helperReference(rest: string): HelperReference {
  const at = rest.indexOf('?');
  const program = at === -1 ? rest : rest.slice(0, at);
  if (program === '') {
    return refuse(
      'Cannot use key: helper: names no program',
      'Write helper:PROGRAM, or helper:PROGRAM?mode=raw&key=NAME',
    );
  }
  const values = new Map<string, string[]>();
  for (const pair of at === -1 ? [] : rest.slice(at + 1).split('&')) {
    const [, name = '', encoded = ''] = /^([a-z-]+)=(.*)$/s.exec(pair) ?? [];
    if (!PARAMETERS.split(', ').includes(name)) {
      return refuse(
        `Cannot use helper ${program}: ${name === '' ? 'a parameter' : name} is not understood`,
        `Parameters are ${PARAMETERS}, as in helper:PROGRAM?mode=raw&key=NAME`,
      );
    }
    const earlier = values.get(name) ?? [];
    if (earlier.length > 0 && name !== 'arg') {
      return refuse(`Cannot use helper ${program}: ${name} is given twice`, 'Give it once');
    }
    values.set(name, [...earlier, decoded(encoded, program, name)]);
  }
  const one = (name: string): string | undefined => values.get(name)?.[0];
  const mode = one('mode') ?? 'digest';
  if (mode !== 'digest' && mode !== 'raw') {
    return refuse(
      `Cannot use helper ${program}: it has no such mode`,
      'mode=digest passes the hash, mode=raw the padded block as avbtool does',
    );
  }
  const timeout = one('timeout') ?? String(DEFAULT_HELPER_TIMEOUT);
  const timeoutSeconds = /^[0-9]{1,4}$/.test(timeout) ? Number(timeout) : 0;
  if (timeoutSeconds < 1 || timeoutSeconds > MAX_HELPER_TIMEOUT) {
    return refuse(
      `Cannot use helper ${program}: its timeout is not between 1 and ${MAX_HELPER_TIMEOUT} seconds`,
      'Write timeout=60',
    );
  }
  return {
    kind: 'helper',
    program,
    args: values.get('arg') ?? [],
    mode,
    key: one('key'),
    publicKey: one('public-key'),
    timeoutSeconds,
  };
}

function decoded(text: string, program: string, name: string): string {
  let value = '\0';
  try {
    value = decodeURIComponent(text);
  } catch {
    // Told below, with bytes that no argument can hold.
  }
  if (value.includes('\0')) {
    return refuse(
      `Cannot use helper ${program}: its ${name} is not percent-encoded text`,
      'Write %25 for a percent sign and %26 for &',
    );
  }
  return value;
}

/**
 * The same reference, with paths that are relative to `folder` made into paths of this process. A
 * program without a slash stays a name to look up.
 */
export function resolveKeyReference(text: string, folder: string): string {
  const reference = parseKeyReference(text);
  switch (reference.kind) {
    case 'file':
      return `file:${under(folder, reference.path)}`;
    case 'p12':
    case 'jks':
      // An empty alias keeps a "#" of the path from being read as one.
      return `${reference.kind}:${under(folder, reference.path)}#${reference.alias ?? ''}`;
    case 'pkcs11':
      return text;
    case 'helper':
      return formatHelper({
        ...reference,
        program: reference.program.includes('/')
          ? under(folder, reference.program)
          : reference.program,
        publicKey: reference.publicKey && under(folder, reference.publicKey),
      });
  }
}

const under = (folder: string, path: string): string =>
  path.startsWith('/') ? path : join(folder, path);

function formatHelper(helper: HelperReference): string {
  const pairs = [
    ['mode', helper.mode],
    ['key', helper.key],
    ['public-key', helper.publicKey],
    ['timeout', String(helper.timeoutSeconds)],
    ...helper.args.map((arg) => ['arg', arg]),
  ].flatMap(([name = '', value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
  );
  return `helper:${helper.program}?${pairs.join('&')}`;
}
