/**
 * PKCS#11 URIs: which key of which token, and which module talks to it.
 *
 * ```
 * pkcs11:token=release;object=image?module-path=/usr/lib/softhsm/libsofthsm2.so
 * ```
 *
 * @see https://www.rfc-editor.org/rfc/rfc7512
 */

import { UsageError } from '../../core/errors.ts';

/** What a URI says of the token, slot and library; undefined where it says nothing. */
export interface TokenCriteria {
  readonly token?: string;
  readonly manufacturer?: string;
  readonly serial?: string;
  readonly model?: string;
  readonly 'slot-id'?: string;
  readonly 'slot-description'?: string;
  readonly 'slot-manufacturer'?: string;
  readonly 'library-manufacturer'?: string;
  readonly 'library-description'?: string;
  readonly 'library-version'?: string;
}

export interface Pkcs11Uri {
  readonly criteria: TokenCriteria;
  /** CKA_LABEL of the key. */
  readonly object?: string | undefined;
  /** CKA_ID of the key. */
  readonly id?: Uint8Array | undefined;
  readonly modulePath?: string | undefined;
  readonly moduleName?: string | undefined;
  /** Absolute path of a file with the PIN. */
  readonly pinFile?: string | undefined;
}

const TOKEN_ATTRIBUTES = [
  'token',
  'manufacturer',
  'serial',
  'model',
  'slot-id',
  'slot-description',
  'slot-manufacturer',
  'library-manufacturer',
  'library-description',
  'library-version',
] as const satisfies readonly (keyof TokenCriteria)[];
const OBJECT_ATTRIBUTES = ['object', 'id', 'type'] as const;
const PATH_ATTRIBUTES: readonly string[] = [...TOKEN_ATTRIBUTES, ...OBJECT_ATTRIBUTES];
const QUERY_ATTRIBUTES: readonly string[] = ['module-path', 'module-name', 'pin-source'];

/** Everything else is percent-encoded (RFC 7512, section 2.3: pk11-pchar and what path and query add). */
const PATH_VALUE = /^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*$/;
const QUERY_VALUE = /^(?:[A-Za-z0-9\-._~:[\]@!$'()*+,=/?|]|%[0-9A-Fa-f]{2})*$/;
const NAME = /^[A-Za-z0-9_-]{1,64}$/;
const MAX_LENGTH = 4096;

const refuse = (message: string, hint: string): never => {
  throw new UsageError('key', `Cannot use PKCS#11 URI: ${message}`, { hint });
};

/** Values are never repeated in messages: one of them may be a PIN in the wrong place. */
function parseAttributes(
  text: string,
  separator: string,
  form: RegExp,
  checkName: (name: string) => void,
): ReadonlyMap<string, Uint8Array> {
  const values = new Map<string, Uint8Array>();
  for (const part of text === '' ? [] : text.split(separator)) {
    const at = part.indexOf('=');
    const name = part.slice(0, at);
    if (at === -1 || !NAME.test(name)) {
      refuse(
        'a part of it is not NAME=VALUE',
        'Write pkcs11:token=LABEL;object=LABEL?module-path=FILE, and % with two hex digits for other characters',
      );
    }
    checkName(name);
    const value = part.slice(at + 1);
    if (!form.test(value)) {
      refuse(
        `the value of ${name} holds a character that is not percent-encoded`,
        'Write % and two hex digits for it: a blank is %20, a slash %2F, a semicolon %3B',
      );
    }
    if (values.has(name)) refuse(`it has ${name} twice`, `Give ${name} once`);
    values.set(name, percentDecode(value));
  }
  return values;
}

function percentDecode(value: string): Uint8Array {
  const bytes: number[] = [];
  for (let at = 0; at < value.length; at += 1) {
    if (value[at] === '%') {
      bytes.push(Number.parseInt(value.slice(at + 1, at + 3), 16));
      at += 2;
    } else {
      bytes.push(value.charCodeAt(at));
    }
  }
  return Uint8Array.from(bytes);
}

function textOf(name: string, value: Uint8Array): string {
  let text = '\0';
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value);
  } catch {
    // Told below.
  }
  if (text.includes('\0')) {
    refuse(`the value of ${name} is not UTF-8 text`, 'Only id holds bytes of any kind');
  }
  return text;
}

/** Checks what the kind of an attribute asks for beyond its being text. */
function checkValue(name: string, value: string): void {
  if (name === 'slot-id' && !/^[0-9]{1,19}$/.test(value)) {
    refuse('slot-id is not a number', 'pkcs11-tool --list-slots shows hexadecimal numbers, too');
  }
  if (name === 'library-version' && !/^[0-9]{1,3}(?:\.[0-9]{1,3})?$/.test(value)) {
    refuse('library-version is not MAJOR.MINOR', 'Write library-version=2.6');
  }
  if (name === 'type' && value !== 'private') {
    refuse('its type is not private', 'Leave type out, or write type=private: that key signs');
  }
}

const refusePinValue = (): never =>
  refuse(
    'it holds a PIN',
    'Arguments can be seen by every user and stay in the shell’s history. Change the PIN, leave pin-value out, and write --key-pass env:NAME, file:PATH, stdin or prompt',
  );

/**
 * @throws {UsageError} `key`; the message repeats no value of the URI.
 */
export function parsePkcs11Uri(uri: string): Pkcs11Uri {
  const [, path = '', query = ''] = /^pkcs11:([^?]*)(?:\?(.*))?$/s.exec(uri) ?? [];
  if (!uri.startsWith('pkcs11:'))
    refuse('it does not begin with pkcs11:', 'Write pkcs11:token=...');
  if (/pin-value/i.test(uri)) refusePinValue();
  if (uri.length > MAX_LENGTH) refuse(`it is longer than ${MAX_LENGTH} characters`, 'Shorten it');
  const inPath = parseAttributes(path, ';', PATH_VALUE, (name) =>
    requireKnown(name, PATH_ATTRIBUTES, QUERY_ATTRIBUTES, 'stands behind "?"'),
  );
  const inQuery = parseAttributes(query, '&', QUERY_VALUE, (name) =>
    requireKnown(name, QUERY_ATTRIBUTES, PATH_ATTRIBUTES, 'stands in front of "?"'),
  );

  const text = (name: string): string | undefined => {
    const value = inPath.get(name) ?? inQuery.get(name);
    if (value === undefined) return undefined;
    const decoded = textOf(name, value);
    checkValue(name, decoded);
    return decoded;
  };
  text('type');
  const criteria: Record<string, string> = {};
  for (const name of TOKEN_ATTRIBUTES) {
    const value = text(name);
    if (value !== undefined) criteria[name] = value;
  }
  const source = text('pin-source');
  return {
    criteria,
    object: text('object'),
    id: inPath.get('id'),
    modulePath: modulePathOf(text('module-path')),
    moduleName: moduleNameOf(text('module-name')),
    pinFile: source === undefined ? undefined : pinFileOf(source),
  };
}

function requireKnown(
  name: string,
  known: readonly string[],
  elsewhere: readonly string[],
  where: string,
): void {
  if (known.includes(name)) return;
  if (elsewhere.includes(name)) refuse(`${name} is in the wrong place`, `${name} ${where}`);
  refuse(`${name} is no attribute of it`, `Attributes here are ${known.join(', ')}`);
}

function modulePathOf(path: string | undefined): string | undefined {
  // The dynamic linker would look for other names in folders that nobody thinks of.
  if (path !== undefined && !path.startsWith('/')) {
    refuse('module-path is not absolute', 'Write the whole path of the module');
  }
  return path;
}

function moduleNameOf(name: string | undefined): string | undefined {
  if (name !== undefined && !/^[A-Za-z0-9][\w.+-]*$/.test(name)) {
    refuse(
      'module-name is not the name of a library',
      'It has no folder, and neither "lib" in front nor ".so" at its end: module-name=softhsm2',
    );
  }
  return name;
}

function pinFileOf(source: string): string {
  if (source.startsWith('|')) {
    refuse(
      'pin-source runs a program',
      'Let the program write to a file, or into --key-pass stdin',
    );
  }
  // file:/path and file:///path (RFC 8089), or just a path, as other programs take it.
  const path = source.replace(/^file:(?:\/\/(?:localhost)?(?=\/))?/i, '');
  if (!path.startsWith('/')) {
    refuse('pin-source is not the absolute path of a file', 'Write pin-source=file:/PATH');
  }
  return path;
}

const encodeText = encodeURIComponent;

const encodeId = (id: Uint8Array): string =>
  [...id].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');

/** A URI that names a token and one of its objects, as it may be printed and used again. */
export function formatPkcs11Uri(uri: Pkcs11Uri): string {
  const path = Object.entries(uri.criteria).map(
    ([name, value]) => `${name}=${encodeText(String(value))}`,
  );
  if (uri.object !== undefined) path.push(`object=${encodeText(uri.object)}`);
  if (uri.id !== undefined) path.push(`id=${encodeId(uri.id)}`);
  const query: string[] = [];
  // A slash needs no encoding in a query, and paths read better so.
  const { modulePath, moduleName } = uri;
  if (modulePath !== undefined) {
    query.push(`module-path=${encodeText(modulePath).replaceAll('%2F', '/')}`);
  }
  if (moduleName !== undefined) query.push(`module-name=${encodeText(moduleName)}`);
  return `pkcs11:${path.join(';')}${query.length === 0 ? '' : `?${query.join('&')}`}`;
}
