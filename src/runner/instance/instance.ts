/**
 * One virtual machine's identity over many boots: whose secrets a guest gets, and how old its parts
 * may be.
 */

/** What the runner proved about the guest's system before it starts it. */
export interface GuestMeasurements {
  /** SHA-256 of `vbmeta_a`, as the initrd's bootconfig pins it. */
  readonly vbmetaDigest: Uint8Array;
  /** The digest of the kernel's hash descriptor, and of the initrd's that matched. */
  readonly kernelDigest: Uint8Array;
  readonly initrdDigest: Uint8Array;
  /** The trusted AVB public key in AVB's encoding. */
  readonly publicKey: Uint8Array;
  readonly rollbackIndex: bigint;
}

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

/** A verified APK, as the guest reports it before it asks for the handover. */
export interface PayloadVersion {
  readonly package: string;
  readonly versionCode: bigint;
  /** SHA-256 of the signer's DER certificate, hex. */
  readonly signer: string;
}

export interface VmInstance {
  /** No guest has been handed this instance's secrets before. */
  readonly isNew: boolean;
  /**
   * Checks the payload against the versions that this instance has run.
   *
   * @throws {VerificationError} `rollback` for one that is older.
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
