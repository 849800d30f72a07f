/** What was verified of an image and of those that it chains to, as links of a tree and as JSON. */

import { toHex, sha256 } from '../../../core/digest.ts';
import type { VerificationError } from '../../../core/errors.ts';
import type { Vbmeta } from '../../../formats/avb/vbmeta.ts';
import type { VerifiedPart } from '../../../signing/avb/verify-image.ts';
import { EXIT } from '../../exit-code.ts';
import { errorToJson } from '../../render/error.ts';
import type { TreeLink } from '../../render/tree.ts';
import { describeAvbKey } from '../../trust-anchors.ts';

export interface VerifiedImage {
  readonly path: string;
  /** undefined when there is none that can be read. */
  readonly vbmeta: Vbmeta | undefined;
  /** What holds. */
  readonly parts: readonly VerifiedPart[];
  /** Partitions that it describes and whose images are not there. */
  readonly missing: readonly string[];
  /** Images whose keys this one names. */
  readonly chains: readonly VerifiedImage[];
  /** What does not hold, or undefined. */
  readonly error?: VerificationError;
}

const link = (title: string, state: TreeLink['state'], details: readonly string[]): TreeLink => ({
  title,
  state,
  details,
  children: [],
});

/** The digest that a vbmeta holds of a partition. */
function digestOf(vbmeta: Vbmeta | undefined, partition: string): string {
  for (const each of vbmeta?.descriptors ?? []) {
    if (each.kind === 'hash' && each.partitionName === partition) return toHex(each.digest);
    if (each.kind === 'hashtree' && each.partitionName === partition) return toHex(each.rootDigest);
  }
  return '';
}

function partLink(part: VerifiedPart, image: VerifiedImage): readonly TreeLink[] {
  switch (part.kind) {
    case 'image':
    case 'vbmeta':
      return []; // told by the link above
    case 'hash':
    case 'hashtree': {
      const title = `vbmeta → partition ${part.partition}`;
      const covered = `${part.imageSize} bytes of ${part.image}`;
      if (!part.hasDigest) {
        const why = `${covered}: the device keeps the digest, nothing was compared`;
        return [link(title, 'skipped', [why])];
      }
      const what = part.kind === 'hash' ? 'digest' : 'root digest of every block';
      const digest = digestOf(image.vbmeta, part.partition);
      return [link(title, 'ok', [covered, `${part.hashAlgorithm} ${what} ${digest}`])];
    }
    case 'chain': {
      const place = `rollback index location ${part.rollbackIndexLocation}`;
      const found = image.chains[chainsBefore(image, part.partition)];
      const title = `vbmeta → key of partition ${part.partition}`;
      if (found === undefined)
        return [link(title, 'skipped', [place, 'its image is not here: not looked at'])];
      const signer = found.vbmeta && describeAvbKey(found.vbmeta.publicKey);
      return [
        {
          title: `${title} → ${found.path}`,
          state: found.error === undefined ? 'ok' : 'broken',
          details: [...(signer === undefined ? [] : [`signed by ${signer}`]), place],
          children: chainLinks(found),
        },
      ];
    }
    default:
      return part satisfies never;
  }
}

/** Chained images are in the order of their descriptors, without those that are not there. */
function chainsBefore({ parts, missing }: VerifiedImage, partition: string): number {
  const chained = parts.flatMap((part) => (part.kind === 'chain' ? [part.partition] : []));
  return chained.filter((each) => !missing.includes(each)).indexOf(partition);
}

/** The links below an image’s own. */
export function chainLinks(image: VerifiedImage): readonly TreeLink[] {
  const looked = image.parts.flatMap((part) => partLink(part, image));
  const chained = new Set(
    image.parts.flatMap((part) => (part.kind === 'chain' ? [part.partition] : [])),
  );
  const missing = image.missing
    .filter((partition) => !chained.has(partition))
    .map((partition) =>
      link(`vbmeta → partition ${partition}`, 'skipped', ['its image is not here: not looked at']),
    );
  const links = [...looked, ...missing];
  const { error } = image;
  return error === undefined ? links : [...links, link(error.link, 'broken', [error.message])];
}

/** The same for programs. */
export function chainJson(image: VerifiedImage): unknown {
  const { path, vbmeta, parts, missing, chains, error } = image;
  return {
    image: path,
    verified: error === undefined,
    key: vbmeta === undefined ? null : `sha256:${toHex(sha256(vbmeta.publicKey))}`,
    algorithm: vbmeta?.algorithm ?? null,
    rollbackIndex: vbmeta?.rollbackIndex ?? null,
    parts,
    missing,
    chains: chains.map(chainJson),
    ...(error !== undefined && { error: errorToJson(error, EXIT.verification) }),
  };
}
