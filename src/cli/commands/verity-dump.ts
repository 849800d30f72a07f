import { toHex } from '../../core/digest.ts';
import type { DumpNode } from '../../core/dump.ts';
import { openFileSource } from '../../io/byte-source.ts';
import { layoutOf, treeOffsetOf } from '../../verity/dm-verity.ts';
import { decodeSuperblock, dumpSuperblock, SUPERBLOCK_SIZE } from '../../verity/superblock.ts';
import { uuidText } from '../../verity/uuid.ts';
import type { CommandDefinition } from '../command.ts';
import { renderDump } from '../render/dump.ts';
import { optionalSize, treeOptions } from './verity-options.ts';

export const dumpCommand: CommandDefinition = {
  name: 'dump',
  summary: 'Show a superblock and the layout of its tree',
  positionals: { tree: { type: 'string', describe: 'File of the hash area' } },
  options: { 'hash-offset': treeOptions['hash-offset'] ?? {} },
  examples: [
    ['verity dump system.hash', 'parameters, and where each level is'],
    ['verity dump system.img --hash-offset 1048576 --json', 'behind the data, for a program'],
  ],
  async run(args, { terminal }) {
    const path = args.text('tree');
    const hashOffset = optionalSize(args, 'hash-offset') ?? 0;
    const source = await openFileSource(path);
    try {
      const bytes = await source.read(hashOffset, SUPERBLOCK_SIZE);
      const superblock = decodeSuperblock(bytes, hashOffset);
      const { hashBlockSize } = superblock;
      const layout = layoutOf(superblock);
      const treeOffset = treeOffsetOf({ hashOffset, hasSuperblock: true }, hashBlockSize);
      const levels = layout.levels.map(({ level, offset, blocks, digests }) => ({
        level,
        offset: treeOffset + offset,
        blocks,
        digests,
      }));
      const node: DumpNode = {
        name: 'dm-verity superblock',
        fields: dumpSuperblock(bytes, hashOffset),
        children: [
          {
            name: 'hash tree',
            fields: [
              { name: 'offset', value: treeOffset },
              { name: 'size', value: layout.treeSize },
              { name: 'end', value: treeOffset + layout.treeSize },
              { name: 'in the file', value: treeOffset + layout.treeSize <= source.size },
            ],
            children: levels.toReversed().map(({ level, offset, blocks, digests }) => ({
              name: `level ${level}`,
              fields: [
                { name: 'offset', value: offset },
                { name: 'blocks', value: blocks },
                { name: 'digests', value: digests },
              ],
              children: [],
            })),
          },
        ],
      };
      return {
        text: renderDump(node, terminal),
        json: {
          ...superblock,
          uuid: uuidText(superblock.uuid),
          salt: toHex(superblock.salt),
          hashOffset,
          treeOffset,
          treeSize: layout.treeSize,
          levels,
        },
      };
    } finally {
      await source.close();
    }
  },
};
