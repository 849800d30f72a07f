/**
 * What is measured of the two stages of a machine: its system, which the runner starts, and its payload, which
 * the guest starts. Both sides of the handover and all who expect something of a chain read it here.
 */

import {
  encodeConfigDescriptor,
  payloadDescriptor,
  type ConfigDescriptor,
} from './config-descriptor.ts';
import { sha512, type DiceInput, type DiceMode } from './derive.ts';

/** What a certificate says of a stage. */
export type StageInput = Omit<DiceInput, 'hidden' | 'config'> & {
  readonly config: { readonly descriptor: Uint8Array };
};

/** As Android names the stage of a guest's system. */
export const SYSTEM_STAGE = 'vm_entry';

/** What a verifier proved of a system before it starts. */
export interface MeasuredSystem {
  /** SHA-256 of `vbmeta_a`, as the initrd's bootconfig pins it. */
  readonly vbmetaDigest: Uint8Array;
  /** The digest of the kernel's hash descriptor, and of that of the initrd which is started. */
  readonly kernelDigest: Uint8Array;
  readonly initrdDigest: Uint8Array;
  /** The trusted AVB public key in AVB's encoding. */
  readonly publicKey: Uint8Array;
  readonly rollbackIndex: bigint;
}

const modeOf = (debuggable: boolean): DiceMode => (debuggable ? 'debug' : 'normal');

/** @param instanceHash SHA-512 of the instance's id. */
export function systemStage(
  system: MeasuredSystem,
  { debuggable, instanceHash }: { readonly debuggable: boolean; readonly instanceHash: Uint8Array },
): StageInput {
  const descriptor = encodeConfigDescriptor({
    componentName: SYSTEM_STAGE,
    securityVersion: system.rollbackIndex,
    instanceHash,
  });
  return {
    codeHash: sha512(system.vbmetaDigest, system.kernelDigest, system.initrdDigest),
    config: { descriptor },
    authorityHash: sha512(system.publicKey),
    mode: modeOf(debuggable),
  };
}

/** One APK whose signature and bytes hold. */
export interface MeasuredApk {
  readonly package: string;
  readonly versionCode: bigint;
  /** Root hash of its v4 tree. */
  readonly rootHash: Uint8Array;
  /** SHA-512 of the signer's DER certificate. */
  readonly certificateDigest: Uint8Array;
}

export interface MeasuredPayload {
  /** The payload first, extra APKs behind it in their order. */
  readonly apks: readonly MeasuredApk[];
  readonly start: NonNullable<ConfigDescriptor['payload']>;
}

export function payloadStage({ apks, start }: MeasuredPayload, debuggable: boolean): StageInput {
  const parts = apks.map((apk) => ({
    name: `apk:${apk.package}`,
    version: apk.versionCode,
    codeHash: apk.rootHash,
    authorityHash: apk.certificateDigest,
  }));
  return {
    codeHash: sha512(...apks.map(({ rootHash }) => rootHash)),
    config: { descriptor: encodeConfigDescriptor(payloadDescriptor(start, parts)) },
    authorityHash: sha512(...apks.map(({ certificateDigest }) => certificateDigest)),
    mode: modeOf(debuggable),
  };
}
