/** A bundle: every link of its chain of trust, from the trusted AVB key down. */

import { openBundle } from '../../../bundle/open.ts';
import { verifyBundle, type ChainLink } from '../../../bundle/verify.ts';
import { sha256, toHex } from '../../../core/digest.ts';
import { UsageError, VerificationError } from '../../../core/errors.ts';
import { EXIT } from '../../exit-code.ts';
import { renderChain } from '../../render/chain.ts';
import { errorToJson } from '../../render/error.ts';
import { trustedKey } from '../../trust.ts';
import type { VerifyTarget } from './target.ts';

export const verifyBundleTarget: VerifyTarget = async (path, args, { env, terminal, signal }) => {
  const [named, ...others] = args.list('trust');
  if (others.length > 0) {
    throw new UsageError('usage', 'A bundle has one trusted key, and --trust is given twice');
  }
  const trusted = await trustedKey(named, path, env);
  const bundle = await openBundle(path);
  const links: ChainLink[] = [];
  const from = `${trusted.from}, sha256 ${toHex(sha256(trusted.key))}`;
  const head = `${bundle.manifest.name}: chain of trust from ${from}`;
  try {
    const { debugLevel, rollbackIndex } = await verifyBundle(bundle, {
      trustedKey: trusted.key,
      minimumRollbackIndex: BigInt(args.optionalNumber('minimum-rollback-index') ?? 0),
      level: 'full',
      signal,
      onLink: (link) => links.push(link),
    });
    const { release } = bundle.manifest;
    return {
      text: `${head}\n${renderChain(links, terminal)}\nverified: ${links.length} links hold, ${release} keys, debug level ${debugLevel}`,
      json: { verified: true, links, debugLevel, rollbackIndex, release },
    };
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    terminal.err(`error: ${error.message}`);
    return {
      text: `${head}\n${renderChain(links, terminal, error)}\nNOT VERIFIED: ${error.link} is broken`,
      json: { verified: false, links, error: errorToJson(error, EXIT.verification) },
      exitCode: EXIT.verification,
    };
  } finally {
    await bundle.close();
  }
};
