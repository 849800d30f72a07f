/**
 * Who signs an APK, read from the command line as apksigner reads it: the options of one signer stand
 * together, and the next one starts with --next-signer, with --signer-for-min-sdk-version, or where an
 * option comes again.
 */

import { basename } from 'node:path';
import { UsageError } from '../../../core/errors.ts';

export interface SignerArguments {
  readonly key?: string;
  readonly cert?: string;
  readonly keyPass?: string;
  readonly storePass?: string;
  readonly name?: string;
  readonly lineage?: string;
  readonly minSdk?: number;
}

const OPTIONS = {
  key: 'key',
  cert: 'cert',
  'key-pass': 'keyPass',
  'store-pass': 'storePass',
  'v1-signer-name': 'name',
  'signer-lineage': 'lineage',
} as const satisfies Record<string, keyof SignerArguments>;

const NEXT_SIGNER = 'next-signer';
const FOR_MIN_SDK = 'signer-for-min-sdk-version';

function sdkOf(text: string): number {
  const sdk = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(sdk)) {
    throw new UsageError('usage', `Cannot use --${FOR_MIN_SDK} ${text}: it is no SDK version`);
  }
  return sdk;
}

/**
 * The signers of a command line, in its order.
 *
 * @param argv As it was given.
 * @throws {UsageError} `usage` when an option of a signer has no key or certificate beside it.
 */
export function readSigners(argv: readonly string[]): readonly SignerArguments[] {
  const signers: SignerArguments[] = [];
  let current: SignerArguments = {};
  const next = (): void => {
    if (Object.keys(current).length > 0) signers.push(current);
    current = {};
  };
  for (let at = 0; at < argv.length; at++) {
    const [, name = '', joined] = /^--([a-z0-9-]+)(?:=(.*))?$/s.exec(argv[at] ?? '') ?? [];
    if (name === NEXT_SIGNER) {
      next();
    } else if (name === FOR_MIN_SDK) {
      next();
      current = { minSdk: sdkOf(joined ?? argv[++at] ?? '') };
    } else if (Object.hasOwn(OPTIONS, name)) {
      const field = OPTIONS[name as keyof typeof OPTIONS];
      if (current[field] !== undefined) next();
      current = { ...current, [field]: joined ?? argv[++at] ?? '' };
    }
  }
  next();
  for (const { key, cert } of signers) {
    if (key !== undefined || cert !== undefined) continue;
    throw new UsageError('usage', 'Cannot tell the signers apart: one of them has no key', {
      hint: 'Let the options of one signer stand together: --key A --cert A.pem --key B --cert B.pem',
    });
  }
  return signers;
}

/**
 * What a JAR signature's files are called after a key, as apksigner has it: the alias in a key store, or
 * the name of a key file up to its first dot. Undefined for keys in other places.
 */
export function signerName({ name, key }: SignerArguments): string | undefined {
  if (name !== undefined || key === undefined) return name;
  const [, kind] = /^(p12|jks|pkcs11|helper):/.exec(key) ?? [];
  if (kind === 'p12' || kind === 'jks') return /#([^#]+)$/.exec(key)?.[1];
  const [base] = basename(key.replace(/^file:/, '')).split('.');
  return kind !== undefined || base === '' ? undefined : base;
}
