/** Everything that a run serves while it lasts: the guest's service, its log, forwards, the control socket. */

import { rm } from 'node:fs/promises';
import { type ControlServer, type Controlled, serveControl } from './control.ts';
import { type Forward, openForward } from './forward.ts';
import { GuestLog, LOG_PORT } from './guest-log.ts';
import { type GuestNotifications, virtualMachineService } from './host-service.ts';
import type { VmInstance } from './instance/instance.ts';
import { RotatingLog } from './rotating-log.ts';
import { RpcServer } from './rpc/server.ts';
import type { VmForward } from './vm-options.ts';
import type { VmmVsock } from './vmm/vmm.ts';

export interface HostServicesOptions {
  readonly runDir: string;
  readonly vsock: VmmVsock;
  readonly logFile: string;
  readonly forwards: readonly VmForward[];
  readonly isRunning: () => boolean;
  readonly guest: GuestNotifications;
  /** Whose secrets the guest gets; default one that nobody keeps. */
  readonly instance: VmInstance | undefined;
  readonly controlled: Controlled;
}

export class HostServices {
  readonly #options: HostServicesOptions;
  readonly #service: RpcServer;
  readonly #forwards: Forward[] = [];
  #control: ControlServer | undefined;
  #guestLog: GuestLog | undefined;
  #log: RotatingLog | undefined;

  private constructor(options: HostServicesOptions) {
    this.#options = options;
    const { guest, instance } = options;
    this.#service = new RpcServer({ root: virtualMachineService(guest, instance) });
  }

  /** Listens everywhere; what was opened before a failure is closed again. */
  static async open(options: HostServicesOptions): Promise<HostServices> {
    const services = new HostServices(options);
    try {
      await services.#listen();
      return services;
    } catch (error) {
      await services.close();
      throw error;
    }
  }

  async #listen(): Promise<void> {
    const { runDir, vsock, logFile, forwards, isRunning, controlled } = this.#options;
    await this.#service.listen(this.#socketOf(vsock.cid));
    this.#log = await RotatingLog.open(logFile);
    this.#guestLog = await GuestLog.listen(this.#socketOf(LOG_PORT), this.#log);
    this.#control = await serveControl(runDir, controlled);
    for (const forward of forwards) {
      this.#forwards.push(await openForward(forward, vsock.hostSocket, isRunning));
    }
  }

  async close(): Promise<void> {
    for (const forward of this.#forwards) await forward.close();
    await this.#service.close();
    await this.#guestLog?.close();
    await this.#log?.close();
    await this.#control?.close();
    const { vsock } = this.#options;
    for (const port of [vsock.cid, LOG_PORT]) await rm(this.#socketOf(port), { force: true });
  }

  /** Where the guest's connections to a port of the host arrive. */
  #socketOf(port: number): string {
    return `${this.#options.vsock.hostSocket}_${port}`;
  }
}
