/** Opens a bundle for reading: its files by the names of `vm.json`, its disks by their labels. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError, UsageError } from '../core/errors.ts';
import { partitionSource, readGpt, type Gpt } from '../formats/gpt/reader.ts';
import { openFileSource, type ByteSource } from '../io/byte-source.ts';
import { BUNDLE_FILES } from './layout.ts';
import { parseManifest, type Manifest } from './manifest.ts';
import { parseVmConfig, type VmConfig } from './vm-config.ts';

/** `vm.json` and `manifest.json` are a page each; what is larger is not one. */
const MAX_JSON_BYTES = 4 << 20;

export interface Bundle {
  readonly path: string;
  readonly config: VmConfig;
  readonly manifest: Manifest;
  /** The kernel and initrd that `vm.json` names. */
  readonly kernel: ByteSource;
  readonly initrd: ByteSource;
  readonly os: Disk;
  readonly payload: Disk;
  /** Opens another file of the bundle, such as the other initrd. Closed with the bundle. */
  open(name: string): Promise<ByteSource>;
  close(): Promise<void>;
}

/** A disk whose partition table is read when a partition is first asked for. */
export interface Disk {
  readonly source: ByteSource;
  table(): Promise<Gpt>;
  /** @throws {FormatError} when there is no such partition. */
  partition(label: string): Promise<ByteSource>;
}

/**
 * @throws {UsageError} `input` when `path` is not a bundle.
 * @throws {FormatError} when `vm.json` or `manifest.json` is not what it must be.
 */
export async function openBundle(path: string): Promise<Bundle> {
  const config = parseVmConfig(await readJson(path, BUNDLE_FILES.vmConfig));
  const manifest = parseManifest(await readJson(path, BUNDLE_FILES.manifest));
  const opened: ByteSource[] = [];
  const open = async (name: string): Promise<ByteSource> => {
    const source = await openFileSource(join(path, name), name).catch((cause: unknown) =>
      rethrow(path, name, cause),
    );
    opened.push(source);
    return source;
  };
  const close = async (): Promise<void> => {
    await Promise.all(opened.map((source) => source.close()));
  };
  try {
    const [os, payload] = config.disks;
    if (os === undefined || payload === undefined || config.disks.length !== 2) {
      throw new FormatError('vm.json', 'bad-value', 'Cannot use vm.json: it must name two disks', {
        field: 'disks',
      });
    }
    return {
      path,
      config,
      manifest,
      kernel: await open(config.kernel),
      initrd: await open(config.initrd),
      os: openDisk(await open(os.image)),
      payload: openDisk(await open(payload.image)),
      open,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function openDisk(source: ByteSource): Disk {
  let table: Promise<Gpt> | undefined;
  const read = (): Promise<Gpt> => (table ??= readGpt(source));
  return {
    source,
    table: read,
    partition: async (label) => partitionSource(source, await read(), label),
  };
}

async function readJson(path: string, name: string): Promise<string> {
  const bytes = await readFile(join(path, name)).catch((cause: unknown) =>
    rethrow(path, name, cause),
  );
  if (bytes.length > MAX_JSON_BYTES) {
    throw new FormatError(name, 'too-large', `Cannot read ${name}: it has ${bytes.length} bytes`);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(name, 'bad-value', `Cannot read ${name}: it is not UTF-8`, { cause });
  }
}

function rethrow(path: string, name: string, cause: unknown): never {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    throw new UsageError('input', `Cannot open bundle ${path}: it has no ${name}`, {
      cause,
      hint: 'Make one with microbuild image RECIPE',
    });
  }
  if (code === 'EACCES') {
    throw new UsageError('input', `Cannot open bundle ${path}: permission denied on ${name}`, {
      cause,
    });
  }
  throw cause;
}
