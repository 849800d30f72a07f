/** A registry of the distribution specification, as far as pulling goes, on the loopback. */

import { createHash } from 'node:crypto';
import { startServer, type LoopbackServer } from './loopback-server.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG = 'application/vnd.oci.image.config.v1+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export interface RegistryContent {
  /** `sha256:HEX` to bytes and type. */
  readonly blobs: Map<string, { readonly bytes: Buffer; readonly type: string }>;
  readonly tags: Map<string, string>;
  put(bytes: Buffer | string, type?: string): Descriptor;
  /** An image of layers for each platform, under an index. */
  image(tag: string, platforms: Readonly<Record<string, readonly Buffer[]>>): Descriptor;
}

export function registryContent(): RegistryContent {
  const blobs: RegistryContent['blobs'] = new Map();
  const tags = new Map<string, string>();
  const put = (data: Buffer | string, type = 'application/octet-stream'): Descriptor => {
    const bytes = Buffer.from(data);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    blobs.set(digest, { bytes, type });
    return { mediaType: type, digest, size: bytes.length };
  };
  return {
    blobs,
    tags,
    put,
    image(tag, platforms) {
      const manifests = Object.entries(platforms).map(([platform, layers]) => {
        const [os, architecture, variant] = platform.split('/');
        const diffs = layers.map((layer) => createHash('sha256').update(layer).digest('hex'));
        const config = put(
          JSON.stringify({
            os,
            architecture,
            created: '2024-01-01T00:00:00Z',
            config: {},
            rootfs: { type: 'layers', diff_ids: diffs.map((hex) => `sha256:${hex}`) },
          }),
          CONFIG,
        );
        const manifest = put(
          JSON.stringify({
            schemaVersion: 2,
            mediaType: MANIFEST,
            config,
            layers: layers.map((layer) => put(layer, LAYER)),
          }),
          MANIFEST,
        );
        return { ...manifest, platform: { os, architecture, ...(variant && { variant }) } };
      });
      const index = put(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests }), INDEX);
      tags.set(tag, index.digest);
      return index;
    },
  };
}

export interface RegistryOptions {
  /** Who may read: everybody, who has a token that anybody gets, or who has the password. */
  readonly login?: 'none' | 'anonymous' | 'token' | 'basic';
  /** Blobs are answered by another host, as registries that keep them elsewhere do. */
  readonly redirectBlobs?: boolean;
}

export const USER = 'reader';
export const PASSWORD = 'open:sesame';
const TOKEN = 'a-token-for-tests';
const BASIC = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`;

/** @returns the registry; its `host` is what references begin with. */
export async function startRegistry(
  content: RegistryContent,
  { login = 'none', redirectBlobs = false }: RegistryOptions = {},
): Promise<
  LoopbackServer & { readonly logins: (string | undefined)[]; readonly storage: LoopbackServer }
> {
  const logins: (string | undefined)[] = [];
  const storage = await startServer((request, response) => {
    logins.push(request.headers.authorization);
    const found = content.blobs.get(request.url?.slice(1) ?? '');
    response.end(found?.bytes);
  });
  const registry: LoopbackServer = await startServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://registry');
    if (url.pathname === '/token') {
      const allowed = login === 'anonymous' || request.headers.authorization === BASIC;
      if (allowed) response.end(JSON.stringify({ token: TOKEN }));
      else response.writeHead(401).end('{}');
      return;
    }
    const wanted = login === 'basic' ? BASIC : `Bearer ${TOKEN}`;
    if (login !== 'none' && request.headers.authorization !== wanted) {
      const challenge =
        login === 'basic'
          ? 'Basic realm="tests"'
          : `Bearer realm="${registry.url}/token",service="tests",scope="repository:team/base:pull"`;
      response.writeHead(401, { 'www-authenticate': challenge }).end('{}');
      return;
    }
    if (url.pathname === '/v2/') {
      response.end('{}');
      return;
    }
    const [, kind = '', name = ''] =
      /^\/v2\/team\/base\/(manifests|blobs)\/(.+)$/.exec(url.pathname) ?? [];
    const found = content.blobs.get(content.tags.get(name) ?? name);
    if (found === undefined) {
      const errors = [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown' }];
      response
        .writeHead(404, { 'content-type': 'application/json' })
        .end(JSON.stringify({ errors }));
      return;
    }
    if (kind === 'blobs' && redirectBlobs && request.method === 'GET') {
      response.writeHead(307, { location: `${storage.url}/${name}` }).end();
      return;
    }
    const digest = `sha256:${createHash('sha256').update(found.bytes).digest('hex')}`;
    response.writeHead(200, {
      'content-type': found.type,
      'content-length': found.bytes.length,
      'docker-content-digest': digest,
    });
    response.end(request.method === 'HEAD' ? undefined : found.bytes);
  });
  return { ...registry, logins, storage };
}
