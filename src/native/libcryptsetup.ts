/**
 * dm-verity by the system's libcryptsetup, which is what veritysetup is made of: the independent peer of our own
 * trees, superblocks and parity. It works on files as on devices and asks nothing of the kernel.
 *
 * It knows the hash functions that its own cryptographic library does: Debian's has sha1 to sha512, and of BLAKE2b
 * only the 512-bit one.
 *
 * @see https://gitlab.com/cryptsetup/cryptsetup/-/blob/main/lib/libcryptsetup.h
 */

import { open } from 'node:fs/promises';
import { getSystemErrorName } from 'node:util';
import { digestSize, toHex, type HashAlgorithm } from '../core/digest.ts';
import { UsageError, VerificationError } from '../core/errors.ts';
import { callAsync } from './library.ts';
import { openSystemLibrary, type SystemLibraryName } from './system-library.ts';

export const LIBCRYPTSETUP: SystemLibraryName = {
  soname: 'libcryptsetup.so.12',
  debianPackage: 'libcryptsetup12',
};

/** `VERITY_MAX_SALT` of the superblock and of the kernel. */
const MAX_SALT = 256;
const CRYPT_VERITY = 'VERITY';
const CRYPT_VERITY_NO_HEADER = 1 << 0;
const CRYPT_VERITY_CHECK_HASH = 1 << 1;
const CRYPT_VERITY_CREATE_HASH = 1 << 2;
const CRYPT_ANY_SLOT = -1;
const CRYPT_ACTIVATE_READONLY = 1;
const EPERM = -1;
const EFAULT = -14;
const EINVAL = -22;

/** What a superblock says of a tree. Sizes and offsets are bytes. */
export interface LibcryptsetupTree {
  /** 0 is the layout of Chrome OS, 1 the usual one. */
  readonly hashType: 0 | 1;
  readonly algorithm: HashAlgorithm;
  readonly dataBlockSize: number;
  readonly hashBlockSize: number;
  /** Default: as many as the data has. */
  readonly dataBlocks?: number | undefined;
  /** At most 256 bytes. */
  readonly salt: Uint8Array;
}

/** Where data, hash area and parity are: paths of files or devices; one may be another's too. */
export interface LibcryptsetupPlaces {
  readonly dataPath: string;
  readonly hashPath: string;
  /** Where in `hashPath` the superblock is, or the tree when there is none. Default 0. */
  readonly hashOffset?: number | undefined;
  readonly fec?:
    | { readonly path: string; readonly roots: number; readonly offset?: number | undefined }
    | undefined;
}

export interface LibcryptsetupFormat extends LibcryptsetupTree, LibcryptsetupPlaces {
  /** The UUID of the superblock, in its text form; no superblock without one. */
  readonly uuid: string | undefined;
}

/**
 * Writes hash area and parity, creating the files that are not there yet.
 *
 * @throws {UsageError} `input` when the library refuses the parameters.
 */
export async function formatWithLibcryptsetup(
  format: LibcryptsetupFormat,
): Promise<{ readonly rootDigest: Uint8Array }> {
  await touch(format.dataPath, 'r');
  // The library opens what is there; it creates nothing.
  await touch(format.hashPath, 'a');
  if (format.fec !== undefined) await touch(format.fec.path, 'a');
  return withDevice(format.hashPath, async (device) => {
    const params = tableOf(format, CRYPT_VERITY_CREATE_HASH);
    device.expectOk(await device.format(params, format.uuid), `format ${format.hashPath}`);
    return { rootDigest: device.rootDigest(digestSize[format.algorithm]) };
  });
}

export interface LibcryptsetupVerify extends LibcryptsetupPlaces {
  readonly rootDigest: Uint8Array;
  /** What the tree is made of; undefined to take it from the superblock. */
  readonly tree: LibcryptsetupTree | undefined;
}

/**
 * Checks data and tree against a root digest, in user space. With parity, corruption that it could correct is no
 * failure, as for veritysetup; the lines returned say how much there was.
 *
 * @returns what the library logged.
 * @throws {VerificationError} when data or tree do not lead to the root digest.
 * @throws {UsageError} `input` when there is no superblock, or the parameters are none.
 */
export async function verifyWithLibcryptsetup(
  verify: LibcryptsetupVerify,
): Promise<{ readonly messages: readonly string[] }> {
  const { dataPath, hashPath, tree, rootDigest, fec } = verify;
  for (const path of [dataPath, hashPath, ...(fec ? [fec.path] : [])]) await touch(path, 'r');
  return withDevice(hashPath, async (device) => {
    if (tree === undefined) {
      const params = tableOf({ ...verify, ...ANY_TREE, uuid: '' }, CRYPT_VERITY_CHECK_HASH);
      device.expectOk(device.load(params), `read the superblock of ${hashPath}`);
    } else {
      const params = tableOf({ ...verify, ...tree, uuid: undefined }, CRYPT_VERITY_CHECK_HASH);
      device.expectOk(await device.format(params, undefined), `verify ${dataPath}`);
    }
    const result = await device.check(rootDigest);
    if (result === EPERM || result === EFAULT) {
      throw new VerificationError(
        'hash-tree',
        result === EPERM ? 'digest-mismatch' : 'root-digest-mismatch',
        `Cannot verify ${dataPath}: ${device.messages.join('; ')}`,
        { expected: toHex(rootDigest) },
      );
    }
    device.expectOk(result, `verify ${dataPath}`);
    return { messages: device.messages };
  });
}

/**
 * Reads a superblock.
 *
 * @throws {UsageError} `input` when there is none.
 */
export async function readSuperblockWithLibcryptsetup(
  hashPath: string,
  hashOffset = 0,
): Promise<LibcryptsetupTree & { readonly dataBlocks: number; readonly uuid: string }> {
  await touch(hashPath, 'r');
  return withDevice(hashPath, (device) => {
    const params = tableOf({ dataPath: '', hashPath, hashOffset, ...ANY_TREE, uuid: '' }, 0);
    device.expectOk(
      device.load({ ...params, data_device: null }),
      `read the superblock of ${hashPath}`,
    );
    return Promise.resolve(device.info());
  });
}

/** Fills the structure where the library reads a superblock and looks at nothing of this. */
const ANY_TREE: LibcryptsetupTree = {
  hashType: 1,
  algorithm: 'sha256',
  dataBlockSize: 4096,
  hashBlockSize: 4096,
  salt: new Uint8Array(0),
};

/** Fails as the system does, with the path, where the library would only say "access denied". */
async function touch(path: string, flags: 'r' | 'a'): Promise<void> {
  const handle = await open(path, flags);
  await handle.close();
}

/** `struct crypt_params_verity`. */
function tableOf(format: LibcryptsetupFormat, flags: number): Readonly<Record<string, unknown>> {
  const { salt, fec, dataBlocks = 0, hashOffset = 0 } = format;
  if (salt.length > MAX_SALT) {
    throw new RangeError(`A salt of ${salt.length} bytes is longer than ${MAX_SALT}`);
  }
  const sizes = [dataBlocks, hashOffset, fec?.offset ?? 0];
  const words = [format.dataBlockSize, format.hashBlockSize, fec?.roots ?? 0];
  if (!sizes.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw new RangeError(`Sizes and offsets must be whole numbers: ${sizes.join(', ')}`);
  }
  if (!words.every((word) => Number.isInteger(word) && word >= 0 && word < 2 ** 32)) {
    throw new RangeError(`Block sizes and roots must be whole numbers: ${words.join(', ')}`);
  }
  return {
    hash_name: format.algorithm,
    data_device: format.dataPath,
    hash_device: null,
    fec_device: fec?.path ?? null,
    // Not null, which would mean a random one.
    salt: salt.length === 0 ? new Uint8Array(1) : salt,
    salt_size: salt.length,
    hash_type: format.hashType,
    data_block_size: format.dataBlockSize,
    hash_block_size: format.hashBlockSize,
    data_size: dataBlocks,
    hash_area_offset: hashOffset,
    fec_area_offset: fec?.offset ?? 0,
    fec_roots: fec?.roots ?? 0,
    flags: flags | (format.uuid === undefined ? CRYPT_VERITY_NO_HEADER : 0),
  };
}

/** A `struct crypt_device` and what we ask of it. Results are 0 or a negative errno. */
interface Device {
  /** What the library said so far. */
  readonly messages: readonly string[];
  format(params: object, uuid: string | undefined): Promise<number>;
  load(params: object): number;
  check(rootDigest: Uint8Array): Promise<number>;
  rootDigest(size: number): Uint8Array;
  info(): LibcryptsetupTree & { readonly dataBlocks: number; readonly uuid: string };
  /** @param action As in `Cannot ACTION`. */
  expectOk(result: number, action: string): void;
}

let library: ReturnType<typeof bind> | undefined;
/** Devices are used one after another: the library's own initialisation knows no threads. */
let turn: Promise<unknown> = Promise.resolve();

function withDevice<T>(path: string, work: (device: Device) => Promise<T>): Promise<T> {
  const mine = turn.then(async () => {
    const openDevice = await (library ??= bind());
    const { device, close } = openDevice(path);
    try {
      return await work(device);
    } finally {
      close();
    }
  });
  turn = mine.catch(() => undefined);
  return mine;
}

async function bind(): Promise<(path: string) => { device: Device; close: () => void }> {
  const { koffi, library: lib } = await openSystemLibrary(LIBCRYPTSETUP);
  // Each type has a name: koffi may give a structure and a callback without one the same, and mistake them.
  const Params = koffi.struct('crypt_params_verity', {
    hash_name: 'const char *',
    data_device: 'const char *',
    hash_device: 'const char *',
    fec_device: 'const char *',
    salt: 'const uint8_t *',
    salt_size: 'uint32_t',
    hash_type: 'uint32_t',
    data_block_size: 'uint32_t',
    hash_block_size: 'uint32_t',
    data_size: 'uint64_t',
    hash_area_offset: 'uint64_t',
    fec_area_offset: 'uint64_t',
    fec_roots: 'uint32_t',
    flags: 'uint32_t',
  });
  const Log = koffi.proto('crypt_log_fn', 'void', ['int', 'const char *', 'void *']);
  const [Device, ParamsPointer] = ['void *', koffi.pointer(Params)] as const;
  const init = lib.func('int crypt_init(_Out_ void **device, const char *path)');
  const free = lib.func('void crypt_free(void *device)');
  const setLog = lib.func('crypt_set_log_callback', 'void', [Device, koffi.pointer(Log), 'void *']);
  const text = 'const char *';
  const format = lib.func('crypt_format', 'int', [
    Device,
    text,
    text,
    text,
    text,
    text,
    'size_t',
    ParamsPointer,
  ]);
  const load = lib.func('crypt_load', 'int', [Device, text, ParamsPointer]);
  const check = lib.func(
    'int crypt_activate_by_volume_key(void *device, const char *name, const uint8_t *key, size_t size, uint32_t flags)',
  );
  const getKey = lib.func(
    'int crypt_volume_key_get(void *device, int slot, _Out_ uint8_t *key, _Inout_ size_t *size, const char *pass, size_t pass_size)',
  );
  const getInfo = lib.func('crypt_get_verity_info', 'int', [Device, koffi.out(ParamsPointer)]);
  const getUuid = lib.func('const char *crypt_get_uuid(void *device)');

  return (path) => {
    const messages: string[] = [];
    const expectOk = (result: number, action: string): void => {
      if (result >= 0) return;
      const said = messages.length > 0 ? messages.join('; ') : getSystemErrorName(result);
      const message = `Cannot ${action}: libcryptsetup says: ${said}`;
      if (result === EINVAL) throw new UsageError('input', message);
      const code = getSystemErrorName(result);
      throw Object.assign(new Error(message), { code, errno: result, syscall: 'libcryptsetup' });
    };
    const handles: [unknown] = [null];
    expectOk(init(handles, path) as number, `open ${path}`);
    const [handle] = handles;
    const log = koffi.register((_level: number, line: string) => {
      messages.push(line.trim());
    }, koffi.pointer(Log));
    setLog(handle, log, null);
    const device: Device = {
      messages,
      expectOk,
      format: async (params, uuid) =>
        (await callAsync(
          format,
          handle,
          CRYPT_VERITY,
          null,
          null,
          uuid ?? null,
          null,
          0,
          params,
        )) as number,
      load: (params) => load(handle, CRYPT_VERITY, params) as number,
      // With a name it would ask the kernel for a mapping; without one it only reads.
      check: async (digest) =>
        (await callAsync(
          check,
          handle,
          null,
          digest,
          digest.length,
          CRYPT_ACTIVATE_READONLY,
        )) as number,
      rootDigest(size) {
        const digest = new Uint8Array(size);
        const room: [number] = [size];
        expectOk(
          getKey(handle, CRYPT_ANY_SLOT, digest, room, null, 0) as number,
          'read the root digest',
        );
        return digest.slice(0, room[0]);
      },
      info() {
        const params: Record<string, unknown> = {};
        expectOk(getInfo(handle, params) as number, `read the superblock of ${path}`);
        const number = (name: string): number => Number(params[name]);
        const salt = number('salt_size');
        return {
          hashType: number('hash_type') === 0 ? 0 : 1,
          algorithm: String(params['hash_name']) as HashAlgorithm,
          dataBlockSize: number('data_block_size'),
          hashBlockSize: number('hash_block_size'),
          dataBlocks: number('data_size'),
          salt:
            salt === 0
              ? new Uint8Array(0)
              : new Uint8Array(koffi.view(params['salt'], salt)).slice(),
          uuid: String(getUuid(handle)),
        };
      },
    };
    return {
      device,
      close: () => {
        free(handle);
        koffi.unregister(log);
      },
    };
  };
}
