import { fileKinds, inspectPath } from '../../bundle/inspect.ts';
import type { CommandDefinition } from '../command.ts';
import { renderDump } from '../render/dump.ts';
import { erofsVerbs, inspectErofs } from './inspect-erofs.ts';

export const inspectCommand: CommandDefinition = {
  name: 'inspect',
  summary:
    'Show what is inside a bundle, disk, image, APK or signature; list and read the files of EROFS',
  positionals: {
    target: { type: 'string', describe: 'Bundle folder or file; its format is told by its bytes' },
    verb: {
      type: 'string',
      required: false,
      choices: erofsVerbs,
      describe: 'Work on the files of an EROFS image, also on a disk or in a bundle',
    },
    operands: {
      type: 'string',
      array: true,
      required: false,
      describe: 'ls [PATH], stat PATH, cat PATH, extract [PATH] FOLDER',
    },
  },
  options: {
    as: {
      type: 'string',
      choices: fileKinds,
      describe: 'Take the file as this format, whatever it begins with',
    },
    partition: {
      type: 'string',
      requiresArg: true,
      describe: 'The partition of a disk; default: the one that holds EROFS',
    },
    long: { type: 'boolean', alias: 'l', default: false, describe: 'ls: mode, owner, size, time' },
    recursive: {
      type: 'boolean',
      alias: 'R',
      default: false,
      describe: 'ls: also what is in folders below',
    },
    owners: {
      type: 'boolean',
      default: false,
      describe: 'extract: keep owners and set-id bits; needs root',
    },
    'max-size': {
      type: 'number',
      requiresArg: true,
      describe: 'extract: the most MiB to write; default: 256 times the image, at least 4096',
    },
  },
  examples: [
    ['inspect out/hello', 'a whole bundle'],
    ['inspect out/hello/os.img --json', 'a disk and the images on it, as JSON'],
    ['inspect payload.apk.idsig', 'an APK signature, scheme v4'],
    ['inspect out/hello ls / -l', 'the files of the system that a bundle boots'],
    ['inspect rootfs.erofs cat /etc/os-release', 'one file, to stdout'],
    ['inspect rootfs.erofs extract /usr/lib lib', 'a folder of an image, into a new folder'],
  ],
  verifying: true,
  async run(args, context) {
    if (args.optionalText('verb') !== undefined) return inspectErofs(args, context);
    const as = args.optionalText('as') as Parameters<typeof inspectPath>[1];
    const { kind, node } = await inspectPath(args.text('target'), as);
    return { text: renderDump(node, context.terminal), json: { kind, ...node } };
  },
};
