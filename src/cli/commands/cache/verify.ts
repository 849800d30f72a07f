import { verifyCache } from '../../../cache/inventory.ts';
import { defaultCacheDirectory } from '../../../cache/store.ts';
import type { CommandDefinition } from '../../command.ts';
import { EXIT } from '../../exit-code.ts';
import { formatSize } from '../../terminal.ts';
import { openFileReader } from './reader.ts';

export const cacheVerifyCommand: CommandDefinition = {
  name: 'verify',
  summary: 'Hash all of the cache, and remove what is damaged',
  positionals: {},
  options: {},
  examples: [['cache verify', 'after a disk had errors; exit code 3 when something was damaged']],
  async run(_args, { env, signal, reporter }) {
    const step = 'cache.verify';
    const title = 'Hashing the cache';
    const started = performance.now();
    reporter.report({ kind: 'step-start', step, title });
    const found = await verifyCache(defaultCacheDirectory(env), {
      reader: await openFileReader(),
      signal,
      progress: (done, total) => reporter.report({ kind: 'step-progress', step, done, total }),
    });
    const milliseconds = performance.now() - started;
    reporter.report({ kind: 'step-done', step, title, cached: false, milliseconds });
    const { blobs, results, damaged } = found;
    const isWhole = damaged.length === 0;
    const kept = damaged.filter(({ isRemoved }) => !isRemoved).length;
    const told = `${damaged.length} damaged, ${kept === 0 ? 'and removed' : `${kept} of them cannot be removed`}`;
    return {
      text: [
        ...damaged.map(
          ({ kind, key, problem, isRemoved }) =>
            `${isRemoved ? 'removed' : 'damaged'} ${kind}/${key}: ${problem}`,
        ),
        `${blobs.entries} blobs (${formatSize(blobs.bytes)}) and ${results.entries} results: ${isWhole ? 'all whole' : told}`,
      ].join('\n'),
      json: found,
      exitCode: isWhole ? EXIT.ok : EXIT.verification,
    };
  },
};
