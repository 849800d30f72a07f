/** A vbmeta image, or an image with an AVB footer: its signature, and the images that it describes. */

import { toHex, sha256 } from '../../../core/digest.ts';
import { FormatError, UsageError, VerificationError } from '../../../core/errors.ts';
import { readVbmeta } from '../../../formats/avb/footer.ts';
import { decodeVbmeta, type Vbmeta } from '../../../formats/avb/vbmeta.ts';
import type { ImageFinder } from '../../../signing/avb/loaded-vbmeta.ts';
import { verifyImage, type VerifiedPart } from '../../../signing/avb/verify-image.ts';
import { readTrustedAvbKey } from '../../../signing/keys/trusted-key.ts';
import type { CommandArguments } from '../../command.ts';
import { openEngine } from '../../engine.ts';
import { EXIT } from '../../exit-code.ts';
import { errorToJson } from '../../render/error.ts';
import { renderTree, type TreeLink } from '../../render/tree.ts';
import { isKeyDigest, keyOfDigest } from '../../trust.ts';
import { imageFinder, openForReading } from '../avb/images.ts';
import type { VerifyTarget } from './target.ts';

const ok = (title: string, ...details: string[]): TreeLink => ({
  title,
  state: 'ok',
  details,
  children: [],
});

/** What was proved, for people; undefined for what is said elsewhere. */
function linkOf(part: VerifiedPart): TreeLink | undefined {
  switch (part.kind) {
    case 'image':
      return undefined;
    case 'vbmeta':
      return ok(`signature → ${part.hasFooter ? 'footer’s vbmeta' : 'vbmeta'}`, part.algorithm);
    case 'hash':
    case 'hashtree': {
      const what = part.kind === 'hash' ? 'hash' : 'hash tree';
      const title = `vbmeta → partition ${part.partition}`;
      const detail = `${part.hashAlgorithm} ${what} over ${part.imageSize} bytes of ${part.image}`;
      if (part.hasDigest) return ok(title, detail);
      return {
        ...ok(title, `${detail}: the device keeps the digest, nothing was compared`),
        state: 'skipped',
      };
    }
    case 'chain':
      return {
        ...ok(
          `vbmeta → partition ${part.partition}`,
          `left to another key (SHA-1 ${part.publicKeySha1}) with rollback index location ${part.rollbackIndexLocation}: verify its image, too`,
        ),
        state: 'skipped',
      };
    default:
      return part satisfies never;
  }
}

async function readImage(path: string): Promise<{ vbmeta: Vbmeta; hasFooter: boolean }> {
  const image = await openForReading.open(path);
  try {
    const { bytes, footer } = await readVbmeta(image);
    return { vbmeta: decodeVbmeta(bytes), hasFooter: footer !== undefined };
  } finally {
    await image.close();
  }
}

const trustedKeyOf = async (named: string, found: Uint8Array): Promise<Uint8Array> =>
  isKeyDigest(named) ? keyOfDigest(named, found, 'vbmeta') : readTrustedAvbKey(named);

/** Finds the images of partitions: the first that a footer describes is the image that it stands in. */
function finderOf(
  args: CommandArguments,
  path: string,
  vbmeta: Vbmeta,
  hasFooter: boolean,
): ImageFinder {
  const beside = imageFinder(args, path);
  const [first] = vbmeta.descriptors;
  const own =
    hasFooter && (first?.kind === 'hash' || first?.kind === 'hashtree')
      ? first.partitionName
      : undefined;
  return { ...beside, pathOf: (name) => (name === own ? path : beside.pathOf(name)) };
}

export const verifyImageTarget: VerifyTarget = async (path, args, { terminal, signal }) => {
  const [named, ...others] = args.list('trust');
  if (others.length > 0) {
    throw new UsageError('usage', 'An image has one trusted key, and --trust is given twice');
  }
  const { vbmeta, hasFooter } = await readImage(path);
  const trusted = named === undefined ? undefined : await trustedKeyOf(named, vbmeta.publicKey);
  const minimum = BigInt(args.optionalNumber('minimum-rollback-index') ?? 0);
  const key = `sha256:${toHex(sha256(vbmeta.publicKey))}`;
  const parts: VerifiedPart[] = [];
  const links = (): TreeLink[] => parts.flatMap((part) => linkOf(part) ?? []);
  const facts = {
    key: vbmeta.publicKey.length === 0 ? null : key,
    algorithm: vbmeta.algorithm,
    rollbackIndex: vbmeta.rollbackIndex,
    flags: vbmeta.flags,
  };
  const signer = facts.key === null ? 'not signed' : `signed by ${key}`;
  const head = `${path}: ${signer}${named === undefined ? '' : `, trusted is ${named}`}`;
  const engine = await openEngine(undefined);
  try {
    await verifyImage(
      path,
      finderOf(args, path, vbmeta, hasFooter),
      {
        ...(trusted !== undefined && { key: trusted, keyName: named ?? '' }),
        hasher: engine.hasher,
        signal,
      },
      (part) => parts.push(part),
    );
    if (vbmeta.rollbackIndex < minimum) {
      throw new VerificationError(
        'vbmeta',
        'RollbackIndex',
        `Cannot trust ${path}: its rollback index is ${vbmeta.rollbackIndex}, ${minimum} or more is needed`,
        { expected: `>= ${minimum}`, actual: `${vbmeta.rollbackIndex}` },
      );
    }
    const verdict =
      named === undefined
        ? 'verified, but against its own key only: name the one that you trust with --trust'
        : `verified: rollback index ${vbmeta.rollbackIndex}, flags ${vbmeta.flags}`;
    return {
      text: `${head}\n${renderTree(links(), terminal)}\n${verdict}`,
      json: { verified: true, trusted: named !== undefined, ...facts, parts },
    };
  } catch (error) {
    if (!(error instanceof VerificationError || error instanceof FormatError)) throw error;
    terminal.err(`error: ${error.message}`);
    const title = error instanceof VerificationError ? error.link : error.format;
    const broken: TreeLink = { title, state: 'broken', details: [error.message], children: [] };
    return {
      text: `${head}\n${renderTree([...links(), broken], terminal)}\nNOT VERIFIED`,
      json: {
        verified: false,
        ...facts,
        parts,
        error: errorToJson(error, EXIT.verification),
      },
      exitCode: EXIT.verification,
    };
  } finally {
    await engine.close();
  }
};
