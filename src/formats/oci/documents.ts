/**
 * The documents that lead from a reference to the layers of an image.
 *
 * @see the OCI image specification 1.1 (index, manifest, descriptor); Docker's manifest version 2, schema 2
 */

import { FormatError } from '../../core/errors.ts';

/** What leads to a document or a layer. */
export interface OciDescriptor {
  /** `sha256:HEX`. */
  readonly digest: string;
  /** In bytes. */
  readonly size: number;
  readonly mediaType: string;
}

const INDEX_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
/** What is asked of registries, in order of preference. */
export const MANIFEST_TYPES: readonly string[] = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  ...INDEX_TYPES,
];

const CONFIG_TYPES = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
];
const LAYER_TYPE =
  /^application\/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+gzip|\+zstd)?|docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.gzip|\.zstd)?)$/;

const MAX_ENTRIES = 1024;
/** Indexes that lead to indexes. */
const MAX_DEPTH = 4;
/** Larger than any layer that is worth a micro VM; the lock's own bound. */
const MAX_SIZE = 2 ** 40;

export interface IndexEntry extends OciDescriptor {
  /** `os/architecture[/variant]`; undefined where it is for none. */
  readonly platform: string | undefined;
}

const refuse = (where: string, why: string): never => {
  throw new FormatError('oci', 'bad-value', `Cannot read image ${where}: ${why}`);
};

function parseDocument(bytes: Uint8Array, where: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return refuse(where, 'its manifest is not JSON');
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    return refuse(where, 'its manifest is not an object');
  }
  return value as Record<string, unknown>;
}

/** @throws {FormatError} `oci` naming the field. */
function parseDescriptor(value: unknown, field: string, where: string): OciDescriptor {
  const { digest, size, mediaType } = (value ?? {}) as Record<string, unknown>;
  if (typeof digest !== 'string' || !/^sha256:[0-9a-f]{64}$/.test(digest)) {
    return refuse(where, `${field} has no SHA-256 digest`);
  }
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0 || size > MAX_SIZE) {
    return refuse(where, `${field} has no size`);
  }
  if (
    typeof mediaType !== 'string' ||
    !/^[A-Za-z0-9][A-Za-z0-9!#$&^_.+/-]{0,254}$/.test(mediaType)
  ) {
    return refuse(where, `${field} has no media type`);
  }
  return { digest, size, mediaType };
}

function parseList(value: unknown, field: string, where: string): unknown[] {
  if (!Array.isArray(value)) return refuse(where, `it has no list "${field}"`);
  if (value.length > MAX_ENTRIES) return refuse(where, `"${field}" has ${value.length} entries`);
  return value as unknown[];
}

/**
 * The images of an index, or undefined when the document is no index.
 *
 * @throws {FormatError} `oci` when it is damaged.
 */
export function parseIndex(bytes: Uint8Array, where: string): IndexEntry[] | undefined {
  const document = parseDocument(bytes, where);
  const { mediaType, manifests } = document;
  const isIndex =
    typeof mediaType === 'string' ? INDEX_TYPES.includes(mediaType) : manifests !== undefined;
  if (!isIndex) return undefined;
  return parseList(manifests, 'manifests', where).map((entry, index) => {
    const field = `manifests[${index}]`;
    const { platform } = (entry ?? {}) as { platform?: Record<string, unknown> };
    const { os, architecture, variant } = platform ?? {};
    const name = [os, architecture, ...(variant === undefined || variant === '' ? [] : [variant])];
    const known = name.every((part) => typeof part === 'string' && /^[a-z0-9_.]+$/.test(part));
    return {
      ...parseDescriptor(entry, field, where),
      platform: known ? name.join('/') : undefined,
    };
  });
}

/**
 * The image for a platform. A variant may be left out: then the one without any is meant, else the only one.
 *
 * @throws {FormatError} `oci` naming the platforms that there are.
 */
function selectPlatform(
  entries: readonly IndexEntry[],
  platform: string,
  where: string,
): OciDescriptor {
  const below = entries.filter((each) => each.platform?.startsWith(`${platform}/`) === true);
  const fitting = entries.find((each) => each.platform === platform) ?? implied(platform, below);
  if (fitting !== undefined) {
    const { digest, size, mediaType } = fitting;
    return { digest, size, mediaType };
  }
  const names = [...new Set(entries.flatMap((each) => each.platform ?? []))].sort();
  return refuse(
    where,
    `it is not for ${platform}, but for ${names.length === 0 ? 'no platform' : names.join(', ')}`,
  );
}

/** arm64 is v8 when nobody says more. */
const implied = (platform: string, below: readonly IndexEntry[]): IndexEntry | undefined =>
  below.find((each) => each.platform === `${platform}/v8`) ??
  (below.length === 1 ? below[0] : undefined);

/** @throws {FormatError} `oci` when the document is no manifest of an image. */
export function parseManifest(
  bytes: Uint8Array,
  where: string,
): { readonly config: OciDescriptor; readonly layers: OciDescriptor[] } {
  const document = parseDocument(bytes, where);
  if (document['schemaVersion'] !== 2) return refuse(where, 'its manifest is not of version 2');
  return {
    config: parseDescriptor(document['config'], 'config', where),
    layers: parseList(document['layers'], 'layers', where).map((layer, index) =>
      parseDescriptor(layer, `layers[${index}]`, where),
    ),
  };
}

/** An image that was found by way of indexes. */
export interface FoundManifest {
  readonly bytes: Uint8Array;
  /** What was followed, from the document that it began with; the last one leads to the manifest. */
  readonly followed: readonly OciDescriptor[];
}

/**
 * Follows indexes to the image for a platform.
 *
 * @param top An index or a manifest.
 * @param read Gets a document whose digest has been compared.
 * @throws {FormatError} `oci` when there is none, or no telling which; what `read` throws.
 */
export async function findManifest(
  top: Uint8Array,
  read: (descriptor: OciDescriptor) => Promise<Uint8Array>,
  { platform, where }: { readonly platform: string; readonly where: string },
): Promise<FoundManifest> {
  let bytes = top;
  const followed: OciDescriptor[] = [];
  for (let depth = 0; depth < MAX_DEPTH; depth += 1) {
    const entries = parseIndex(bytes, where);
    if (entries === undefined) return { bytes, followed };
    const [only] = entries;
    if (only === undefined) return refuse(where, 'it holds no image');
    // A layout's own index tells the platform of one image in that image only.
    const isTold = entries.some((each) => each.platform !== undefined);
    if (!isTold && entries.length > 1) {
      refuse(where, `it holds ${entries.length} images and does not say for which platforms`);
    }
    const chosen = isTold ? selectPlatform(entries, platform, where) : only;
    followed.push({ digest: chosen.digest, size: chosen.size, mediaType: chosen.mediaType });
    bytes = await read(chosen);
  }
  return refuse(where, 'its indexes lead to indexes without end');
}

/** @throws {FormatError} `oci` when configuration or layers are not those of a container image. */
export function checkImageTypes(
  { config, layers }: ReturnType<typeof parseManifest>,
  where: string,
): void {
  if (!CONFIG_TYPES.includes(config.mediaType)) {
    refuse(
      where,
      `its configuration is of type ${config.mediaType}, not that of a container image`,
    );
  }
  for (const [index, { mediaType }] of layers.entries()) {
    if (!LAYER_TYPE.test(mediaType)) refuse(where, `layer ${index + 1} is of type ${mediaType}`);
  }
}

/**
 * The digests of what the layers decompress to.
 *
 * @throws {FormatError} `oci` when the document is no configuration of an image for the platform.
 */
export function parseConfig(
  bytes: Uint8Array,
  { platform, where }: { readonly platform: string; readonly where: string },
): readonly string[] {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return refuse(where, 'its configuration is not JSON');
  }
  const { os, architecture, rootfs } = (value ?? {}) as Record<string, unknown>;
  const [system, machine] = platform.split('/');
  if (os !== system || architecture !== machine) {
    refuse(where, `it is for ${String(os)}/${String(architecture)}, not for ${platform}`);
  }
  const { type, diff_ids: diffIds } = (rootfs ?? {}) as Record<string, unknown>;
  if (
    type !== 'layers' ||
    !Array.isArray(diffIds) ||
    !diffIds.every((each) => typeof each === 'string' && /^sha256:[0-9a-f]{64}$/.test(each))
  ) {
    return refuse(where, 'its configuration does not list the digests of its layers');
  }
  return diffIds as string[];
}
