/** What we read of a registry against what skopeo reads, and our logins against those that skopeo leaves. */

import { gzipSync } from 'node:zlib';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createHttpClient } from '../../src/builder/fetch/http.ts';
import { createRegistry } from '../../src/builder/fetch/registry.ts';
import { runProcess } from '../support/cli.ts';
import { PASSWORD, registryContent, startRegistry, USER } from '../support/loopback-registry.ts';
import { tmpDir } from '../support/tmp-dir.ts';

describe('images of a registry', () => {
  test.each(['none', 'anonymous', 'token', 'basic'] as const)(
    'login %s: the same manifest and layers',
    async (login) => {
      const content = registryContent();
      const layers = ['one', 'two'].map((text) => gzipSync(Buffer.from(text.repeat(100))));
      content.image('1', { 'linux/amd64': layers, 'linux/arm64/v8': [gzipSync(Buffer.alloc(10))] });
      const { host } = await startRegistry(content, { login });
      const home = tmpDir();
      const authFile = join(home, 'auth.json');
      const env = { PATH: process.env['PATH'], HOME: home, REGISTRY_AUTH_FILE: authFile };
      const skopeo = async (...args: string[]): Promise<string> => {
        const result = await runProcess('skopeo', args, env);
        expect([result.status, result.stderr]).toEqual([0, '']);
        return result.stdout;
      };
      if (login === 'token' || login === 'basic') {
        await skopeo(
          'login',
          '--tls-verify=false',
          '--authfile',
          authFile,
          '-u',
          USER,
          '-p',
          PASSWORD,
          host,
        );
      }
      const registry = createRegistry({ http: createHttpClient(env), env });
      for (const [platform, ...options] of [
        ['linux/amd64', '--override-arch', 'amd64'],
        ['linux/arm64', '--override-arch', 'arm64', '--override-variant', 'v8'],
      ] as const) {
        const reference = `${host}/team/base:1`;
        const { image } = await registry.resolve(reference, platform);
        const inspected = JSON.parse(
          await skopeo(
            '--override-os',
            'linux',
            ...options,
            'inspect',
            '--no-tags',
            '--tls-verify=false',
            `docker://${reference}`,
          ),
        ) as { Digest: string; Layers: string[]; Architecture: string };
        expect(inspected.Layers).toEqual(image.layers.map(({ digest }) => digest));
        expect(`linux/${inspected.Architecture}`).toBe(platform);
        // skopeo tells the digest of the index, where there is one.
        expect(inspected.Digest).toBe(image.index?.digest);
      }
    },
  );
});
