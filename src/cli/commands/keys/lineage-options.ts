/**
 * What commands about lineages have in common: the options of one signer behind the option that starts
 * them, as apksigner reads them, and what is told of a lineage.
 */

import { X509Certificate } from 'node:crypto';
import type { Options } from 'yargs';
import { toHex } from '../../../core/digest.ts';
import { UsageError } from '../../../core/errors.ts';
import {
  encodeLineageFile,
  hasCapability,
  lineageCapabilities,
  type LineageCapability,
} from '../../../formats/apk/lineage.ts';
import { createFileSink } from '../../../io/image-sink.ts';
import { replaceFiles } from '../../../io/replace-files.ts';
import type { Lineage } from '../../../signing/apk/lineage-change.ts';
import { readCertificateFile } from '../../../signing/keys/certificates.ts';
import { certificateDigest } from '../../../signing/x509.ts';
import type { SigningSession } from '../../signing/session.ts';
import type { SigningKeyOptions } from '../../signing/key-modes.ts';
import { keyOptions } from '../../signing/session.ts';
import { listOption } from '../avb/options.ts';

/** The options of one signer. */
export interface SignerGroup {
  /** The option that starts it, such as `old-signer`. */
  readonly starter: string;
  readonly key?: string;
  readonly cert?: string;
  readonly 'key-pass'?: string;
  readonly 'store-pass'?: string;
  readonly capabilities: Readonly<Partial<Record<LineageCapability, boolean>>>;
}

const MEANING: Readonly<Record<LineageCapability, string>> = {
  'installed-data': 'may an app signed by this key be updated, keeping its data',
  'shared-uid': 'may it share the user ID with apps signed by newer keys',
  permission: 'is it granted their signature permissions',
  rollback: 'may an app go back to this key',
  auth: 'do authenticators take it for the same app',
};

const capabilityOption = (capability: LineageCapability): string => `set-${capability}`;

/** Of the signers: key and certificate, and what their certificate is still good for. */
export const signerOptions: Readonly<Record<string, Options>> = {
  key: listOption(keyOptions.key.describe),
  cert: listOption(keyOptions.cert.describe),
  'key-pass': listOption(keyOptions['key-pass'].describe),
  'store-pass': listOption('Pass phrase of a key store, where it is not that of the key'),
  ...Object.fromEntries(
    lineageCapabilities.map((capability) => [
      capabilityOption(capability),
      { ...listOption(`true or false: ${MEANING[capability]}`), choices: ['true', 'false'] },
    ]),
  ),
};

/**
 * The signers of a command line.
 *
 * @param starters The options that start one.
 * @throws {UsageError} `usage` when an option of a signer stands before any signer.
 */
export function readSignerGroups(
  argv: readonly string[],
  starters: readonly string[],
): readonly SignerGroup[] {
  const groups: SignerGroup[] = [];
  const capabilities = new Map(lineageCapabilities.map((each) => [capabilityOption(each), each]));
  for (let at = 0; at < argv.length; at++) {
    const [, name = '', joined] = /^--([a-z0-9-]+)(?:=(.*))?$/s.exec(argv[at] ?? '') ?? [];
    if (starters.includes(name)) {
      groups.push({ starter: name, capabilities: {} });
      continue;
    }
    const capability = capabilities.get(name);
    const isKey = ['key', 'cert', 'key-pass', 'store-pass'].includes(name);
    if (capability === undefined && !isKey) continue;
    const group = groups.pop();
    const value = joined ?? argv[++at] ?? '';
    if (group === undefined) {
      throw new UsageError('usage', `Cannot tell whose --${name} it is`, {
        hint: `Write --${starters.join(' or --')} before it`,
      });
    }
    groups.push(
      capability === undefined
        ? { ...group, [name]: value }
        : { ...group, capabilities: { ...group.capabilities, [capability]: value === 'true' } },
    );
  }
  return groups;
}

/** How the key of a signer is opened. */
export const keyOptionsOf = (group: SignerGroup): SigningKeyOptions => ({
  certificate: group.cert,
  passphrase: group['key-pass'],
  storePassphrase: group['store-pass'],
});

/** The certificate of a signer who need not sign: from its file, or from where its key is. */
export async function certificateOf(
  session: SigningSession,
  group: SignerGroup,
  artefact: string,
): Promise<Uint8Array> {
  const certificates =
    group.cert === undefined
      ? (await session.key(group.key, artefact, keyOptionsOf(group))).certificates
      : await readCertificateFile(group.cert);
  const [certificate] = certificates;
  if (certificate !== undefined) return certificate;
  throw new UsageError('key', `Cannot find the certificate of --${group.starter}`, {
    hint: 'Name it with --cert',
  });
}

/** Writes a lineage file, whole or not at all. */
export const writeLineage = (path: string, lineage: Lineage): Promise<void> =>
  replaceFiles([path], async ([temporary = '']) => {
    const sink = await createFileSink(temporary);
    try {
      await sink.write(0, encodeLineageFile(lineage));
    } finally {
      await sink.close();
    }
  });

interface LineageEntry {
  readonly subject: string;
  /** Of the certificate, in hexadecimal. */
  readonly sha256: string;
  readonly keyType: string;
  readonly capabilities: Readonly<Record<string, boolean>>;
}

/** A lineage for programs. */
export const lineageJson = (lineage: Lineage): readonly LineageEntry[] =>
  lineage.map(({ certificate, capabilities }) => {
    const { subject, publicKey } = new X509Certificate(certificate);
    return {
      subject: subject.replaceAll('\n', ', '),
      sha256: toHex(certificateDigest(certificate, 'sha256')),
      keyType: publicKey.asymmetricKeyType ?? 'unknown',
      capabilities: Object.fromEntries(
        lineageCapabilities.map((each) => [each, hasCapability(capabilities, each)]),
      ),
    };
  });

/** A lineage for people: each certificate, and what it is still good for. */
export const lineageText = (lineage: Lineage): string =>
  lineageJson(lineage)
    .flatMap(({ subject, sha256, capabilities }, index) => {
      const named = Object.entries(capabilities).filter(([, granted]) => granted);
      return [
        `${index + 1}  sha256:${sha256}  ${subject}`,
        `   ${named.length === 0 ? 'no capability' : named.map(([name]) => name).join(', ')}`,
      ];
    })
    .join('\n');
