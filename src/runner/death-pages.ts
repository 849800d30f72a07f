/** What `microbuild explain` says of the reasons by which machines die: complete, or it does not compile. */

import { page, type ErrorPage } from '../core/error-page.ts';
import type { DeathReason } from './life-cycle.ts';

export const deathPages: Readonly<
  Record<DeathReason | 'MICROBUILD_OS_VERIFICATION_FAILED', ErrorPage>
> = {
  VIRTUALIZATION_SERVICE_DIED: page(
    'The runner that watched the machine is gone, so nobody saw its end.',
    'Look whether the runner was killed: microbuild ps, and the kernel’s log for an out-of-memory kill',
    'hello: died (VIRTUALIZATION_SERVICE_DIED)',
  ),
  INFRASTRUCTURE_ERROR: page(
    'The runner could not watch the machine to its end: its monitor or vsock backend failed.',
    'Read what the monitor said: microbuild logs NAME; microbuild doctor tells what is missing',
    'hello: died (INFRASTRUCTURE_ERROR)',
  ),
  KILLED: page(
    'The machine was ended from outside: by microbuild stop, Ctrl-C, a signal or --timeout.',
    'Nothing, where that was meant; else raise --timeout',
    'microbuild run out/hello --timeout 60',
  ),
  UNKNOWN: page(
    'The machine ended, and nothing says why.',
    'Read the console: microbuild logs NAME',
    'hello: died (UNKNOWN)',
  ),
  SHUTDOWN: page(
    'The guest powered off.',
    'Nothing: this is how a machine ends when its payload has',
    'hello: died (SHUTDOWN)',
  ),
  START_FAILED: page(
    'The monitor could not start the machine.',
    'Read what it said; microbuild doctor tells what is missing, such as /dev/kvm',
    'hello: died (START_FAILED)',
  ),
  REBOOT: page(
    'The guest reset itself, which ends it here.',
    'Read the console: microbuild logs NAME',
    'hello: died (REBOOT)',
  ),
  CRASH: page(
    'The guest’s kernel panicked, or the monitor crashed. A corrupt block of the system makes the kernel panic, too.',
    'Read the last lines of the console; verify the bundle: microbuild verify',
    'hello: died (CRASH)',
  ),
  PVM_FIRMWARE_PUBLIC_KEY_MISMATCH: page(
    'The firmware of a protected machine was given a kernel of another key.',
    'Sign with the key that the firmware trusts; here the runner checks before it starts a machine',
    'hello: died (PVM_FIRMWARE_PUBLIC_KEY_MISMATCH)',
  ),
  PVM_FIRMWARE_INSTANCE_IMAGE_CHANGED: page(
    'The firmware of a protected machine saw another image than the instance had before.',
    'Use a new instance, or the image that belongs to this one',
    'hello: died (PVM_FIRMWARE_INSTANCE_IMAGE_CHANGED)',
  ),
  MICRODROID_FAILED_TO_CONNECT_TO_VIRTUALIZATION_SERVICE: page(
    'The guest could not reach the host over vsock.',
    'Check the vsock backend: microbuild doctor; in the guest, that the module is loaded',
    'hello: died (MICRODROID_FAILED_TO_CONNECT_TO_VIRTUALIZATION_SERVICE)',
  ),
  MICRODROID_PAYLOAD_HAS_CHANGED: page(
    'The payload is another than the one that this instance has run.',
    'Use another instance, or the payload that belongs to this one',
    'microbuild run out/hello --instance new',
  ),
  MICRODROID_PAYLOAD_VERIFICATION_FAILED: page(
    'The guest does not trust the payload: its signature, its certificate or its idsig does not hold.',
    'Verify the bundle on the host, which names the link: microbuild verify',
    'hello: refused (MICRODROID_PAYLOAD_VERIFICATION_FAILED)',
  ),
  MICRODROID_INVALID_PAYLOAD_CONFIG: page(
    'The guest cannot use the payload’s configuration.',
    'Mend assets/vm_config.json of the APK; microbuild verify says what is wrong with it',
    'hello: refused (MICRODROID_INVALID_PAYLOAD_CONFIG)',
  ),
  MICRODROID_UNKNOWN_RUNTIME_ERROR: page(
    'The guest failed in a way that has no name of its own.',
    'Read the console, which has its message: microbuild logs NAME',
    'hello: died (MICRODROID_UNKNOWN_RUNTIME_ERROR)',
  ),
  HANGUP: page(
    'The payload was not started in time.',
    'Read the console; on a slow machine without KVM give it more memory and time',
    'hello: died (HANGUP)',
  ),
  WATCHDOG_REBOOT: page(
    'The guest’s watchdog reset it: nothing moved for too long.',
    'Read the console for what it was doing',
    'hello: died (WATCHDOG_REBOOT)',
  ),
  MICROBUILD_OS_VERIFICATION_FAILED: page(
    'The guest’s init does not trust the system: the bootconfig, the vbmeta, the system or a further partition.',
    'Verify the bundle on the host, which names the link: microbuild verify',
    'hello: refused (MICROBUILD_OS_VERIFICATION_FAILED)',
  ),
};
