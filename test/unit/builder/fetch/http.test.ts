import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createHttpClient } from '../../../../src/builder/fetch/http.ts';
import { EnvironmentError } from '../../../../src/core/errors.ts';
import { startServer } from '../../../support/loopback-server.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const client = (env: NodeJS.ProcessEnv = {}) =>
  createHttpClient(env, { idleMilliseconds: 300, pauseMilliseconds: 1 });
const target = () => join(tmpDir(), 'blob');

describe('download()', () => {
  test('follows redirects, and drops the login on the way to another host', async () => {
    const seen: (string | undefined)[] = [];
    const end = await startServer((request, response) => {
      seen.push(request.headers.authorization);
      response.end('content');
    });
    const start = await startServer((request, response) => {
      seen.push(request.headers.authorization);
      const to = request.url === '/a' ? '/b' : `${end.url}/c`;
      response.writeHead(302, { location: to }).end();
    });
    const file = target();
    await client().download(`${start.url}/a`, file, { headers: { authorization: 'Basic eA==' } });
    expect(readFileSync(file, 'utf8')).toBe('content');
    expect(seen).toEqual(['Basic eA==', 'Basic eA==', undefined]);
  });

  test('gives up on redirects that lead nowhere', async () => {
    const server = await startServer((_, response) => {
      response.writeHead(302, { location: '/again' }).end();
    });
    await expect(client().download(server.url, target())).rejects.toThrow('redirects more than 10');
    expect(server.requests).toHaveLength(11);
  });

  test('goes on where a connection broke off, with the validator of what it has', async () => {
    const data = randomBytes(300_000);
    const ranges: (string | undefined)[] = [];
    const server = await startServer((request, response) => {
      const { range } = request.headers;
      ranges.push(range && `${range} ${String(request.headers['if-range'])}`);
      const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
      const head = { etag: '"v1"', 'content-length': data.length - from };
      if (range === undefined) response.writeHead(200, head);
      else
        response.writeHead(206, {
          ...head,
          'content-range': `bytes ${from}-${data.length - 1}/${data.length}`,
        });
      const end = ranges.length < 3 ? from + 100_000 : data.length;
      response.write(data.subarray(from, end), () => {
        if (end < data.length) response.destroy();
        else response.end();
      });
    });
    const file = target();
    const progress: number[] = [];
    await client().download(server.url, file, { onProgress: (done) => progress.push(done) });
    expect(createHash('sha256').update(readFileSync(file)).digest('hex')).toBe(
      createHash('sha256').update(data).digest('hex'),
    );
    const [first, ...others] = ranges;
    expect(first).toBeUndefined();
    expect(others).toHaveLength(2);
    // How much of the last piece arrived is the system's matter.
    const starts = others.map((range) => Number(/^bytes=(\d+)- "v1"$/.exec(range ?? '')?.[1]));
    expect(starts[0]).toBeGreaterThan(0);
    expect(starts[1]).toBeGreaterThan(starts[0] ?? 0);
    expect(progress.at(-1)).toBe(data.length);
  });

  test('begins anew when the file changed meanwhile', async () => {
    let count = 0;
    const server = await startServer((_, response) => {
      count++;
      const data = count === 1 ? 'x'.repeat(1000) : 'y'.repeat(800);
      response.writeHead(200, { etag: `"v${count}"`, 'content-length': data.length });
      if (count > 1) response.end(data);
      else response.write(data.slice(0, 500), () => response.destroy());
    });
    const file = target();
    await client().download(server.url, file);
    expect(readFileSync(file, 'utf8').slice(0, 800)).toBe('y'.repeat(800));
    expect(readFileSync(file)).toHaveLength(800);
  });

  test.each([
    ['says so before', true],
    ['does not', false],
  ])('refuses more bytes than are pinned from a server that %s', async (_, honest) => {
    const server = await startServer((_request, response) => {
      if (honest) response.writeHead(200, { 'content-length': 5000 });
      response.end('x'.repeat(5000));
    });
    const refused = client().download(server.url, target(), { size: 4000 });
    await expect(refused).rejects.toThrow('4000 are pinned');
    expect(server.requests).toHaveLength(1);
  });

  test.each([
    [404, 1],
    [403, 1],
    [503, 4],
  ])('an answer of %i is told after %i requests', async (status, requests) => {
    const server = await startServer((_, response) => {
      response.writeHead(status).end();
    });
    const refused = client().download(server.url, target());
    await expect(refused).rejects.toThrow(EnvironmentError);
    await expect(refused).rejects.toThrow(`it answers ${status}`);
    expect(server.requests).toHaveLength(requests);
  });

  test('a server that falls silent is not waited for', async () => {
    const server = await startServer((_, response) => {
      response.writeHead(200, { 'content-length': 10 });
      response.write('x');
    });
    await expect(client().download(server.url, target())).rejects.toThrow(
      'broke off after 1 bytes',
    );
  });

  test('a host that does not answer is named', async () => {
    const server = await startServer(() => undefined);
    await new Promise((resolve) => server.server.close(resolve));
    await expect(client().download(server.url, target())).rejects.toThrow(
      `Cannot reach ${server.host}`,
    );
  });

  test('an interruption stops it', async () => {
    const server = await startServer((_, response) => {
      response.writeHead(200, { 'content-length': 10 });
      response.write('x');
    });
    const stop = new AbortController();
    const file = target();
    const download = client().download(server.url, file, {
      signal: stop.signal,
      onProgress: () => stop.abort(),
    });
    await expect(download).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
  });

  test.each(['file:///etc/hostname', 'ftp://example.org/x'])('%s is not fetched', async (url) => {
    const file = target();
    await expect(client().download(url, file)).rejects.toThrow('only http: and https:');
    expect(existsSync(file)).toBe(false);
  });
});

describe('proxies', () => {
  test('http goes through the proxy with its whole address, and with the login of the proxy', async () => {
    let login: string | undefined;
    const proxy = await startServer((request, response) => {
      login = request.headers['proxy-authorization'];
      response.end('through the proxy');
    });
    const file = target();
    const env = { http_proxy: `http://user:p%40ss@${proxy.host}` };
    await client(env).download('http://mirror.invalid/pool/x', file);
    expect(proxy.requests).toEqual(['GET http://mirror.invalid/pool/x']);
    expect(login).toBe(`Basic ${Buffer.from('user:p@ss').toString('base64')}`);
  });

  test('https asks the proxy for a tunnel, and tells when it gets none', async () => {
    const proxy = await startServer(() => undefined);
    const asked: string[] = [];
    proxy.server.on('connect', (request, socket) => {
      asked.push(request.url ?? '');
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    });
    const refused = client({ HTTPS_PROXY: proxy.url }).download(
      'https://mirror.invalid/x',
      target(),
    );
    await expect(refused).rejects.toThrow(`the proxy ${proxy.host} answers 403`);
    expect(asked).toEqual(['mirror.invalid:443']);
  });

  test('https talks TLS with the host behind the tunnel', async () => {
    const proxy = await startServer(() => undefined);
    const plain = await startServer((_, response) => response.end('not TLS') as unknown as void);
    proxy.server.on('connect', (_request, socket) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      const [host, port] = plain.host.split(':');
      const behind = connect(Number(port), host, () => socket.pipe(behind).pipe(socket));
      behind.on('error', () => socket.destroy());
      socket.on('error', () => behind.destroy());
    });
    const refused = client({ https_proxy: proxy.url }).download(
      'https://mirror.invalid/x',
      target(),
    );
    await expect(refused).rejects.toThrow('Cannot reach mirror.invalid');
    expect(plain.requests).toEqual([]);
  });

  test.each([
    ['mirror.invalid', true],
    ['.invalid', true],
    ['mirror.invalid:80', true],
    ['mirror.invalid:8080', false],
    ['other.example', false],
    ['rror.invalid', false],
    ['*', true],
  ])('no_proxy=%s exempts mirror.invalid: %s', async (list, exempt) => {
    const proxy = await startServer((_, response) => {
      response.end('x');
    });
    const env = { http_proxy: proxy.url, no_proxy: list };
    const download = client(env).download('http://mirror.invalid/x', target());
    if (exempt) await expect(download).rejects.toThrow('Cannot reach mirror.invalid');
    else await download;
    expect(proxy.requests).toHaveLength(exempt ? 0 : 1);
  });

  test('the loopback is reached directly', async () => {
    const server = await startServer((_, response) => {
      response.end('x');
    });
    await client({ http_proxy: 'http://proxy.invalid:1' }).download(server.url, target());
    expect(server.requests).toEqual(['GET /']);
  });
});
