import { cacheInfo } from '../../../cache/inventory.ts';
import { sizeBound } from '../../../cache/prune.ts';
import { defaultCacheDirectory } from '../../../cache/store.ts';
import type { CommandDefinition } from '../../command.ts';
import { formatSize, printable } from '../../terminal.ts';
import { openFileReader } from './reader.ts';

export const cacheInfoCommand: CommandDefinition = {
  name: 'info',
  summary: 'Show where the cache is, how much is in it, and which steps do not make the same twice',
  positionals: {},
  options: {},
  examples: [['cache info --json', 'for a dashboard of the build machines']],
  title: () => 'Look at the cache',
  async run(_args, { env }) {
    const info = await cacheInfo(defaultCacheDirectory(env), await openFileReader());
    const bound = sizeBound(env);
    const bytes = info.blobs.bytes + info.results.bytes;
    const { oldestUse } = info;
    const oldest = oldestUse === undefined ? undefined : new Date(oldestUse).toISOString();
    const lines = [
      info.directory,
      `  ${formatSize(bytes)} of at most ${formatSize(bound)}`,
      `  ${info.blobs.entries} blobs, ${info.results.entries} results`,
      ...Object.entries(info.steps).map(([step, count]) => `    ${printable(step)}  ${count}`),
      ...(info.images === 0 ? [] : [`  ${info.images} images of bundles to take equal parts from`]),
      ...(info.besides === 0
        ? []
        : [
            `  ${formatSize(info.besides)} beside that: indexes of packages; cache clear removes them`,
          ]),
      ...(oldest === undefined ? [] : [`  not used since ${oldest}: the oldest`]),
      ...info.quarantine.map(
        ({ mnemonic, key }) =>
          `  quarantine: ${printable(mnemonic)} does not make the same twice (${printable(key)})`,
      ),
    ];
    return { text: lines.join('\n'), json: { ...info, oldestUse: oldest ?? null, bytes, bound } };
  },
};
