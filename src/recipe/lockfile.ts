/**
 * `microbuild.lock`: every input of a recipe, pinned by its digest.
 *
 * A deb is found again by the path below its repository, so that a locked build reads no package
 * index and any mirror of the repository serves it. Version 1 held debs only; it is read as a
 * version 2 that pins nothing else, and written as version 2.
 */

import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { UsageError } from '../core/errors.ts';

/** Larger than the lock of any recipe: a closure of a thousand packages takes half a megabyte. */
const MAX_LOCK_BYTES = 16 << 20;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'Write a SHA-256 in lower-case hexadecimal');
const size = z
  .int()
  .min(0)
  .max(2 ** 40);
const packageName = z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/, 'Write the name of a package');

const lockedDeb = z.strictObject({
  package: packageName,
  version: z.string().regex(/^[A-Za-z0-9.+:~-]+$/),
  architecture: z.string().regex(/^[a-z0-9-]+$/),
  path: z
    .string()
    .regex(/^[A-Za-z0-9.+:~_%-]+(?:\/[A-Za-z0-9.+:~_%-]+)*\.deb$/)
    .refine((path) => !path.split('/').includes('..')),
  size: z
    .int()
    .min(1)
    .max(1 << 30),
  sha256,
  dependencies: z.array(packageName).optional(),
  askedBy: z
    .strictObject({ package: packageName, relation: z.string().min(1).max(4096) })
    .optional(),
});

const lockedFile = z.strictObject({ sha256, size });

const ociDescriptor = z.strictObject({
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/, 'Write sha256: and 64 hexadecimal digits'),
  size,
  mediaType: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9!#$&^_.+/-]{0,254}$/),
});

const lockedImage = z.strictObject({
  index: ociDescriptor.optional(),
  manifest: ociDescriptor,
  config: ociDescriptor,
  layers: z.array(ociDescriptor).max(1024),
  platform: z.string().regex(/^[a-z0-9]+\/[a-z0-9_]+(?:\/[a-z0-9.]+)?$/),
});

/** A commit and the tar archive of its files; size in bytes. */
const lockedCommit = z.strictObject({
  commit: z.string().regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/, 'Write a whole commit id'),
  sha256,
  size,
});

const lockedKernel = z.strictObject({
  release: z.string().min(1).max(256),
  erofs: z.array(z.string().regex(/^CONFIG_EROFS\w*$/)).optional(),
  sha256,
});

const lockedTools = z.strictObject({
  microbuild: z.string().regex(/^\d+\.\d+\.\d+\S{0,64}$/),
  guest: sha256,
});

/** A key that names what is pinned: an address, a path or a reference. */
const key = z
  .string()
  .min(1)
  .max(4096)
  // oxlint-disable-next-line no-control-regex -- that is what is refused
  .regex(/^[^\u0000-\u001f\u007f]+$/);

const lockSchema = z.discriminatedUnion('version', [
  z.strictObject({ version: z.literal(1), debs: z.record(packageName, lockedDeb) }),
  z.strictObject({
    version: z.literal(2),
    debs: z.record(packageName, lockedDeb).default({}),
    archives: z.record(key.regex(/^https?:\/\//), lockedFile).default({}),
    files: z.record(key, lockedFile).default({}),
    oci: z.record(key, lockedImage).default({}),
    git: z.record(key, lockedCommit).default({}),
    kernel: lockedKernel.optional(),
    tools: lockedTools.optional(),
  }),
]);

type LockVersion2 = Extract<z.output<typeof lockSchema>, { version: 2 }>;

/**
 * One pinned package. The key in the lock is the name the recipe uses; `package` is what it led to.
 * `dependencies` names the lock's entries that its closure consists of, where the recipe asks for
 * them; `askedBy` tells which package's relation brought in one that the recipe does not name.
 */
export type LockedDeb = z.output<typeof lockedDeb>;
/** One pinned file: an archive by its address, or a file of the recipe by its path. */
export type LockedFile = z.output<typeof lockedFile>;
/** A blob of a registry by its digest; size in bytes. */
export type OciDescriptor = z.output<typeof ociDescriptor>;
/** An image for one platform; `index` where the reference led to several. */
export type LockedImage = z.output<typeof lockedImage>;
/** What is known of the kernel without opening it. `sha256` is that of what it comes from. */
export type LockedKernel = z.output<typeof lockedKernel>;
/** What the lock was made with: microbuild's version and the digest of its guest's programs. */
export type LockedTools = z.output<typeof lockedTools>;
/** A whole lock. The keys of `oci` and `git` are those of `ociKey` and `gitKey`. */
export type Lock = LockVersion2;

/** A lock that pins nothing. */
export const emptyLock: Lock = { version: 2, debs: {}, archives: {}, files: {}, oci: {}, git: {} };

/** The key of an image in `lock.oci`: the reference, and the platform where the recipe names one. */
export const ociKey = ({ oci, platform }: { oci: string; platform?: string | undefined }): string =>
  platform === undefined ? oci : `${oci}#${platform}`;

/** The key of a commit in `lock.git`: the repository, and the commit or name that the recipe asks for. */
export const gitKey = ({
  git,
  commit,
  ref,
}: {
  git: string;
  commit?: string | undefined;
  ref?: string | undefined;
}): string => `${git}#${commit ?? ref ?? 'HEAD'}`;

/**
 * Parses a lock file of version 1 or 2.
 *
 * @throws {UsageError} `lock` when it is not one.
 */
export function parseLock(text: string, file: string): Lock {
  if (text.length > MAX_LOCK_BYTES) {
    throw new UsageError('lock', `Cannot read ${file}: it is larger than any lock file`);
  }
  const hint = 'Write it anew with microbuild lock RECIPE --update';
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0, prettyErrors: true });
  } catch (cause) {
    const why = cause instanceof Error ? `: ${cause.message.split('\n', 1)[0]}` : '';
    throw new UsageError('lock', `Cannot read ${file}: it is not YAML${why}`, { cause, hint });
  }
  const version = (value as { version?: unknown } | null)?.version;
  if (typeof version === 'number' && version > 2) {
    throw new UsageError('lock', `Cannot read ${file}: it is of version ${version}, not 1 or 2`, {
      hint: 'A newer microbuild wrote it: use that one',
    });
  }
  const parsed = lockSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new UsageError(
      'lock',
      `Cannot read ${file}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not a lock file'}`,
      { hint },
    );
  }
  const lock = parsed.data;
  return lock.version === 2 ? lock : { ...emptyLock, debs: lock.debs };
}

const HEAD =
  '# Written by microbuild lock: every input of the recipe by version and digest. Keep it in git.';

/** The text of a lock file: sorted, so that equal locks are equal bytes. Empty sections are left out. */
export function formatLock(lock: Lock): string {
  const { kernel, tools } = lock;
  const sections = {
    debs: sorted(lock.debs, (deb) => ({
      package: deb.package,
      version: deb.version,
      architecture: deb.architecture,
      path: deb.path,
      size: deb.size,
      sha256: deb.sha256,
      ...(deb.dependencies && { dependencies: [...deb.dependencies].sort() }),
      ...(deb.askedBy && {
        askedBy: { package: deb.askedBy.package, relation: deb.askedBy.relation },
      }),
    })),
    archives: sorted(lock.archives, fileText),
    files: sorted(lock.files, fileText),
    oci: sorted(lock.oci, (image) => ({
      platform: image.platform,
      ...(image.index && { index: descriptorText(image.index) }),
      manifest: descriptorText(image.manifest),
      config: descriptorText(image.config),
      layers: image.layers.map(descriptorText),
    })),
    git: sorted(lock.git, (each) => ({ commit: each.commit, ...fileText(each) })),
  };
  const value = {
    version: 2,
    ...Object.fromEntries(
      Object.entries(sections).filter(([, entries]) => Object.keys(entries).length > 0),
    ),
    ...(kernel && {
      kernel: {
        release: kernel.release,
        ...(kernel.erofs && { erofs: [...kernel.erofs].sort() }),
        sha256: kernel.sha256,
      },
    }),
    ...(tools && { tools: { microbuild: tools.microbuild, guest: tools.guest } }),
  };
  return `${HEAD}\n${stringify(value, { lineWidth: 0, aliasDuplicateObjects: false })}`;
}

const fileText = (file: LockedFile): LockedFile => ({ size: file.size, sha256: file.sha256 });
const descriptorText = (each: OciDescriptor): OciDescriptor => ({
  digest: each.digest,
  size: each.size,
  mediaType: each.mediaType,
});

/** Entries in order of their keys, each with its own keys in the order that `text` gives them. */
function sorted<T, U>(
  entries: Readonly<Record<string, T>>,
  text: (each: T) => U,
): Record<string, U> {
  return Object.fromEntries(
    Object.entries(entries)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([name, each]) => [name, text(each)]),
  );
}
