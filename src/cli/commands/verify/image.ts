/** A vbmeta image, or an image with an AVB footer: its signature, and the images that it describes. */

import { toHex, sha256 } from '../../../core/digest.ts';
import { FormatError, UsageError, VerificationError } from '../../../core/errors.ts';
import { vbmetaOf } from '../../../signing/avb/loaded-vbmeta.ts';
import { verifyImage, type VerifiedPart } from '../../../signing/avb/verify-image.ts';
import { readTrustedAvbKey } from '../../../signing/keys/trusted-key.ts';
import { openEngine } from '../../engine.ts';
import { EXIT } from '../../exit-code.ts';
import { errorToJson } from '../../render/error.ts';
import { renderTree, type TreeLink } from '../../render/tree.ts';
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

export const verifyImageTarget: VerifyTarget = async (path, args, { terminal, signal }) => {
  const [named, ...others] = args.list('trust');
  if (others.length > 0) {
    throw new UsageError('usage', 'An image has one trusted key, and --trust is given twice');
  }
  const trusted = named === undefined ? undefined : await readTrustedAvbKey(named);
  const { vbmeta } = await vbmetaOf(path, openForReading);
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
  const head = `${path}: ${named === undefined ? 'signed by' : `against ${named},`} ${key}`;
  const engine = await openEngine(undefined);
  try {
    await verifyImage(
      path,
      imageFinder(args, path),
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
