import { inspectPath } from '../../bundle/inspect.ts';
import type { CommandDefinition } from '../command.ts';
import { renderDump } from '../render/dump.ts';

export const inspectCommand: CommandDefinition = {
  name: 'inspect',
  summary: 'Show what is inside a bundle, disk, APK, idsig, vbmeta or EROFS image',
  positionals: {
    target: { type: 'string', describe: 'Bundle folder or file; its format is told by its bytes' },
  },
  options: {
    as: {
      type: 'string',
      choices: ['apk', 'idsig', 'vbmeta', 'erofs', 'gpt', 'initrd', 'payload-metadata'],
      describe: 'Take the file as this format, whatever it begins with',
    },
  },
  examples: [
    ['inspect out/hello', 'a whole bundle'],
    ['inspect out/hello/os.img --json', 'a disk and the images on it, as JSON'],
    ['inspect payload.apk.idsig', 'an APK signature, scheme v4'],
  ],
  verifying: true,
  async run(args, { terminal }) {
    const as = args.optionalText('as') as Parameters<typeof inspectPath>[1];
    const { kind, node } = await inspectPath(args.text('target'), as);
    return { text: renderDump(node, terminal), json: { kind, ...node } };
  },
};
