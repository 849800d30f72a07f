/** What the host serves to its guest: IVirtualMachineService, on vsock port = the guest's CID. */

import { serveInterface } from './aidl/call.ts';
import { parseAidl } from './aidl/parse.ts';
import type { LocalBinder } from './rpc/binder.ts';

/** The methods of Android's interface that a guest of ours calls; all are two-way, so acknowledged. */
const VIRTUAL_MACHINE_SERVICE = parseAidl(
  `package android.system.virtualmachineservice;
   interface IVirtualMachineService {
     void notifyPayloadStarted();
     void notifyPayloadReady();
     void notifyPayloadFinished(int exitCode);
     void notifyError(int errorCode, String message);
   }`,
  'IVirtualMachineService.aidl',
);

/** A guest's text for people; more of it would only fill the screen. */
const MAX_MESSAGE = 4096;

export interface GuestNotifications {
  started(): void;
  ready(): void;
  finished(exitCode: number): void;
  error(code: number, message: string): void;
}

export function virtualMachineService(guest: GuestNotifications): LocalBinder {
  return serveInterface(VIRTUAL_MACHINE_SERVICE, {
    notifyPayloadStarted: () => guest.started(),
    notifyPayloadReady: () => guest.ready(),
    notifyPayloadFinished: ([exitCode]) => guest.finished(Number(exitCode)),
    notifyError: ([code, message]) =>
      guest.error(Number(code), String(message).slice(0, MAX_MESSAGE)),
  });
}
