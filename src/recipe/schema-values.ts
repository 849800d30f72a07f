/** Values that occur in several places of a recipe. */

import { z } from 'zod';

// A recipe is validated once: making code for it takes longer than going without.
z.config({ jitless: true });

/** What a text names, if it names a file: bases and fragments write such texts relative to themselves. */
export type PathKind =
  /** Always a path. */
  | 'path'
  /** A path when it begins with a dot, as `./musl.deb`; else a name. */
  | 'dotted'
  /** A path unless it is an address, as `https://example.org/x.tar`. */
  | 'address';

/** Which schemas stand for paths. */
export const pathKinds = z.registry<{ readonly kind: PathKind }>();

const noNul = (path: string): boolean => !path.includes('\0');
const NUL = 'A path cannot hold a NUL';

/** A path below the recipe's folder. That it stays there is checked with the files at hand. */
export const relativePath = z
  .string()
  .min(1, 'Write a path below the folder of the recipe')
  .refine((path) => !path.startsWith('/'), 'Write a path relative to the folder of the recipe')
  .refine(noNul, NUL)
  .meta({ examples: ['files/motd'] })
  .register(pathKinds, { kind: 'path' });

/** Whether a text is an address and not a path. */
export const isAddress = (text: string): boolean => /^[a-z][a-z0-9+.-]*:\/\//i.test(text);

/** Files over the network come by these; the lock pins what they hold. */
const ARCHIVE_ADDRESS = /^https?:\/\/[^\s/@]+(?:\/\S*)?$/;

/** A file below the recipe's folder, or an address that the lock pins. */
export const archivePath = z
  .string()
  .min(1, 'Write a path below the folder of the recipe, or an address')
  .refine(noNul, NUL)
  .refine(
    (text) => isAddress(text) || !text.startsWith('/'),
    'Write a path relative to the folder of the recipe, or an address',
  )
  .refine(
    (text) => !isAddress(text) || ARCHIVE_ADDRESS.test(text),
    'Write an address such as https://example.org/files.tar.xz, without a user or password',
  )
  .register(pathKinds, { kind: 'address' });

export const imagePath = z
  .string()
  .max(4095, 'Write a path of at most 4095 bytes')
  .regex(
    /^\/(?:[^/\0]+(?:\/[^/\0]+)*)?$/,
    'Write an absolute path inside the image, such as /system/etc',
  )
  .refine(
    (path) => !path.split('/').some((part) => part === '.' || part === '..'),
    'Leave out . and ..',
  )
  .refine(
    (path) => path.split('/').every((part) => Buffer.byteLength(part) <= 255),
    'Write names of at most 255 bytes',
  )
  .meta({ examples: ['/system/etc'] });

export const mode = z
  .string()
  .regex(/^0?[0-7]{3,4}$/, 'Write the mode in octal and in quotes, such as "0644"')
  .meta({ description: 'Permission bits in octal', examples: ['0644'] });

export const ownerId = z.int().min(0).max(0xffff_fffe);

export const debName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9+.-]+$/, 'Write the name of a Debian package, such as musl')
  .meta({ examples: ['musl'] });

export const keyReference = z
  .string()
  .min(1, 'Write a path below the folder of the recipe, or another reference to a key')
  .refine((path) => !path.startsWith('/'), 'Write a path relative to the folder of the recipe')
  .refine(noNul, NUL)
  .meta({
    description:
      'Private key: a PEM or DER file, mode 0600, or file:, p12:, jks:, pkcs11: or helper:',
    examples: ['keys/image.pem'],
  });

/** A vsock port that a payload may serve. */
export const rpcPort = z.int().min(1).max(0xffff_fffe);
