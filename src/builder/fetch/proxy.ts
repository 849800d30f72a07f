/**
 * Which proxy a request goes through, by the environment as other programs read it: `https_proxy`,
 * `http_proxy`, `all_proxy`, `no_proxy`, and the first two also in upper case.
 */

import { isIP } from 'node:net';
import { UsageError } from '../../core/errors.ts';

/**
 * @returns the address of the proxy, or undefined when the request goes straight to its host. The loopback
 *   is always reached directly.
 * @throws {UsageError} `usage` when the variable does not hold the address of an HTTP proxy.
 */
export function proxyFor(url: URL, env: NodeJS.ProcessEnv): URL | undefined {
  const names =
    url.protocol === 'https:'
      ? ['https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY']
      : ['http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'];
  const name = names.find((each) => (env[each] ?? '') !== '');
  if (name === undefined || isLoopback(url.hostname)) return undefined;
  if (isExempt(url, env['no_proxy'] ?? env['NO_PROXY'] ?? '')) return undefined;
  const text = env[name] ?? '';
  let proxy: URL | undefined;
  try {
    proxy = new URL(text.includes('://') ? text : `http://${text}`);
  } catch {
    // Told below.
  }
  if (proxy?.protocol !== 'http:' && proxy?.protocol !== 'https:') {
    throw new UsageError('usage', `Cannot use ${name}: it is not the address of an HTTP proxy`, {
      hint: `Write it as http://HOST:PORT`,
    });
  }
  return proxy;
}

/** Whether a host is this machine by its name or number. */
export function isLoopback(hostname: string): boolean {
  const host = hostname
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase();
  if (host === 'localhost' || host.endsWith('.localhost') || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}

/** `no_proxy`: hosts and domains with all that is below them, with or without a port; `*` for all. */
function isExempt(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  return list
    .split(/[\s,]+/)
    .filter((each) => each !== '')
    .some((entry) => {
      if (entry === '*') return true;
      const [, name = '', wantedPort] = /^\[?(.*?)\]?(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
      if (isIP(entry) === 6) return entry.toLowerCase() === host;
      if (wantedPort !== undefined && wantedPort !== port) return false;
      const domain = name.replace(/^\*?\./, '');
      return host === domain || host.endsWith(`.${domain}`);
    });
}
