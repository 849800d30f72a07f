/** How signing certificate lineages begin, grow and come together, as apksig has them do. */

import { equalBytes } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import {
  changeCapabilities,
  encodeLineageSignedData,
  type LineageCapability,
  type LineageNode,
} from '../../formats/apk/lineage.ts';
import { signChecked, type Signer } from '../signer.ts';
import { signatureAlgorithms } from './sign-key.ts';

export type Lineage = readonly LineageNode[];

/** A lineage of one certificate, which nobody has signed. */
export const startLineage = (certificate: Uint8Array, capabilities: number): Lineage => [
  {
    certificate,
    parentAlgorithm: 0,
    capabilities,
    algorithm: 0,
    signature: new Uint8Array(0),
  },
];

/** Where in the lineage a certificate stands; -1 when it does not. */
export const findCertificate = (lineage: Lineage, certificate: Uint8Array): number =>
  lineage.findIndex((node) => equalBytes(node.certificate, certificate));

/**
 * Adds a certificate, signed by the key of the last one.
 *
 * @param parent Of the last certificate.
 * @throws {UsageError} `key` when the certificate is in the lineage, or the key is not of the last one.
 */
export async function extendLineage(
  lineage: Lineage,
  parent: { readonly signer: Signer; readonly certificate: Uint8Array },
  child: { readonly certificate: Uint8Array; readonly capabilities: number },
): Promise<Lineage> {
  const last = lineage.at(-1);
  if (last === undefined || !equalBytes(last.certificate, parent.certificate)) {
    throw new UsageError(
      'key',
      'Cannot rotate: the old key is not the newest one of the lineage, which alone may sign the next',
    );
  }
  if (findCertificate(lineage, child.certificate) !== -1) {
    throw new UsageError('key', 'Cannot rotate: the lineage has the new certificate already');
  }
  const [algorithm] = signatureAlgorithms(parent.signer.publicKey, false);
  const signature = await signChecked(
    parent.signer,
    encodeLineageSignedData(child.certificate, algorithm.id),
    { hash: algorithm.hash, scheme: algorithm.scheme, purpose: 'lineage' },
  );
  return [
    ...lineage.slice(0, -1),
    { ...last, algorithm: algorithm.id },
    { ...child, parentAlgorithm: algorithm.id, algorithm: 0, signature },
  ];
}

/**
 * The lineage with other capabilities of one certificate.
 *
 * @throws {UsageError} `key` when the certificate is not in it.
 */
export function changeLineage(
  lineage: Lineage,
  certificate: Uint8Array,
  changes: Readonly<Partial<Record<LineageCapability, boolean>>>,
): Lineage {
  const node = lineage[findCertificate(lineage, certificate)];
  if (node === undefined) {
    throw new UsageError('key', 'Cannot change the lineage: the certificate is not in it');
  }
  const capabilities = changeCapabilities(node.capabilities, changes);
  return lineage.map((each) => (each === node ? { ...node, capabilities } : each));
}

/** The lineage up to a certificate; undefined when it is not in it. */
export function truncateLineage(lineage: Lineage, certificate: Uint8Array): Lineage | undefined {
  const index = findCertificate(lineage, certificate);
  return index === -1 ? undefined : lineage.slice(0, index + 1);
}

/**
 * The whole history that two lineages are parts of. Of certificates in both, the capabilities are those
 * of the lineage that starts later.
 *
 * @throws {UsageError} `input` when one does not continue the other.
 */
export function mergeLineages(a: Lineage, b: Lineage): Lineage {
  const [first] = a;
  if (first === undefined) return b;
  const isLater = findCertificate(b, first.certificate) !== -1;
  const [older, newer] = isLater ? [b, a] : [a, b];
  const [start] = newer;
  if (start === undefined) return older;
  const at = findCertificate(older, start.certificate);
  if (at === -1) {
    throw new UsageError('input', 'Cannot merge lineages: neither continues the other');
  }
  const isSame = older.slice(at, at + newer.length).every((node, index) => {
    const other = newer[index];
    return other !== undefined && equalBytes(node.certificate, other.certificate);
  });
  if (!isSame) {
    throw new UsageError('input', 'Cannot merge lineages: they continue with other certificates');
  }
  return [...older.slice(0, at), ...newer, ...older.slice(at + newer.length)];
}
