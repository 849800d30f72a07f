import { openBundle } from '../../bundle/open.ts';
import { verifyBundle, type ChainLink } from '../../bundle/verify.ts';
import { toHex } from '../../core/digest.ts';
import { VerificationError } from '../../core/errors.ts';
import { sha256 } from '../../core/digest.ts';
import type { CommandDefinition } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { renderChain } from '../render/chain.ts';
import { errorToJson } from '../render/error.ts';
import { trustedKey, trustOptions } from '../trust.ts';

export const verifyCommand: CommandDefinition = {
  name: 'verify',
  summary: 'Check every link of a bundle’s chain of trust, without booting it',
  positionals: { bundle: { type: 'string', describe: 'Bundle folder' } },
  options: trustOptions,
  examples: [
    ['verify out/hello', 'against this workspace’s development key'],
    ['verify out/hello --trust release.avbpubkey', 'against a release key'],
    ['verify out/hello --json', 'for a pipeline; exit code 3 when a link is broken'],
  ],
  verifying: true,
  async run(args, { env, terminal, signal }) {
    const path = args.text('bundle');
    const trusted = await trustedKey(args.optionalText('trust'), path, env);
    const bundle = await openBundle(path);
    const links: ChainLink[] = [];
    const from = `${trusted.from}, sha256 ${toHex(sha256(trusted.key))}`;
    const head = `${bundle.manifest.name}: chain of trust from ${from}`;
    try {
      const { debugLevel, rollbackIndex } = await verifyBundle(bundle, {
        trustedKey: trusted.key,
        minimumRollbackIndex: BigInt(args.number('minimum-rollback-index')),
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
  },
};
