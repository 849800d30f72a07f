/** Opens a bundle for reading: its files by the names of `vm.json`, its disks by their labels. */

import { FormatError, UsageError } from '../core/errors.ts';
import { partitionSource, readGpt, type Gpt } from '../formats/gpt/reader.ts';
import type { ByteSource } from '../io/byte-source.ts';
import { openBundleFiles, type BundleFiles, type FilePlace } from './files.ts';
import { BUNDLE_FILES, payloadDiskFile } from './layout.ts';
import { parseManifest, type Manifest } from './manifest.ts';
import { parseVmConfig, type VmConfig } from './vm-config.ts';

/** `vm.json` and `manifest.json` are a page each; what is larger is not one. */
const MAX_JSON_BYTES = 4 << 20;

export interface Bundle {
  /** The folder, or the archive. */
  readonly path: string;
  readonly isArchive: boolean;
  readonly config: VmConfig;
  readonly manifest: Manifest;
  /** The kernel and initrd that `vm.json` names. */
  readonly kernel: ByteSource;
  readonly initrd: ByteSource;
  readonly os: Disk;
  readonly payload: Disk;
  /** Disks of further payloads, by name. */
  readonly payloads: ReadonlyMap<string, Disk>;
  /** Whether the payload disk is another than the bundle's own, put together where it is run. */
  readonly isComposed: boolean;
  /** All its files, sorted. */
  readonly names: readonly string[];
  /** Opens another file of the bundle, such as the other initrd. Closed with the bundle. */
  open(name: string): Promise<ByteSource>;
  /** Where a file of the bundle is on disk. */
  place(name: string): Promise<FilePlace>;
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
 * Opens a folder or an archive (`.mbundle`), which is used as it is.
 *
 * @throws {UsageError} `input` when `path` is not a bundle.
 * @throws {FormatError} when `vm.json`, `manifest.json` or the archive is not what it must be.
 */
export async function openBundle(path: string): Promise<Bundle> {
  const files = await openBundleFiles(path);
  try {
    const config = parseVmConfig(await readJson(files, BUNDLE_FILES.vmConfig));
    const manifest = parseManifest(await readJson(files, BUNDLE_FILES.manifest));
    const [os, payload] = config.disks;
    if (os === undefined || payload === undefined || config.disks.length !== 2) {
      throw new FormatError('vm.json', 'bad-value', 'Cannot use vm.json: it must name two disks', {
        field: 'disks',
      });
    }
    if (files.isArchive) checkMembers(files, manifest);
    const payloads = new Map<string, Disk>();
    for (const name of Object.keys(manifest.payloads ?? {})) {
      payloads.set(name, openDisk(await files.open(payloadDiskFile(name))));
    }
    return {
      path,
      isArchive: files.isArchive,
      config,
      manifest,
      kernel: await files.open(config.kernel),
      initrd: await files.open(config.initrd),
      os: openDisk(await files.open(os.image)),
      payload: openDisk(await files.open(payload.image)),
      payloads,
      isComposed: false,
      names: files.names,
      open: (name) => files.open(name),
      place: (name) => files.place(name),
      close: () => files.close(),
    };
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** What a payload disk of another origin than the bundle's says of itself. */
export type ComposedPayload = Pick<Manifest['payload'], 'package' | 'versionCode' | 'entry'>;

/**
 * The same bundle with another payload disk. What its guest accepts stays as it was sealed.
 *
 * @param disk Stays the caller's to close.
 */
export function withPayload(bundle: Bundle, disk: ByteSource, payload: ComposedPayload): Bundle {
  const { manifest, config } = bundle;
  const own = config.disks[1]?.image;
  const others = [own, ...[...bundle.payloads.keys()].map(payloadDiskFile)];
  return {
    ...bundle,
    payload: openDisk(disk),
    payloads: new Map(),
    isComposed: true,
    manifest: {
      ...manifest,
      payload: { ...manifest.payload, ...payload },
      files: manifest.files.filter(({ path }) => !others.includes(path)),
    },
  };
}

/** The longest name of a VM. */
const MAX_VM_NAME = 63;

/**
 * The same bundle as a VM of one of its payloads sees it: that one's disk, and no other payload.
 *
 * @param name Of a further payload; undefined for the default one.
 * @throws {UsageError} when there is no payload of that name.
 */
export function selectPayload(bundle: Bundle, name: string | undefined): Bundle {
  const { manifest, config, payloads } = bundle;
  const [os, own] = config.disks;
  const chosen = name === undefined ? own?.image : payloadDiskFile(name);
  const disk = name === undefined ? bundle.payload : payloads.get(name);
  const payload = name === undefined ? manifest.payload : manifest.payloads?.[name];
  if (os === undefined || disk === undefined || payload === undefined || chosen === undefined) {
    const names = [...payloads.keys()];
    throw new UsageError('usage', `The bundle ${manifest.name} has no payload ${name}`, {
      hint:
        names.length === 0
          ? 'It has only the default one: leave out --payload'
          : `It has ${names.join(', ')}, and without --payload the default one`,
    });
  }
  const others = [own?.image, ...[...payloads.keys()].map(payloadDiskFile)].filter(
    (file) => file !== chosen,
  );
  return {
    ...bundle,
    payload: disk,
    payloads: new Map(),
    config: {
      ...config,
      // Another machine, with an identity of its own: both may run at once.
      name: name === undefined ? config.name : `${config.name}-${name}`.slice(0, MAX_VM_NAME),
      disks: [os, { image: chosen, writable: false }],
    },
    manifest: {
      ...manifest,
      payload,
      files: manifest.files.filter(({ path }) => !others.includes(path)),
    },
  };
}

/** An archive is passed on as a whole: it carries nothing that its manifest does not list. */
function checkMembers({ names, path }: BundleFiles, manifest: Manifest): void {
  const known = new Set<string>([BUNDLE_FILES.manifest, BUNDLE_FILES.manifestSignature]);
  for (const file of manifest.files) known.add(file.path);
  const strange = names.find((name) => !known.has(name));
  if (strange === undefined) return;
  throw new FormatError(
    'mbundle',
    'bad-value',
    `Cannot open bundle ${path}: its manifest does not list ${strange}`,
    { field: strange },
  );
}

/** @param source Stays the caller's to close. */
export function openDisk(source: ByteSource): Disk {
  let table: Promise<Gpt> | undefined;
  const read = (): Promise<Gpt> => (table ??= readGpt(source));
  return {
    source,
    table: read,
    partition: async (label) => partitionSource(source, await read(), label),
  };
}

async function readJson(files: BundleFiles, name: string): Promise<string> {
  const source = await files.open(name);
  if (source.size > MAX_JSON_BYTES) {
    throw new FormatError(name, 'too-large', `Cannot read ${name}: it has ${source.size} bytes`);
  }
  const bytes = await source.read(0, source.size);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(name, 'bad-value', `Cannot read ${name}: it is not UTF-8`, { cause });
  }
}
