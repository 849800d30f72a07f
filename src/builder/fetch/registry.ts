/**
 * Pulls from registries: tokens, manifests, blobs. Whatever comes is bounded before it is read and
 * has the digest that was asked for.
 *
 * @see the OCI distribution specification 1.1; Docker's token authentication specification
 */

import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { EnvironmentError } from '../../core/errors.ts';
import type { LockedImage, OciDescriptor } from '../../recipe/lockfile.ts';
import { findCredentials, type Credentials } from './docker-config.ts';
import { readBody, type DownloadOptions, type HttpClient } from './http.ts';
import { findManifest, parseManifest, MANIFEST_TYPES } from '../../formats/oci/documents.ts';
import { parseOciReference, registryUrl, type OciReference } from './oci-reference.ts';
import { isLoopback } from './proxy.ts';

/** What the specification asks registries to take at least, and clients to bound. */
const MAX_MANIFEST_BYTES = 4 << 20;
const MAX_TOKEN_BYTES = 1 << 20;
const ACCEPT = MANIFEST_TYPES.join(', ');

export interface RegistryContext {
  readonly http: HttpClient;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
}

/** An image as a lock has it, and the small parts that were read to know it. */
export interface ResolvedImage {
  readonly image: LockedImage;
  readonly documents: readonly Uint8Array[];
}

export interface Registry {
  /**
   * What a reference leads to for a platform (`linux/amd64`, `linux/arm/v7`).
   *
   * @throws {EnvironmentError} `network` when the registry does not answer or refuses.
   * @throws {FormatError} `oci` when it answers what is no image, or none for the platform.
   */
  resolve(reference: string, platform: string): Promise<ResolvedImage>;
  /** Writes a blob or manifest into a new file. Its digest is for the caller to check. */
  download(
    reference: string,
    part: 'manifest' | 'blob',
    descriptor: OciDescriptor,
    target: string,
    onProgress?: (done: number) => void,
  ): Promise<void>;
}

const failure = (message: string, hint?: string): EnvironmentError =>
  new EnvironmentError('network', message, hint === undefined ? {} : { hint });

/** Opens a client; it keeps its tokens in memory for as long as it lives. */
export function createRegistry({ http, env, signal }: RegistryContext): Registry {
  /** `Authorization` headers by registry and repository. */
  const known = new Map<string, string>();

  /** Asks as often as authorization takes: at most twice. */
  async function authorized<T>(
    { registry, repository }: OciReference,
    ask: (
      headers: Record<string, string>,
    ) => Promise<
      T & { status: number; body: IncomingMessage; headers: IncomingMessage['headers'] }
    >,
  ): Promise<T & { status: number; body: IncomingMessage }> {
    const key = `${registry}/${repository}`;
    const header = known.get(key);
    const first = await ask(header === undefined ? {} : { authorization: header });
    if (first.status !== 401) return first;
    first.body.destroy();
    const fresh = await authorize(registry, repository, first.headers['www-authenticate'] ?? '');
    if (fresh === undefined) {
      throw failure(
        `${registry} asks for a login to read ${repository}`,
        `Log in: docker login ${registry}, or podman login ${registry}`,
      );
    }
    known.set(key, fresh);
    return ask({ authorization: fresh });
  }

  async function authorize(
    registry: string,
    repository: string,
    challenges: string,
  ): Promise<string | undefined> {
    const credentials = await findCredentials(registry, repository, env);
    const bearer = parseChallenge(challenges, 'bearer');
    if (bearer !== undefined) return bearerToken(registry, repository, bearer, credentials);
    if (parseChallenge(challenges, 'basic') === undefined || credentials?.kind !== 'password') {
      return undefined;
    }
    return basic(credentials);
  }

  async function bearerToken(
    registry: string,
    repository: string,
    challenge: ReadonlyMap<string, string>,
    credentials: Credentials | undefined,
  ): Promise<string> {
    const realm = URL.canParse(challenge.get('realm') ?? '')
      ? new URL(challenge.get('realm') ?? '')
      : undefined;
    if (realm === undefined || !isSafe(realm)) {
      throw failure(
        `${registry} sends for tokens to ${challenge.get('realm') ?? 'nowhere'}, which is not safe`,
      );
    }
    const scope = challenge.get('scope') ?? `repository:${repository}:pull`;
    const service = challenge.get('service');
    const fields = { ...(service === undefined ? {} : { service }), scope };
    let response;
    if (credentials?.kind === 'identity') {
      response = await http.request(realm, {
        method: 'POST',
        signal,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({
          grant_type: 'refresh_token',
          client_id: 'microbuild',
          refresh_token: credentials.token,
          ...fields,
        }).toString(),
      });
    } else {
      for (const [name, value] of Object.entries(fields)) realm.searchParams.set(name, value);
      const headers = credentials === undefined ? {} : { authorization: basic(credentials) };
      response = await http.request(realm, { signal, headers });
    }
    const body = await readBody(response.body, MAX_TOKEN_BYTES);
    if (response.status !== 200) {
      throw failure(
        `${realm.host} gives no token for ${registry}/${repository}: it answers ${response.status}`,
        credentials === undefined
          ? `Log in: docker login ${registry}, or podman login ${registry}`
          : `Log in anew: the login for ${registry} is not accepted`,
      );
    }
    const token = tokenOf(body);
    if (token === undefined) throw failure(`${realm.host} answers without a token for ${registry}`);
    return `Bearer ${token}`;
  }

  /** A manifest or index by tag or digest, whole. */
  async function manifest(
    reference: OciReference,
    name: string,
    accept = ACCEPT,
  ): Promise<{ bytes: Buffer; descriptor: OciDescriptor }> {
    const url = `${registryUrl(reference.registry)}/v2/${reference.repository}/manifests/${name}`;
    const response = await authorized(reference, (headers) =>
      http.request(url, { signal, headers: { ...headers, accept } }),
    );
    const bytes = await readBody(response.body, MAX_MANIFEST_BYTES);
    if (response.status !== 200) {
      throw failure(
        `${reference.registry} answers ${response.status} for ${reference.repository} ${name}${saidBy(bytes)}`,
      );
    }
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    if (name.includes(':') && digest !== name) {
      throw failure(`${reference.registry} answers ${digest} when it is asked for ${name}`);
    }
    const type = mediaTypeOf(response.headers['content-type'], bytes);
    return { bytes, descriptor: { digest, size: bytes.length, mediaType: type } };
  }

  return {
    async resolve(text, platform) {
      const reference = parseOciReference(text);
      const top = await manifest(reference, reference.digest ?? reference.tag ?? 'latest');
      const where = `${text} (${top.descriptor.digest})`;
      const documents: Uint8Array[] = [top.bytes];
      const found = await findManifest(
        top.bytes,
        async (each) => {
          const { bytes } = await manifest(reference, each.digest, each.mediaType);
          documents.push(bytes);
          return bytes;
        },
        { platform, where },
      );
      const last = found.followed.at(-1);
      const { config, layers } = parseManifest(found.bytes, where);
      return {
        image: {
          ...(last === undefined ? {} : { index: top.descriptor }),
          manifest: last === undefined ? top.descriptor : { ...last, size: found.bytes.length },
          config,
          layers,
          platform,
        },
        documents,
      };
    },
    async download(text, part, descriptor, target, onProgress) {
      const reference = parseOciReference(text);
      const kind = part === 'manifest' ? 'manifests' : 'blobs';
      const url = `${registryUrl(reference.registry)}/v2/${reference.repository}/${kind}/${descriptor.digest}`;
      const accept: Record<string, string> =
        part === 'manifest' ? { accept: descriptor.mediaType } : {};
      // Who may read is settled first; a download can then go on after a break.
      const probe = await authorized(reference, (headers) =>
        http.request(url, { method: 'HEAD', signal, headers: { ...headers, ...accept } }),
      );
      probe.body.destroy();
      const header = known.get(`${reference.registry}/${reference.repository}`);
      const options: DownloadOptions = {
        signal,
        size: descriptor.size,
        headers: { ...accept, ...(header === undefined ? {} : { authorization: header }) },
        onProgress,
      };
      await http.download(url, target, options);
    },
  };
}

const basic = (credentials: Credentials): string =>
  credentials.kind === 'password'
    ? `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64')}`
    : `Bearer ${credentials.token}`;

/** Whether credentials may be sent there. */
const isSafe = (url: URL): boolean =>
  url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname));

/**
 * The parameters of one scheme in a `WWW-Authenticate` header, or undefined when it is not offered.
 *
 * @see RFC 9110, 11.6.1
 */
export function parseChallenge(
  header: string,
  scheme: string,
): ReadonlyMap<string, string> | undefined {
  const tokens = /([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?/g;
  let found: Map<string, string> | undefined;
  let current: Map<string, string> | undefined;
  for (const [, name = '', quoted, plain] of header.slice(0, 8192).matchAll(tokens)) {
    if (quoted === undefined && plain === undefined) {
      current = new Map();
      if (found === undefined && name.toLowerCase() === scheme) found = current;
    } else {
      current?.set(name.toLowerCase(), quoted?.replaceAll(/\\(.)/g, '$1') ?? plain ?? '');
    }
  }
  return found;
}

function tokenOf(body: Buffer): string | undefined {
  try {
    const { token, access_token: accessToken } = JSON.parse(body.toString('utf8')) as Record<
      string,
      unknown
    >;
    const text = token ?? accessToken;
    return typeof text === 'string' && /^[\x21-\x7e]+$/.test(text) ? text : undefined;
  } catch {
    return undefined;
  }
}

/** The type that the document itself names goes before that of the header: its digest covers it. */
function mediaTypeOf(header: string | undefined, bytes: Buffer): string {
  try {
    const { mediaType } = JSON.parse(bytes.toString('utf8')) as { mediaType?: unknown };
    if (typeof mediaType === 'string') return mediaType;
  } catch {
    // Refused where it is parsed.
  }
  return header?.split(';', 1)[0]?.trim() ?? 'application/octet-stream';
}

/** What a registry says in its error document. */
function saidBy(bytes: Buffer): string {
  try {
    const { errors } = JSON.parse(bytes.toString('utf8')) as {
      errors?: { code?: unknown; message?: unknown }[];
    };
    const [first] = errors ?? [];
    const said = first?.message ?? first?.code;
    const text = typeof said === 'string' ? said : '';
    // oxlint-disable-next-line no-control-regex -- a server's words must not move the cursor
    return text === '' ? '' : `: ${text.replaceAll(/[\u0000-\u001f\u007f]/g, ' ').slice(0, 200)}`;
  } catch {
    return '';
  }
}
