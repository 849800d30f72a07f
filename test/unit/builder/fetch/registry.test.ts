import fc from 'fast-check';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createHttpClient } from '../../../../src/builder/fetch/http.ts';
import { parseIndex, parseManifest } from '../../../../src/formats/oci/documents.ts';
import { parseOciReference, registryUrl } from '../../../../src/builder/fetch/oci-reference.ts';
import { createRegistry, parseChallenge } from '../../../../src/builder/fetch/registry.ts';
import { FormatError } from '../../../../src/core/errors.ts';
import {
  PASSWORD,
  registryContent,
  startRegistry,
  USER,
  type RegistryOptions,
} from '../../../support/loopback-registry.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const amd64 = [Buffer.from('layer one'), Buffer.from('layer two')];
const arm64 = [Buffer.from('layer of arm64')];

async function setUp(options: RegistryOptions = {}, password?: string) {
  const content = registryContent();
  const index = content.image('1.0', { 'linux/amd64': amd64, 'linux/arm64/v8': arm64 });
  const server = await startRegistry(content, options);
  const home = tmpDir();
  if (password !== undefined) {
    mkdirSync(join(home, '.docker'));
    const auth = Buffer.from(`${USER}:${password}`).toString('base64');
    const config = { auths: { [server.host]: { auth } } };
    writeFileSync(join(home, '.docker', 'config.json'), JSON.stringify(config));
  }
  const env = { HOME: home };
  const registry = createRegistry({ http: createHttpClient(env), env });
  return { content, index, server, registry, reference: `${server.host}/team/base:1.0` };
}

describe('resolve()', () => {
  test('leads from a tag through the index to the layers of a platform', async () => {
    const { registry, reference, index } = await setUp();
    const { image, documents } = await registry.resolve(reference, 'linux/amd64');
    expect(image.index?.digest).toBe(index.digest);
    expect(image.layers.map(({ size }) => size)).toEqual(amd64.map(({ length }) => length));
    expect(documents).toHaveLength(2);
    const { image: other } = await registry.resolve(reference, 'linux/arm64');
    expect(other.layers.map(({ size }) => size)).toEqual(arm64.map(({ length }) => length));
  });

  test('a digest leads to the same, whatever the tag says by now', async () => {
    const { registry, server, index, content } = await setUp();
    content.tags.clear();
    const { image } = await registry.resolve(
      `${server.host}/team/base@${index.digest}`,
      'linux/amd64',
    );
    expect(image.index?.digest).toBe(index.digest);
  });

  test('names the platforms that there are', async () => {
    const { registry, reference } = await setUp();
    await expect(registry.resolve(reference, 'linux/riscv64')).rejects.toThrow(
      'it is not for linux/riscv64, but for linux/amd64, linux/arm64/v8',
    );
  });

  test('says what the registry said of a tag that is not there', async () => {
    const { registry, server } = await setUp();
    await expect(registry.resolve(`${server.host}/team/base:2`, 'linux/amd64')).rejects.toThrow(
      'answers 404 for team/base 2: manifest unknown',
    );
  });

  test('refuses a manifest that is not the one of the digest', async () => {
    const { registry, server, index, content } = await setUp();
    content.blobs.set(index.digest, { bytes: Buffer.from('{}'), type: 'application/json' });
    const resolve = registry.resolve(`${server.host}/team/base@${index.digest}`, 'linux/amd64');
    await expect(resolve).rejects.toThrow(`when it is asked for ${index.digest}`);
  });

  test('refuses a manifest that is longer than manifests are', async () => {
    const { registry, server, content } = await setUp();
    content.tags.set('big', content.put(Buffer.alloc((4 << 20) + 1, 0x20)).digest);
    await expect(registry.resolve(`${server.host}/team/base:big`, 'linux/amd64')).rejects.toThrow(
      'more than 4194304 bytes',
    );
  });
});

describe('logins', () => {
  test('a registry that gives tokens to anybody is read without a login', async () => {
    const { registry, reference, server } = await setUp({ login: 'anonymous' });
    await registry.resolve(reference, 'linux/amd64');
    expect(server.requests[1]).toBe(
      'GET /token?service=tests&scope=repository%3Ateam%2Fbase%3Apull',
    );
    // One token is enough for all that follows.
    expect(server.requests.filter((each) => each.includes('/token'))).toHaveLength(1);
  });

  test.each(['token', 'basic'] as const)(
    'a login of docker opens a registry with %s',
    async (login) => {
      const { registry, reference } = await setUp({ login }, PASSWORD);
      const { image } = await registry.resolve(reference, 'linux/amd64');
      expect(image.layers).toHaveLength(2);
    },
  );

  test.each(['token', 'basic'] as const)(
    'without a login, %s says how to get one',
    async (login) => {
      const { registry, reference, server } = await setUp({ login });
      await expect(registry.resolve(reference, 'linux/amd64')).rejects.toMatchObject({
        hint: `Log in: docker login ${server.host}, or podman login ${server.host}`,
      });
    },
  );

  test('a wrong password is not accepted, and not shown', async () => {
    const { registry, reference } = await setUp({ login: 'token' }, 'wrong-password');
    const error: unknown = await registry
      .resolve(reference, 'linux/amd64')
      .catch((e: unknown) => e);
    expect(String(error)).toContain('gives no token');
    expect(JSON.stringify([String(error), error])).not.toContain('wrong-password');
  });
});

describe('download()', () => {
  test('follows a registry to where it keeps blobs, without its login', async () => {
    const options = { login: 'basic', redirectBlobs: true } as const;
    const { registry, reference, server } = await setUp(options, PASSWORD);
    const { image } = await registry.resolve(reference, 'linux/amd64');
    const [layer] = image.layers;
    if (layer === undefined) throw new TypeError('no layer');
    const file = join(tmpDir(), 'layer');
    await registry.download(reference, 'blob', layer, file);
    expect(readFileSync(file)).toEqual(amd64[0]);
    expect(server.logins).toEqual([undefined]);
  });

  test('a layer that is longer than the manifest says is not taken', async () => {
    const { registry, reference, content } = await setUp();
    const { image } = await registry.resolve(reference, 'linux/amd64');
    const [layer] = image.layers;
    if (layer === undefined) throw new TypeError('no layer');
    content.blobs.set(layer.digest, { bytes: Buffer.alloc(1000), type: 'x/y' });
    await expect(
      registry.download(reference, 'blob', layer, join(tmpDir(), 'layer')),
    ).rejects.toThrow(`${layer.size} are pinned`);
  });
});

describe('references', () => {
  const digest = `sha256:${'ab'.repeat(32)}`;
  test.each([
    ['alpine', 'docker.io', 'library/alpine', 'latest', undefined],
    ['team/app:1', 'docker.io', 'team/app', '1', undefined],
    ['ghcr.io/a/b/c:v1.2', 'ghcr.io', 'a/b/c', 'v1.2', undefined],
    ['localhost:5000/x', 'localhost:5000', 'x', 'latest', undefined],
    [`[::1]:5000/x@${digest}`, '[::1]:5000', 'x', undefined, digest],
    [`quay.io/a/b:t@${digest}`, 'quay.io', 'a/b', 't', digest],
  ])('%s', (text, registry, repository, tag, by) => {
    expect(parseOciReference(text)).toEqual({ registry, repository, tag, digest: by });
  });

  test.each([
    '',
    'UPPER/case',
    'a/../b',
    'ghcr.io/',
    'x:',
    'x@sha256:12',
    `x@${digest}@${digest}`,
    '-host.io:1/x',
    'ghcr.io/a b',
  ])('refuses %j', (text) => {
    expect(() => parseOciReference(text)).toThrow('Cannot use the image');
  });

  test('only registries of this machine are asked in the clear', () => {
    expect(registryUrl('127.0.0.1:5000')).toBe('http://127.0.0.1:5000');
    expect(registryUrl('localhost')).toBe('http://localhost');
    expect(registryUrl('[::1]:5000')).toBe('http://[::1]:5000');
    expect(registryUrl('localhost.example.org')).toBe('https://localhost.example.org');
    expect(registryUrl('docker.io')).toBe('https://registry-1.docker.io');
  });
});

describe('hostile bytes', () => {
  test('manifests and indexes parse or are refused as OCI, whatever they hold', () => {
    const json = fc.oneof(
      fc.uint8Array(),
      fc.json().map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(json, (bytes) => {
        for (const parse of [parseIndex, parseManifest]) {
          try {
            parse(bytes, 'x');
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
        }
      }),
    );
  });

  test('a challenge gives the parameters of its scheme', () => {
    const header = 'Basic realm="a, b", Bearer realm="https://x/t",scope="repository:a:pull,push"';
    expect(parseChallenge(header, 'bearer')?.get('scope')).toBe('repository:a:pull,push');
    expect(parseChallenge(header, 'basic')?.get('realm')).toBe('a, b');
    expect(parseChallenge(header, 'digest')).toBeUndefined();
  });
});
