/**
 * One virtual machine's identity over many boots: whose secrets a guest gets, and how old its parts
 * may be. The runner plays the firmware of Android's guests here: it has verified the system, so it
 * derives the system's DICE stage ("vm_entry") and hands it over, once for each boot.
 */

import { hkdfSync, randomBytes } from 'node:crypto';
import { EnvironmentError, MicrobuildError, UsageError } from '../../core/errors.ts';
import { encodeHandover, nextHandover, rootHandover } from '../../dice/chain.ts';
import { CDI_SIZE, HASH_SIZE, sha512 } from '../../dice/derive.ts';
import { systemStage, type MeasuredSystem as GuestMeasurements } from '../../dice/stages.ts';
import { makeFolder } from '../../io/make-folder.ts';
import { ensurePrivateFolder } from '../registry.ts';
import {
  ID_SIZE,
  type InstancePaths,
  claimInstanceFolder,
  instancePaths,
  readVersions,
  rootKeyPath,
  statePath,
  writeVersions,
} from './folder.ts';
import { type OwnerLock, holderOf, takeLock } from './owner-lock.ts';
import { readOrMakeSecret, readSecret } from './secret-file.ts';
import {
  NO_VERSIONS,
  type PayloadVersion,
  type Versions,
  checkPayload,
  checkSystem,
  withVersions,
} from './versions.ts';

export type { PayloadVersion } from './versions.ts';

const ROOT_SIZE = 32;
/** Tells this use of the root key from any other, and this way of deriving from a later one. */
const UDS_SALT = 'microbuild-uds-v1';
const ORIGIN_SALT = 'microbuild-origin-v1';

/** What the runner proved about the guest's system before it starts it. */
export type { GuestMeasurements };

type MeasuredSystem = Pick<InstanceOptions, 'measurements' | 'debuggable'>;

export interface InstanceOptions {
  /** The machine's name: which instance is meant when no folder is given. */
  readonly name: string;
  /** The instance's own folder; default: one per name below the state folder. */
  readonly folder?: string | undefined;
  /** A new identity that is written nowhere and gone with the machine. */
  readonly ephemeral: boolean;
  readonly measurements: GuestMeasurements;
  /** The initrd is the debuggable one, or the machine runs with debugging on. */
  readonly debuggable: boolean;
  readonly env?: NodeJS.ProcessEnv | undefined;
}

export interface VmInstance {
  /** No guest has been handed this instance's secrets before. */
  readonly isNew: boolean;
  /**
   * Checks the payload against the versions that this instance has run.
   *
   * @throws {VerificationError} `rollback` for one that is older; {UsageError} after the handover.
   */
  admitPayload(payload: readonly PayloadVersion[]): void;
  /**
   * Records the versions durably, then gives the CBOR of Android's handover. Once: afterwards nothing
   * of it is left in this process but what the caller holds.
   *
   * @throws {UsageError} before a payload was admitted, and for the second call.
   */
  takeHandover(): Promise<Uint8Array>;
  /** Gives the folder back and forgets the secrets. May be called twice. */
  close(): Promise<void>;
}

/**
 * Opens the instance, or makes it. Nobody else can open it until `close`.
 *
 * @throws {UsageError} for a folder that is no instance, or `lock` for one that runs.
 * @throws {EnvironmentError} when the root key or the folder is not private to this user.
 * @throws {VerificationError} `rollback` for a system that is older than one that ran before.
 */
export async function openInstance(options: InstanceOptions): Promise<VmInstance> {
  if (options.ephemeral) {
    if (options.folder !== undefined) {
      throw new UsageError('usage', 'Cannot use --instance and --ephemeral: choose one');
    }
    return ephemeralInstance(options);
  }
  const state = statePath(options.env);
  const { name, folder } = options;
  const paths = instancePaths(state, folder === undefined ? { name } : { folder });
  const lock = await prepare(state, paths);
  if ('heldBy' in lock) {
    throw new UsageError('lock', `Cannot use ${paths.folder}: ${holderOf(lock)}`, {
      hint: 'Stop that machine, or use another instance (--instance, --ephemeral)',
    });
  }
  try {
    const seen = await readVersions(paths);
    const { publicKey, rollbackIndex } = options.measurements;
    checkSystem(seen ?? NO_VERSIONS, publicKey, rollbackIndex);
    const secrets = {
      root: await secretOf(rootKeyPath(state), ROOT_SIZE, seen),
      id: await secretOf(paths.id, ID_SIZE, seen),
    };
    const origin = originOf(secrets);
    if (seen !== undefined && seen.origin !== origin)
      throw lost(rootKeyPath(state), 'or the id is another');
    const handover = systemHandover(secrets, options);
    const before = { ...(seen ?? NO_VERSIONS), origin };
    return instance(handover, seen === undefined, before, options, { paths, lock });
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** What is measured of a system that nobody verified. */
const UNMEASURED: MeasuredSystem = {
  measurements: {
    vbmetaDigest: new Uint8Array(0),
    kernelDigest: new Uint8Array(0),
    initrdDigest: new Uint8Array(0),
    publicKey: new Uint8Array(0),
    rollbackIndex: 0n,
  },
  debuggable: true,
};

/** An instance that is written nowhere and gone with the machine. */
export function ephemeralInstance(system: MeasuredSystem = UNMEASURED): VmInstance {
  const secrets = { root: fresh(ROOT_SIZE), id: fresh(ID_SIZE) };
  return instance(systemHandover(secrets, system), true, NO_VERSIONS, system, undefined);
}

const fresh = (size: number): Uint8Array => new Uint8Array(randomBytes(size));

/** Makes the folders and takes the lock. */
async function prepare(state: string, paths: InstancePaths): ReturnType<typeof takeLock> {
  try {
    await makeFolder(state, 0o700);
    await ensurePrivateFolder(state);
    await claimInstanceFolder(paths);
    return await takeLock(paths.lock);
  } catch (cause) {
    if (cause instanceof MicrobuildError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new EnvironmentError('instance', `Cannot keep the instance ${paths.folder}: ${why}`, {
      cause,
      hint: 'Set XDG_STATE_HOME to a folder that you can write, or use --ephemeral',
    });
  }
}

interface HostSecrets {
  readonly root: Uint8Array;
  readonly id: Uint8Array;
}

/** Made for a new instance only: to one that has run a new secret would be a silent loss. */
async function secretOf(
  path: string,
  size: number,
  seen: Versions | undefined,
): Promise<Uint8Array> {
  if (seen === undefined) return readOrMakeSecret(path, size);
  const secret = await readSecret(path, size);
  if (secret === undefined) throw lost(path, 'is missing');
  return secret;
}

function lost(path: string, why: string): EnvironmentError {
  const message = `Cannot make the secrets of this instance again: ${path} ${why}`;
  return new EnvironmentError('secret', message, {
    hint: 'Put root.key and the instance back as they were, or remove the instance and its secrets',
  });
}

/** A value that only these two secrets have; it tells nothing else of them. */
function originOf({ root, id }: HostSecrets): string {
  return Buffer.from(hkdfSync('sha512', root, ORIGIN_SALT, id, 16)).toString('hex');
}

/** Derives the system's stage and wipes what it was derived from. */
function systemHandover(
  { root, id }: HostSecrets,
  { measurements, debuggable }: MeasuredSystem,
): Uint8Array {
  const uds = new Uint8Array(hkdfSync('sha512', root, UDS_SALT, id, CDI_SIZE));
  const stage = systemStage(measurements, { debuggable, instanceHash: sha512(id) });
  const system = nextHandover(rootHandover(uds), { ...stage, hidden: new Uint8Array(HASH_SIZE) });
  const handover = encodeHandover(system);
  for (const secret of [root, id, uds, system.attest, system.seal]) secret.fill(0);
  return handover;
}

function instance(
  handover: Uint8Array,
  isNew: boolean,
  seen: Versions,
  { measurements }: MeasuredSystem,
  kept: { readonly paths: InstancePaths; readonly lock: OwnerLock } | undefined,
): VmInstance {
  let admitted: readonly PayloadVersion[] | undefined;
  let taken = false;
  return {
    isNew,
    admitPayload(payload) {
      // A payload that reaches the host cannot put itself on the list of what was verified.
      if (taken)
        throw new UsageError('usage', 'Cannot admit a payload: the secrets are handed over');
      checkPayload(seen, payload);
      admitted = payload;
    },
    async takeHandover() {
      if (admitted === undefined) {
        throw new UsageError('usage', 'Cannot hand over secrets: no payload was admitted');
      }
      if (taken) throw new UsageError('usage', 'Cannot hand over secrets: they were handed over');
      taken = true;
      if (kept !== undefined) {
        const { publicKey, rollbackIndex } = measurements;
        const versions = withVersions(seen, publicKey, rollbackIndex, admitted);
        await writeVersions(kept.paths, versions).catch((cause: unknown) => {
          const message = `Cannot write ${kept.paths.versions}`;
          throw new EnvironmentError('instance', message, { cause });
        });
      }
      const given = handover.slice();
      handover.fill(0);
      return given;
    },
    async close() {
      taken = true;
      handover.fill(0);
      await kept?.lock.release();
    },
  };
}
