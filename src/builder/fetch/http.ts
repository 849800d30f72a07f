/**
 * An HTTP client for large files: redirects, proxies by the environment, bounds on size and silence,
 * and downloads that go on where a connection broke off.
 *
 * @see RFC 9110 (redirects 15.4, ranges 14)
 */

import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { request as requestHttp, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { EnvironmentError } from '../../core/errors.ts';
import { proxyFor } from './proxy.ts';

const MAX_REDIRECTS = 10;
/** A server that says nothing for this long is not there any more. */
const IDLE_MILLISECONDS = 60_000;
/** How often a download is tried that breaks off or is answered with a passing error. */
const ATTEMPTS = 4;
const PAUSE_MILLISECONDS = 300;
/** As long as a server's own wish for a pause is heeded. */
const MAX_PAUSE_MILLISECONDS = 10_000;

/** The answer to a request, after redirects. The body must be read or destroyed. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** Where the answer came from in the end. */
  readonly url: URL;
  readonly body: IncomingMessage;
}

export interface RequestOptions {
  readonly method?: 'GET' | 'HEAD' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal | undefined;
}

export interface DownloadOptions extends RequestOptions {
  /** The exact size where it is known; what is larger is refused before and while it comes. */
  readonly size?: number | undefined;
  /** The most that is taken where the size is not known. */
  readonly maxSize?: number | undefined;
  readonly onProgress?: ((done: number) => void) | undefined;
}

export interface HttpClient {
  /** @throws {EnvironmentError} `network` when there is no answer. Any status is an answer. */
  request(url: URL | string, options?: RequestOptions): Promise<HttpResponse>;
  /**
   * Writes what an address answers into a new file.
   *
   * @throws {EnvironmentError} `network` when it cannot be had whole; what came so far is left in the file.
   */
  download(url: URL | string, target: string, options?: DownloadOptions): Promise<void>;
}

const failure = (
  message: string,
  options: { cause?: unknown; hint?: string } = {},
): EnvironmentError => new EnvironmentError('network', message, options);

/** @param env Of the proxies. */
export function createHttpClient(
  env: NodeJS.ProcessEnv,
  { idleMilliseconds = IDLE_MILLISECONDS, pauseMilliseconds = PAUSE_MILLISECONDS } = {},
): HttpClient {
  const client: HttpClient = {
    async request(address, options = {}) {
      let url = new URL(address);
      let { method = 'GET', body } = options;
      let headers: Record<string, string> = {
        'user-agent': 'microbuild',
        // Digests are those of the bytes as they are.
        'accept-encoding': 'identity',
        ...options.headers,
      };
      for (let count = 0; ; count++) {
        const response = await send(url, { method, headers, body }, options.signal);
        const to = locationOf(response, url);
        if (to === undefined) return { ...statusOf(response), url, body: response };
        response.destroy();
        if (count === MAX_REDIRECTS) throw failure(`it redirects more than ${MAX_REDIRECTS} times`);
        if (to.protocol !== 'https:' && (url.protocol === 'https:' || to.protocol !== 'http:')) {
          throw failure(`it redirects to ${to.protocol}//, which is not as safe`);
        }
        if (to.origin !== url.origin) {
          const { authorization: _dropped, ...rest } = headers;
          headers = rest;
        }
        if (method === 'POST' && response.statusCode !== 307 && response.statusCode !== 308) {
          method = 'GET';
          body = undefined;
        }
        url = to;
      }
    },
    async download(address, target, options = {}) {
      let done = 0;
      let validator: string | undefined;
      for (let attempt = 1; ; attempt++) {
        const before = done;
        try {
          const part = await receive(address, target, options, done, validator);
          validator = part.validator;
          for await (const size of part.written) {
            done = size;
            options.onProgress?.(done);
          }
          const expected = options.size ?? part.total;
          if (expected === undefined || done === expected) return;
          throw new Passing(`it ended after ${done} of ${expected} bytes`);
        } catch (error) {
          options.signal?.throwIfAborted();
          if (!(error instanceof Passing)) throw error;
          if (attempt >= ATTEMPTS && done === before)
            throw failure(error.message, { cause: error });
          if (attempt >= ATTEMPTS * 4) throw failure(error.message, { cause: error });
          if (error.restart) done = 0;
          await delay(error.pause ?? pauseMilliseconds * attempt, undefined, {
            signal: options.signal,
          });
        }
      }
    },
  };

  /** Asks for what is missing of a file and writes it behind what is there. */
  async function receive(
    address: URL | string,
    target: string,
    options: DownloadOptions,
    from: number,
    validator: string | undefined,
  ): Promise<{ written: AsyncIterable<number>; total: number | undefined; validator?: string }> {
    // Without a validator nobody knows whether it is still the same file.
    const resumed = from > 0 && (validator !== undefined || options.size !== undefined);
    const headers: Record<string, string> = { ...options.headers };
    if (resumed) {
      headers['range'] = `bytes=${from}-`;
      if (validator !== undefined) headers['if-range'] = validator;
    }
    let response: HttpResponse;
    try {
      response = await client.request(address, { ...options, headers });
    } catch (error) {
      if (error instanceof EnvironmentError && isPassing(error.cause)) {
        throw new Passing(error.message, { cause: error });
      }
      throw error;
    }
    const { status, body } = response;
    if (status !== 200 && !(resumed && status === 206)) {
      body.destroy();
      const message = `it answers ${status} ${body.statusMessage ?? ''}`.trimEnd();
      if (status === 416) throw new Passing(message, { restart: true });
      if ([429, 500, 502, 503, 504].includes(status)) {
        const after = Number(response.headers['retry-after']) * 1000;
        const pause = after >= 0 ? Math.min(after, MAX_PAUSE_MILLISECONDS) : undefined;
        throw new Passing(message, { pause });
      }
      throw failure(message);
    }
    const start = status === 206 ? from : 0;
    const range = /^bytes (\d+)-/.exec(response.headers['content-range'] ?? '')?.[1];
    if (status === 206 && Number(range) !== from) {
      body.destroy();
      throw new Passing('it answers another range than was asked for', { restart: true });
    }
    const length = response.headers['content-length'];
    const total = length === undefined ? undefined : start + Number(length);
    const most = options.size ?? options.maxSize ?? Number.POSITIVE_INFINITY;
    if (total !== undefined && total > most) {
      body.destroy();
      throw failure(tooLarge(total, options));
    }
    const etag = response.headers.etag;
    const strong = etag?.startsWith('"') === true ? etag : response.headers['last-modified'];
    return {
      written: write(body, target, start, most, options),
      total,
      ...(strong === undefined ? {} : { validator: strong }),
    };
  }

  async function* write(
    body: IncomingMessage,
    target: string,
    start: number,
    most: number,
    options: DownloadOptions,
  ): AsyncGenerator<number> {
    const file = await open(target, start === 0 ? 'w' : 'r+', 0o600);
    let at = start;
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        if (at + chunk.length > most) throw failure(tooLarge(at + chunk.length, options));
        await file.write(chunk, 0, chunk.length, at);
        at += chunk.length;
        yield at;
      }
    } catch (error) {
      options.signal?.throwIfAborted();
      if (isSystemError(error) && !isPassing(error)) throw error;
      if (error instanceof EnvironmentError) throw error;
      throw new Passing(`the connection broke off after ${at} bytes`, { cause: error });
    } finally {
      body.destroy();
      await file.close();
    }
  }

  async function send(
    url: URL,
    {
      method,
      headers,
      body,
    }: { method: string; headers: OutgoingHttpHeaders; body: string | undefined },
    signal: AbortSignal | undefined,
  ): Promise<IncomingMessage> {
    signal?.throwIfAborted();
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      throw failure(`Cannot fetch ${url.protocol} addresses: only http: and https:`);
    }
    try {
      const proxy = proxyFor(url, env);
      const secure = url.protocol === 'https:';
      const options = {
        method,
        headers: { host: url.host, ...headers },
        agent: false as const,
        signal,
        timeout: idleMilliseconds,
      };
      let request;
      if (proxy === undefined) {
        request = (secure ? requestHttps : requestHttp)(url, options);
      } else if (secure) {
        const socket = await tunnel(proxy, url, signal);
        request = requestHttps(url, {
          ...options,
          createConnection: () =>
            connectTls({ socket, servername: url.hostname.replace(/^\[|\]$/g, '') }),
        });
      } else {
        request = (proxy.protocol === 'https:' ? requestHttps : requestHttp)(proxy, {
          ...options,
          path: url.href,
          headers: { ...options.headers, ...proxyAuthorization(proxy) },
        });
      }
      request.on('timeout', () => request.destroy(new IdleError(idleMilliseconds)));
      // What fails behind the answer is told by its body.
      request.on('error', () => undefined);
      request.end(body);
      const [response] = (await once(request, 'response', { signal })) as [IncomingMessage];
      return response;
    } catch (cause) {
      signal?.throwIfAborted();
      if (cause instanceof EnvironmentError || !(cause instanceof Error)) throw cause;
      if (!isSystemError(cause) && !(cause instanceof IdleError)) throw cause;
      throw failure(`Cannot reach ${url.host}: ${cause.message}`, { cause });
    }
  }

  /** A connection through a proxy to where a secure one is made. */
  async function tunnel(proxy: URL, url: URL, signal: AbortSignal | undefined): Promise<Socket> {
    const port = url.port === '' ? '443' : url.port;
    const request = (proxy.protocol === 'https:' ? requestHttps : requestHttp)(proxy, {
      method: 'CONNECT',
      path: `${url.hostname}:${port}`,
      headers: { host: `${url.hostname}:${port}`, ...proxyAuthorization(proxy) },
      agent: false,
      signal,
      timeout: idleMilliseconds,
    });
    request.on('timeout', () => request.destroy(new IdleError(idleMilliseconds)));
    request.on('error', () => undefined);
    request.end();
    const [response, socket] = (await once(request, 'connect', { signal })) as [
      IncomingMessage,
      Socket,
    ];
    if (response.statusCode === 200) return socket;
    socket.destroy();
    throw failure(`the proxy ${proxy.host} answers ${response.statusCode} to CONNECT ${url.host}`);
  }
  return client;
}

/** What may go well at the next attempt. */
class Passing extends Error {
  readonly restart: boolean;
  readonly pause: number | undefined;
  constructor(
    message: string,
    options: { cause?: unknown; restart?: boolean; pause?: number | undefined } = {},
  ) {
    super(message, { cause: options.cause });
    this.restart = options.restart ?? false;
    this.pause = options.pause;
  }
}

class IdleError extends Error {
  constructor(milliseconds: number) {
    super(`it said nothing for ${milliseconds / 1000} s`);
  }
}

const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && typeof (error as NodeJS.ErrnoException).code === 'string';

const PASSING_CODES = new Set([
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ERR_STREAM_PREMATURE_CLOSE',
]);
const isPassing = (error: unknown): boolean =>
  error instanceof IdleError || (isSystemError(error) && PASSING_CODES.has(error.code ?? ''));

const statusOf = (response: IncomingMessage) => ({
  status: response.statusCode ?? 0,
  headers: response.headers,
});

function locationOf(response: IncomingMessage, url: URL): URL | undefined {
  if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0)) return undefined;
  const { location } = response.headers;
  if (location === undefined) return undefined;
  try {
    return new URL(location, url);
  } catch (cause) {
    response.destroy();
    throw failure('it redirects to what is not an address', { cause });
  }
}

const proxyAuthorization = ({ username, password }: URL): Record<string, string> => {
  if (username === '') return {};
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(credentials).toString('base64')}` };
};

const tooLarge = (size: number, { size: exact, maxSize }: DownloadOptions): string =>
  exact === undefined
    ? `it has ${size} bytes, more than the ${maxSize} that are taken`
    : `it has ${size} bytes, ${exact} are pinned`;

/** All of a small answer. @throws {EnvironmentError} `network` when it is longer than `most` bytes. */
export async function readBody(body: IncomingMessage, most: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > most) throw failure(`it answers with more than ${most} bytes`);
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof EnvironmentError) throw cause;
    throw failure('the connection broke off', { cause });
  } finally {
    body.destroy();
  }
  return Buffer.concat(chunks);
}
