import { clearCache } from '../../../cache/inventory.ts';
import { endQuarantine } from '../../../cache/quarantine.ts';
import { defaultCacheDirectory } from '../../../cache/store.ts';
import type { CommandDefinition } from '../../command.ts';
import { formatSize } from '../../terminal.ts';
import { openFileReader } from './reader.ts';

export const cacheClearCommand: CommandDefinition = {
  name: 'clear',
  summary: 'Remove all that the cache has; the next build makes it again',
  positionals: {},
  options: {
    quarantine: {
      type: 'boolean',
      default: false,
      describe: 'Only forget which steps did not make the same twice: their results are kept again',
    },
  },
  examples: [
    ['cache clear', 'when no build is running'],
    ['cache clear --quarantine', 'after what made them differ was mended'],
  ],
  title: () => 'Clear the cache',
  async run(args, { env }) {
    const directory = defaultCacheDirectory(env);
    if (args.flag('quarantine')) {
      await endQuarantine(directory);
      return { text: 'the quarantine is empty', json: { directory, quarantine: [] } };
    }
    const removed = await clearCache(directory, await openFileReader());
    return {
      text: `removed ${removed.entries} entries, ${formatSize(removed.bytes)}, from ${directory}`,
      json: { directory, removed },
    };
  },
};
