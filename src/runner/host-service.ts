/**
 * What the host serves to its guest: IVirtualMachineService, on vsock port = the guest's CID. Codes 1
 * to 6 are Android's, those from 101 on are ours: docs/guest-interface.md.
 */

import { MicrobuildError, VerificationError } from '../core/errors.ts';
import { serveInterface } from './aidl/call.ts';
import { parseAidl } from './aidl/parse.ts';
import { type PayloadVersion, type VmInstance, ephemeralInstance } from './instance/instance.ts';
import type { LocalBinder } from './rpc/binder.ts';
import { BinderException, EX_SERVICE_SPECIFIC } from './rpc/errors.ts';
import { writeOk } from './rpc/status.ts';

const VIRTUAL_MACHINE_SERVICE = parseAidl(
  `package android.system.virtualmachineservice;
   interface IVirtualMachineService {
     void notifyPayloadStarted() = 0;
     void notifyPayloadReady() = 1;
     void notifyPayloadFinished(int exitCode) = 2;
     void notifyError(int errorCode, String message) = 3;
     byte[] requestAttestation(in byte[] csr, boolean testMode) = 4;
     byte[] takeDiceHandover() = 100;
     boolean isNewInstance() = 101;
     void admitPayload(in String[] packages, in long[] versionCodes, in String[] signers) = 102;
   }`,
  'IVirtualMachineService.aidl',
);
/** Returns a binder, or null as here. */
const GET_SECRETKEEPER = 6;

const EX_ILLEGAL_ARGUMENT = -3;
const EX_ILLEGAL_STATE = -5;
const EX_UNSUPPORTED_OPERATION = -7;
/** Of admitPayload: the instance has run a newer version. */
const ERROR_ROLLBACK = 1;

/** A guest's text for people; more of it would only fill the screen. */
const MAX_MESSAGE = 4096;
/** More APKs than a payload has. */
const MAX_PACKAGES = 64;

export interface GuestNotifications {
  started(): void;
  ready(): void;
  finished(exitCode: number): void;
  error(code: number, message: string): void;
}

/** @param instance Whose secrets the guest gets; by default those of one that is gone with the machine. */
export function virtualMachineService(
  guest: GuestNotifications,
  instance: VmInstance = ephemeralInstance(),
): LocalBinder {
  let handed: Uint8Array | undefined;
  const service = serveInterface(VIRTUAL_MACHINE_SERVICE, {
    notifyPayloadStarted: () => guest.started(),
    notifyPayloadReady: () => guest.ready(),
    notifyPayloadFinished: ([exitCode]) => guest.finished(Number(exitCode)),
    notifyError: ([code, message]) =>
      guest.error(Number(code), typeof message === 'string' ? message.slice(0, MAX_MESSAGE) : ''),
    requestAttestation: () => {
      throw new BinderException(EX_UNSUPPORTED_OPERATION, 'the machine is not protected');
    },
    takeDiceHandover: async () => {
      handed = await asException(async () => instance.takeHandover());
      return handed;
    },
    isNewInstance: () => instance.isNew,
    admitPayload: async ([packages, versionCodes, signers]) => {
      const payload = payloadVersions(packages, versionCodes, signers);
      return asException(async () => instance.admitPayload(payload));
    },
  });
  return {
    descriptor: service.descriptor,
    async onTransact(code, data, reply, context) {
      if (code === GET_SECRETKEEPER) {
        writeOk(reply);
        reply.binder(null);
        return;
      }
      await service.onTransact(code, data, reply, context);
      // The reply has a copy by now, which goes with it.
      handed?.fill(0);
    },
  };
}

/** Our errors, in the terms of the interface. */
async function asException<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof VerificationError) {
      const detail = `${error.message}: ${error.expected ?? ''}, found ${error.actual ?? ''}`;
      throw new BinderException(EX_SERVICE_SPECIFIC, detail, ERROR_ROLLBACK);
    }
    if (!(error instanceof MicrobuildError) || error instanceof BinderException) throw error;
    throw new BinderException(EX_ILLEGAL_STATE, error.message);
  }
}

function payloadVersions(
  packages: unknown,
  versionCodes: unknown,
  signers: unknown,
): readonly PayloadVersion[] {
  const refuse = (why: string): never => {
    throw new BinderException(EX_ILLEGAL_ARGUMENT, why);
  };
  if (!Array.isArray(packages) || !Array.isArray(versionCodes) || !Array.isArray(signers)) {
    return refuse('an array is null');
  }
  const count = packages.length;
  if (count === 0 || count > MAX_PACKAGES || versionCodes.length !== count) {
    return refuse(`not the same number of packages and versions, 1 to ${MAX_PACKAGES}`);
  }
  if (signers.length !== count) return refuse('not the same number of packages and signers');
  return packages.map((name: unknown, i) => {
    const versionCode: unknown = versionCodes[i];
    const signer: unknown = signers[i];
    if (typeof name !== 'string' || !/^[!-~]{1,255}$/.test(name)) {
      return refuse('a package has no name of 1 to 255 letters');
    }
    if (typeof signer !== 'string' || !/^[0-9a-f]{64}$/.test(signer)) {
      return refuse('a signer is no SHA-256 in hex');
    }
    if (typeof versionCode !== 'bigint') return refuse('a version is no number');
    // Android's long; the guest's version codes have 64 bits without a sign.
    return { package: name, signer, versionCode: BigInt.asUintN(64, versionCode) };
  });
}
