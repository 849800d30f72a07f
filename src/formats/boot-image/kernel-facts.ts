/**
 * What a kernel says of itself without being started: the banner that every kernel carries, and the configuration that
 * those built with CONFIG_IKCONFIG do.
 *
 * @see init/version.c and kernel/configs.c of Linux
 */

import { gunzipSync } from 'node:zlib';

const BANNER = 'Linux version ';
/** Banners have some 200 bytes, most of them names of compilers. */
const MAX_BANNER = 512;
/** As `uname -r` tells it. */
const RELEASE = /^\d{1,3}\.\d{1,4}[^\s\0]*/;
/** In front of and behind a compressed configuration. */
const CONFIG_START = 'IKCFG_ST';
const CONFIG_END = 'IKCFG_ED';
/** A compressed configuration has about 60 kB. */
const MAX_CONFIG = 1 << 20;
const CHUNK = 4 << 20;

export interface KernelBanner {
  /** As `uname -r` tells it: `6.1.0-13-cloud-amd64`. */
  readonly release: string;
  /** The whole line, with its compiler and time of build. */
  readonly text: string;
}

export interface KernelFacts {
  readonly banner?: KernelBanner;
  /** Options for EROFS that are set, sorted, where its configuration is in it. */
  readonly erofs?: readonly string[];
}

/** Reads at most `length` bytes at `offset`, fewer at the end. */
export type ReadAt = (offset: number, length: number) => Promise<Uint8Array>;

const bufferOf = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);

/** The release that a text begins with. */
export function releaseAt(text: string): string | undefined {
  return RELEASE.exec(text)?.[0];
}

/**
 * The first banner that has a release: kernels have the format of banners in them, too.
 *
 * @param bytes All or a part of an unpacked kernel.
 */
export function findBanner(bytes: Uint8Array): KernelBanner | undefined {
  const data = bufferOf(bytes);
  for (let at = data.indexOf(BANNER); at !== -1; at = data.indexOf(BANNER, at + 1)) {
    const line = data.toString('latin1', at, at + MAX_BANNER);
    const release = releaseAt(line.slice(BANNER.length));
    if (release !== undefined) return { release, text: (/^[^\0\n]*/.exec(line)?.[0] ?? '').trim() };
  }
  return undefined;
}

/** The options for EROFS that a configuration sets, sorted. */
export function erofsOptions(config: string): string[] {
  return [...config.matchAll(/^(CONFIG_EROFS\w*)=[ym]$/gm)]
    .map(([, name]) => name as string)
    .sort();
}

/** The configuration that a kernel carries, behind its mark; undefined when it is none. */
function unpackConfig(packed: Uint8Array): string | undefined {
  const data = bufferOf(packed);
  // Behind the gzip member stands more of the kernel.
  const end = data.indexOf(CONFIG_END);
  try {
    return gunzipSync(end < 0 ? data : data.subarray(0, end), {
      maxOutputLength: 4 * MAX_CONFIG,
    }).toString('latin1');
  } catch {
    return undefined;
  }
}

/** Looks through an unpacked kernel a piece at a time, until all is found that is wanted. */
export async function scanKernel(
  read: ReadAt,
  size: number,
  wanted: { readonly config: boolean },
  signal?: AbortSignal,
): Promise<KernelFacts> {
  let banner: KernelBanner | undefined;
  let erofs: string[] | undefined;
  for (let at = 0; at < size; at += CHUNK) {
    if (banner !== undefined && (erofs !== undefined || !wanted.config)) break;
    signal?.throwIfAborted();
    const chunk = bufferOf(await read(at, Math.min(CHUNK + MAX_BANNER, size - at)));
    banner ??= findBanner(chunk);
    if (!wanted.config) continue;
    let mark = erofs === undefined ? chunk.indexOf(CONFIG_START) : -1;
    for (; mark >= 0 && erofs === undefined; mark = chunk.indexOf(CONFIG_START, mark + 1)) {
      const from = at + mark + CONFIG_START.length;
      const config = unpackConfig(await read(from, Math.min(MAX_CONFIG, size - from)));
      if (config !== undefined) erofs = erofsOptions(config);
    }
  }
  return { ...(banner && { banner }), ...(erofs && { erofs }) };
}
