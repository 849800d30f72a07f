/** The schema of what goes into a partition: sources, and rules for the files that they bring. */

import { z } from 'zod';
import {
  archivePath,
  imagePath,
  isAddress,
  mode,
  ownerId,
  pathKinds,
  relativePath,
} from './schema-values.ts';
import { tellConflict } from './schema-tools.ts';

const glob = z
  .string()
  .min(1, 'Write a pattern such as *.a or /usr/share/doc')
  .max(1024)
  .meta({ examples: ['/usr/share/doc'] });

/** Longer than any file system of ours keeps. */
const MAX_XATTR_SIZE = 65_535;

const xattrName = z
  .string()
  .max(255)
  .regex(
    /^(?:user|trusted|security|system)\.[^\0]+$/,
    'Write a name such as user.note or security.capability',
  )
  .meta({ examples: ['user.note'] });

const xattrValue = z
  .string()
  .refine(
    (text) => !text.startsWith('0x') || /^0x(?:[0-9a-fA-F]{2})*$/.test(text),
    'Write an even number of hexadecimal digits behind 0x',
  )
  .refine(
    (text) => !text.startsWith('base64:') || isBase64(text.slice('base64:'.length)),
    'Write base64 with its padding behind base64:',
  )
  .refine((text) => text.length <= 2 * MAX_XATTR_SIZE, `Write at most ${MAX_XATTR_SIZE} bytes`)
  .meta({ examples: ['some text'] });

const isBase64 = (text: string): boolean => Buffer.from(text, 'base64').toString('base64') === text;

/** The last second of the year 9999. */
const MAX_TIME = 253_402_300_799;

const CHANGES = ['mode', 'uid', 'gid', 'mtime', 'xattrs', 'remove'] as const;

const rule = z
  .strictObject({
    match: z
      .union([glob, z.array(glob).min(1)], 'Write a pattern, or a list of patterns')
      .transform((patterns) => (typeof patterns === 'string' ? [patterns] : patterns))
      .describe('Which files: a pattern, or several of which one must fit'),
    mode: mode.optional(),
    uid: ownerId.optional().describe('Number of the owner'),
    gid: ownerId.optional().describe('Number of the group'),
    mtime: z
      .int()
      .min(0)
      .max(MAX_TIME)
      .optional()
      .describe('Time of change, in seconds since 1970; others get that of the build'),
    xattrs: z
      .record(xattrName, xattrValue.nullable())
      .optional()
      .describe(
        'Extended attributes: text, bytes as "0x..." or "base64:...", or null, which removes one',
      ),
    remove: z.literal(true).optional().describe('Leaves the files out'),
  })
  .superRefine((value, context) => {
    const changes = CHANGES.filter((key) => value[key] !== undefined);
    if (changes.length === 0) {
      const message = `Write what to change: ${CHANGES.join(', ')}`;
      tellConflict(context, [], CHANGES, message);
    }
    if (value.remove === true && changes.length > 1) {
      const message = `Leave out ${changes.filter((key) => key !== 'remove').join(', ')}: the files are removed`;
      tellConflict(context, ['remove'], CHANGES, message);
    }
  })
  .meta({
    description: 'Changes files that match',
    examples: [{ match: '/usr/share/doc', mode: '0644' }],
  });

export const rules = z
  .array(rule)
  .max(1000)
  .default([])
  .describe('Changes to files by their paths in the image, in order; each must match something');

/** Of sources that bring a tree. */
const selection = {
  include: z.array(glob).min(1).optional().describe('Takes only what matches one of these'),
  exclude: z.array(glob).min(1).optional().describe('Leaves out what matches one of these'),
  rules,
};

const to = imagePath.default('/').describe('Folder of the image in which it goes');
const linkTo = imagePath
  .refine((path) => path !== '/', 'Write the path of the file itself, such as /system/etc/motd')
  .meta({ description: 'Its path in the image', examples: ['/system/etc/motd'] });
const owner = {
  uid: ownerId.default(0).describe('Number of the owner'),
  gid: ownerId.default(0).describe('Number of the group'),
};
const strip = z
  .int()
  .min(0)
  .max(64)
  .default(0)
  .describe('How many folders to cut off the front of each name');

/** Where an image comes from: a file or folder of the recipe, or a name in a registry. */
const OCI_NAME =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9-]+)*(?::\d{1,5})?\/)?[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?$/;

const isDotted = (text: string): boolean => text.startsWith('.');

export const source = z.union(
  [
    z
      .strictObject({
        guest: z
          .literal('runtime')
          .describe("microbuild's own guest: manager, launcher, libvm_payload"),
        ...selection,
      })
      .describe("microbuild's guest programs"),
    z
      .strictObject({
        deb: z
          .string()
          .regex(
            /^(?:[a-z0-9][a-z0-9+.-]+|\.{1,2}\/.+\.deb)$/,
            'Write the name of a Debian package such as musl, or ./FILE.deb',
          )
          .meta({
            description: 'Name of a Debian package, pinned by microbuild.lock, or ./FILE.deb',
            examples: ['musl', './files/tool.deb'],
          })
          .register(pathKinds, { kind: 'dotted' }),
        dependencies: z
          .boolean()
          .default(false)
          .describe('Takes all packages that it depends on, too'),
        ...selection,
      })
      .describe('The files of a Debian package, without its maintainer scripts'),
    z
      .strictObject({
        dir: relativePath.describe('Folder whose content is taken'),
        to,
        ...selection,
      })
      .describe('A folder; files become owned by root, modes are kept as 0755 or 0644'),
    z
      .strictObject({
        file: relativePath.describe('File to take'),
        to: linkTo,
        mode: mode.default('0644'),
        ...owner,
        rules,
      })
      .describe('One file'),
    z
      .strictObject({
        tar: archivePath.meta({
          description: 'The archive: plain, or packed with gzip, xz or zstd; a path or an address',
          examples: ['files/extra.tar.zst', 'https://example.org/tool-1.2.tar.xz'],
        }),
        to,
        strip,
        ...selection,
      })
      .describe('The files of a tar archive'),
    z
      .strictObject({
        oci: z
          .string()
          .refine(
            (text) => isDotted(text) || OCI_NAME.test(text),
            'Write ./FOLDER, ./FILE.tar or REGISTRY/NAME[:TAG][@sha256:DIGEST]',
          )
          .refine((text) => !text.includes('\0'), 'A path cannot hold a NUL')
          .meta({
            description: 'A layout folder, an archive of one, or a name in a registry',
            examples: ['registry.example.org/team/base:1.2', './files/base.tar'],
          })
          .register(pathKinds, { kind: 'dotted' }),
        platform: z
          .string()
          .regex(
            /^[a-z0-9]+\/[a-z0-9_]+(?:\/[a-z0-9.]+)?$/,
            'Write OS/ARCHITECTURE[/VARIANT], such as linux/amd64',
          )
          .meta({
            description: 'Which image of several; default: linux on the architecture of the guest',
            examples: ['linux/amd64'],
          })
          .optional(),
        to,
        ...selection,
      })
      .describe('The files of a container image'),
    z
      .strictObject({
        zip: archivePath.meta({
          description: 'The archive: a path or an address',
          examples: ['files/extra.zip'],
        }),
        to,
        strip,
        ...selection,
      })
      .describe('The files of a ZIP archive'),
    z
      .strictObject({
        apk: relativePath.describe('The APK'),
        to,
        ...selection,
      })
      .describe('The entries of an APK, as files'),
    z
      .strictObject({
        inline: z
          .string()
          .meta({ description: 'Content of the file, as text', examples: ['hello\n'] }),
        to: linkTo,
        mode: mode.default('0644'),
        ...owner,
        rules,
      })
      .describe('One file whose text stands in the recipe'),
    z
      .strictObject({
        git: z
          .string()
          .min(1, 'Write a path below the folder of the recipe, or an address')
          .refine(
            (text) => !text.startsWith('/') && !text.startsWith('-') && !text.includes('\0'),
            'Write a path relative to the folder of the recipe, or an address',
          )
          .refine(
            (text) =>
              !isAddress(text) ||
              /^(?:https?|ssh|git):\/\/[^\s:@]*(?:@|:\d|\/|[^\s@:]*$)\S*$/.test(text),
            'Write an address such as https://example.org/project.git, without a password',
          )
          .meta({
            description: 'The repository: a path or an address',
            examples: ['https://example.org/project.git'],
          })
          .register(pathKinds, { kind: 'address' }),
        commit: z
          .string()
          .regex(
            /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/,
            'Write all 40 (or 64) hexadecimal digits of the commit',
          )
          .meta({
            description: 'The commit; or write ref',
            examples: ['0123456789abcdef0123456789abcdef01234567'],
          })
          .optional(),
        ref: z
          .string()
          .max(255)
          .regex(
            /^(?![-/.])(?!.*(?:\.\.|\/\/|@\{|[\s~^:?*[\\\0]))\S+$/,
            'Write the name of a branch or a tag',
          )
          .meta({
            description: 'Branch or tag; microbuild.lock pins the commit',
            examples: ['v1.2'],
          })
          .optional(),
        path: z
          .string()
          .min(1)
          .refine(
            (path) => !path.startsWith('/') && !path.split('/').includes('..'),
            'Write a folder of the repository',
          )
          .meta({ description: 'Takes only this folder of it', examples: ['etc'] })
          .optional(),
        to,
        ...selection,
      })
      .superRefine(({ commit, ref }, context) => {
        if ((commit === undefined) !== (ref === undefined)) return;
        const message =
          commit === undefined
            ? 'Write commit: and all of its digits, or ref: and a name that the lock pins'
            : 'Leave out ref: the commit says which one';
        const at = commit === undefined ? 'git' : 'ref';
        tellConflict(context, [at], ['git', 'commit', 'ref'], message);
      })
      .describe('The files of a commit'),
    z
      .strictObject({
        symlink: z
          .string()
          .min(1, 'Write what the link points to')
          .max(4095)
          .refine((text) => !text.includes('\0'), 'A path cannot hold a NUL')
          .meta({ description: 'What the link points to', examples: ['../lib/libexample.so.1'] }),
        to: linkTo,
        ...owner,
        rules,
      })
      .describe('A symbolic link'),
    z
      .strictObject({
        folder: imagePath
          .refine((path) => path !== '/', 'The root folder is there by itself')
          .describe('Its path in the image'),
        mode: mode.default('0755'),
        ...owner,
        rules,
      })
      .describe('An empty folder'),
  ],
  'Write one of { guest: runtime }, { deb: NAME }, { dir: PATH, to: PATH }, { file: PATH, to: PATH }, { tar: PATH }, { oci: NAME }, { zip: PATH }, { apk: PATH }, { inline: TEXT, to: PATH }, { git: PATH, commit: HEX }, { symlink: TARGET, to: PATH } or { folder: PATH }',
);

/** What goes into a partition. */
export type PartitionSource = z.output<typeof source>;
/** A change to files by their paths. */
export type TreeRule = z.output<typeof rule>;

/** What is written where a source is to be: for messages, such as `deb: musl`. */
export function describeSource(value: PartitionSource): string {
  const [kind = '', what] = Object.entries(value)[0] ?? [];
  return `${kind}: ${String(what).split('\n', 1)[0]?.slice(0, 60)}`;
}
