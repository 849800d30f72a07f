import { openContents } from '../../bundle/entries/open.ts';
import { fileKinds, type FileKind } from '../../bundle/file-kind.ts';
import { inspectPath } from '../../bundle/inspect.ts';
import type { CommandDefinition } from '../command.ts';
import { hasError } from '../../bundle/inspect/byte-map.ts';
import { inspectOther, otherKinds, type OtherKind } from '../inspect/other-formats.ts';
import { renderDump } from '../render/dump.ts';
import { EXIT } from '../exit-code.ts';
import { inspectArchive } from './inspect-archive.ts';
import { erofsVerbs, inspectErofs, type Verb } from './inspect-erofs.ts';

export const inspectCommand: CommandDefinition = {
  name: 'inspect',
  summary:
    'Show what is inside a bundle, disk, image, archive, program or signature; list, read and extract its files',
  positionals: {
    target: { type: 'string', describe: 'Bundle folder or file; its format is told by its bytes' },
    verb: {
      type: 'string',
      required: false,
      choices: erofsVerbs,
      describe:
        'Work on the files of an image, archive, package or initrd, also on a disk or in a bundle',
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
      choices: [...fileKinds, ...otherKinds],
      describe: 'Take the file as this format, whatever it begins with',
    },
    bytes: {
      type: 'boolean',
      default: false,
      describe: 'Every field with its place and size, gaps, and what follows the end',
    },
    partition: {
      type: 'string',
      requiresArg: true,
      describe:
        'The partition of a disk, or a member of a package; default: the one that holds EROFS, or data.tar',
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
    ['inspect recipes/hello/microbuild.yaml --json', 'every value, and where it stands'],
    ['inspect app.apk --bytes', 'every field of every header, and what is between them'],
    ['inspect app.apk cat assets/vm_config.json', 'one entry of an archive'],
    ['inspect out/hello ls / -l', 'the files of the system that a bundle boots'],
    ['inspect rootfs.erofs cat /etc/os-release', 'one file, to stdout'],
    ['inspect rootfs.erofs extract /usr/lib lib', 'a folder of an image, into a new folder'],
  ],
  verifying: true,
  title: (args) =>
    args.optionalText('verb') === undefined ? `Inspect ${args.text('target')}` : undefined,
  async run(args, context) {
    const target = args.text('target');
    const named = args.optionalText('as') as FileKind | OtherKind | undefined;
    const isOther = (otherKinds as readonly (string | undefined)[]).includes(named);
    const as = isOther ? undefined : (named as FileKind | undefined);
    const verb = args.optionalText('verb') as Verb | undefined;
    if (verb !== undefined) {
      const contents = await openContents(target, args.optionalText('partition'), as);
      try {
        return contents.kind === 'image'
          ? await inspectErofs(verb, contents.image, args, context)
          : await inspectArchive(verb, contents.list, args, context);
      } finally {
        await contents.close();
      }
    }
    const other = isOther ? await inspectOther(target, named as OtherKind) : undefined;
    const { kind, node, isDamaged } =
      other === undefined
        ? await inspectPath(target, as, args.flag('bytes'), (path) => inspectOther(path, undefined))
        : { ...other, isDamaged: hasError(other.node) };
    return {
      text: renderDump(node, context.terminal),
      json: { kind, ...node },
      exitCode: isDamaged ? EXIT.verification : EXIT.ok,
    };
  },
};
