import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openBlobs, type Pin } from '../../../src/builder/fetch.ts';
import { createLimit } from '../../../src/builder/fetch/limit.ts';
import { vendor } from '../../../src/builder/vendor.ts';
import { openCache } from '../../../src/cache/store.ts';
import type { BuildEvent } from '../../../src/core/events.ts';
import { emptyLock } from '../../../src/recipe/lockfile.ts';
import { readRecipe } from '../../../src/recipe/parse.ts';
import { startServer } from '../../support/loopback-server.ts';
import { copyHello } from '../../support/recipes.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const hex = (text: string): string => createHash('sha256').update(text).digest('hex');

async function setUp(content = 'content', { offline = false } = {}) {
  const server = await startServer((_, response) => {
    response.end(content);
  });
  const directory = tmpDir();
  const cache = await openCache(join(tmpDir(), 'cache'));
  const events: BuildEvent[] = [];
  const blobs = openBlobs({
    cache,
    recipe: { directory },
    env: {},
    offline,
    reporter: { report: (event) => void events.push(event) },
  });
  const pin: Pin = { kind: 'archive', url: `${server.url}/x`, sha256: hex('content'), size: 7 };
  const addVendored = (text: string): void => {
    mkdirSync(join(directory, 'vendor', 'sha256'), { recursive: true });
    writeFileSync(join(directory, 'vendor', 'sha256', pin.sha256), text);
  };
  const temporary = () => readdirSync(join(cache.directory, 'tmp'));
  return { server, cache, blobs, pin, events, directory, addVendored, temporary };
}

describe('fetch()', () => {
  test('asks the network once, then the cache', async () => {
    const { server, blobs, pin, cache } = await setUp();
    const path = await blobs.fetch(pin, 'update');
    expect(readFileSync(path, 'utf8')).toBe('content');
    expect(path.startsWith(cache.directory)).toBe(true);
    await blobs.fetch(pin, 'update');
    expect(server.requests).toEqual(['GET /x']);
  });

  test('two that want one blob at once fetch it once', async () => {
    const { server, blobs, pin } = await setUp();
    await Promise.all([blobs.fetch(pin, 'update'), blobs.fetch(pin, 'update')]);
    expect(server.requests).toHaveLength(1);
  });

  test('takes what is vendored before it asks the network, and what is damaged there not at all', async () => {
    const { server, blobs, pin, addVendored, cache, events } = await setUp();
    addVendored('content');
    await blobs.fetch(pin, 'update');
    expect(server.requests).toEqual([]);

    const path = await cache.find(pin.sha256);
    rmSync(path ?? '');
    addVendored('damaged');
    await blobs.fetch(pin, 'update');
    expect(server.requests).toHaveLength(1);
    expect(events.filter(({ kind }) => kind === 'warning')).toMatchObject([
      { kind: 'warning', message: expect.stringContaining('damaged') as string },
    ]);
  });

  test('what has another digest is refused, and nothing of it is kept', async () => {
    const { blobs, pin, cache, temporary } = await setUp('CONTENT');
    await expect(blobs.fetch(pin, 'microbuild lock . --update x')).rejects.toMatchObject({
      code: 'lock',
      message: expect.stringContaining(`has the digest ${hex('CONTENT')}`) as string,
      hint: expect.stringContaining('microbuild lock . --update x') as string,
    });
    expect(await cache.find(hex('CONTENT'))).toBeUndefined();
    expect(temporary()).toEqual([]);
  });

  test('what is gone is told with every place that was asked', async () => {
    const { blobs, pin, server, temporary } = await setUp();
    await new Promise((resolve) => server.server.close(resolve));
    const message = await blobs.fetch(pin, 'update').catch((error: unknown) => String(error));
    expect(message).toContain('the cache');
    expect(message).toContain('vendor/ beside the recipe does not have it');
    expect(message).toContain(`Cannot reach ${server.host}`);
    expect(temporary()).toEqual([]);
  });

  test('offline asks nobody', async () => {
    const { blobs, pin, server } = await setUp('content', { offline: true });
    await expect(blobs.fetch(pin, 'update')).rejects.toThrow('because of --offline');
    expect(server.requests).toEqual([]);
  });

  test('fetchAll() tells how far it is, and waits for all before it fails', async () => {
    const { blobs, pin, events, temporary, server } = await setUp();
    const missing: Pin = {
      kind: 'archive',
      url: `${server.url}/y`,
      sha256: 'ab'.repeat(32),
      size: 7,
    };
    const pins = [pin, missing].map((each) => ({ pin: each, update: 'update' }));
    await expect(blobs.fetchAll(pins)).rejects.toThrow('/y');
    expect(temporary()).toEqual([]);
    expect(events.findLast((event) => event.kind === 'step-progress')).toMatchObject({
      step: 'fetch',
      total: 14,
    });
    await expect(blobs.fetchAll(pins.slice(0, 1))).resolves.toEqual({ fetched: 0 });
  });
});

test('createLimit() runs no more at once than it says, and all', async () => {
  const limit = createLimit(3);
  let running = 0;
  let most = 0;
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, (_, index) =>
      limit(async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        if (index % 5 === 0) throw new Error('one of them');
        return index;
      }),
    ),
  );
  expect(most).toBe(3);
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(16);
});

describe('vendor()', () => {
  test('copies what the lock pins, once, mends what is damaged and removes what is not needed', async () => {
    const { blobs, pin, server } = await setUp();
    const folder = copyHello(join(tmpDir(), 'recipe'));
    const file = join(folder, 'microbuild.yaml');
    const text = readFileSync(file, 'utf8').replace(
      '- { deb: musl',
      `- { tar: "${server.url}/x", to: /x }\n      - { deb: musl`,
    );
    writeFileSync(
      file,
      text
        .replace('source: { deb: linux-image-cloud-amd64 }', 'source: { file: Makefile }')
        .replace(/.*deb: musl.*\n/, ''),
    );
    const recipe = await readRecipe(folder);
    const lock = {
      ...emptyLock,
      archives: { [`${server.url}/x`]: { sha256: hex('content'), size: 7 } },
    };
    const at = join(folder, 'vendor', 'sha256');
    const made = await vendor(recipe, lock, { blobs, prune: false });
    expect(made.added).toEqual([hex('content')]);
    expect(readdirSync(at)).toEqual([hex('content')]);
    const list = JSON.parse(
      readFileSync(join(folder, 'vendor', 'manifest.json'), 'utf8'),
    ) as unknown;
    expect(list).toEqual({
      version: 1,
      blobs: [{ sha256: hex('content'), size: 7, kind: 'archive', name: `${server.url}/x` }],
    });

    expect((await vendor(recipe, lock, { blobs, prune: false })).added).toEqual([]);
    writeFileSync(join(at, hex('content')), 'damaged');
    writeFileSync(join(at, 'ab'.repeat(32)), 'old');
    const again = await vendor(recipe, lock, { blobs, prune: false });
    expect([again.added, again.unneeded]).toEqual([[hex('content')], ['ab'.repeat(32)]]);
    await vendor(recipe, lock, { blobs, prune: true });
    expect(readdirSync(at)).toEqual([hex('content')]);
    expect(pin.kind).toBe('archive');
  });
});
