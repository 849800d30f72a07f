/** Names of images in registries: `REGISTRY/REPOSITORY[:TAG][@sha256:DIGEST]`. */

import { UsageError } from '../../core/errors.ts';
import { isLoopback } from './proxy.ts';

export interface OciReference {
  /** As written, such as `ghcr.io` or `localhost:5000`. */
  readonly registry: string;
  readonly repository: string;
  readonly tag: string | undefined;
  /** `sha256:` and hexadecimal digits. */
  readonly digest: string | undefined;
}

/** Where a name without a registry leads, as everywhere. */
const DEFAULT_REGISTRY = 'docker.io';

const REPOSITORY =
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const REGISTRY = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::\d{1,5})?$/;

/** Whether an `oci:` of a recipe names a folder or file rather than an image of a registry. */
export const isLocalImage = (oci: string): boolean => oci.startsWith('.') || oci.startsWith('/');

/**
 * @throws {UsageError} `input` when the text names no image of a registry.
 * @see the distribution specification, "Pulling manifests", for names and tags
 */
export function parseOciReference(text: string): OciReference {
  const refuse = (why: string): never => {
    throw new UsageError('input', `Cannot use the image "${text}": ${why}`, {
      hint: 'Write REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST',
    });
  };
  const [name = '', digest, ...more] = text.split('@');
  if (more.length > 0) refuse('it has two digests');
  if (digest !== undefined && !/^sha256:[0-9a-f]{64}$/.test(digest)) {
    refuse('its digest is not sha256: and 64 lower-case hexadecimal digits');
  }
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const isHost = /[.:]/.test(first) || first === 'localhost';
  if (isHost && !REGISTRY.test(first)) refuse(`"${first}" is not the host of a registry`);
  const registry = isHost ? first : DEFAULT_REGISTRY;
  const short = isHost ? name.slice(slash + 1) : name;
  // The images that Docker's own registry keeps itself are written without a folder.
  const rest = registry === DEFAULT_REGISTRY && !short.includes('/') ? `library/${short}` : short;
  const colon = rest.lastIndexOf(':');
  const repository = colon < 0 ? rest : rest.slice(0, colon);
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  if (!REPOSITORY.test(repository) || repository.length > 255) {
    refuse(`"${repository}" is not the name of a repository`);
  }
  if (tag !== undefined && !/^\w[\w.-]{0,127}$/.test(tag)) refuse(`"${tag}" is not a tag`);
  return {
    registry,
    repository,
    tag: tag ?? (digest === undefined ? 'latest' : undefined),
    digest,
  };
}

/** Where a registry answers. One of this machine is asked in the clear, all others through TLS. */
export function registryUrl(registry: string): string {
  const host = registry === DEFAULT_REGISTRY ? 'registry-1.docker.io' : registry;
  const { hostname } = new URL(`http://${host}`);
  return `${isLoopback(hostname) ? 'http' : 'https'}://${host}`;
}
