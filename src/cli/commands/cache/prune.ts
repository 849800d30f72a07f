import { prune, sizeBound } from '../../../cache/prune.ts';
import { defaultCacheDirectory } from '../../../cache/store.ts';
import { UsageError } from '../../../core/errors.ts';
import { parseSize } from '../../../core/size.ts';
import type { CommandDefinition } from '../../command.ts';
import { formatSize } from '../../terminal.ts';
import { openFileReader } from './reader.ts';

export const cachePruneCommand: CommandDefinition = {
  name: 'prune',
  summary: 'Remove what was not used longest, until the cache fits',
  positionals: {},
  options: {
    size: {
      type: 'string',
      requiresArg: true,
      describe: 'How large it may be, such as 2GiB; default: MICROBUILD_CACHE_SIZE, or 10GiB',
    },
    'dry-run': { type: 'boolean', default: false, describe: 'Say only what would be removed' },
  },
  examples: [
    ['cache prune', 'what every build does when the cache is full'],
    ['cache prune --size 2GiB', 'before the cache is saved as an artefact of a pipeline'],
  ],
  title: () => 'Prune the cache',
  async run(args, { env }) {
    const size = args.optionalText('size');
    const bound = size === undefined ? sizeBound(env) : parseSize(size, '--size');
    const dryRun = args.flag('dry-run');
    const reader = await openFileReader();
    const pruned = await prune(defaultCacheDirectory(env), { bound, reader, dryRun });
    if (pruned === undefined) {
      throw new UsageError('usage', 'Cannot prune the cache: another process is at it', {
        hint: 'Wait until it is done',
      });
    }
    const { removedEntries, removedBytes, bytes } = pruned;
    const verb = dryRun ? 'would remove' : 'removed';
    const left = formatSize(bytes - removedBytes);
    return {
      text: `${verb} ${removedEntries} entries, ${formatSize(removedBytes)}; ${left} of at most ${formatSize(bound)} ${dryRun ? 'would stay' : 'are left'}`,
      json: { ...pruned, bound, dryRun },
    };
  },
};
