/**
 * Boots a bundle once and prints for how long: `node boot-once.js ROOT BUNDLE` until its payload is ready,
 * `node boot-once.js ROOT BUNDLE INITRD` until the init of another initrd speaks, in the same machine without disks.
 * The time counts from the start of the machine's processes.
 */

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

/** What the init of an empty initrd writes to the console. */
export const INIT_WORD = 'init was reached';

const POLL_MILLISECONDS = 1;
const GIVE_UP_MILLISECONDS = 120_000;
const TSC_CALIBRATION_MS = 20;

interface Vm {
  readonly consoleFile: string;
  readonly reached: (phase: 'ready') => Promise<boolean>;
  readonly stop: () => Promise<unknown>;
}
interface Modules {
  readonly startVm: (options: object, context: object) => Promise<Vm>;
  readonly loadNativeLibrary: () => Promise<object | undefined>;
  readonly measureTscKhz: (library: object, milliseconds: number) => Promise<number | undefined>;
}

/** @returns seconds. */
async function bootOnce(root: string, bundle: string, initrd?: string): Promise<number> {
  const load = async (path: string): Promise<unknown> =>
    import(pathToFileURL(resolve(root, 'dist', path)).href);
  const modules = Object.assign(
    {},
    ...(await Promise.all(['runner/session.js', 'native/library.js', 'native/clock.js'].map(load))),
  ) as Modules;
  const library = await modules.loadNativeLibrary();
  const disks = ['os', 'payload'].map((name) => ({
    file: join(bundle, `${name}.img`),
    serial: name,
  }));
  // Short, because sockets have short paths.
  const registry = mkdtempSync(join(tmpdir(), 'mbb-'));
  let began = performance.now();
  const reporter = {
    report(event: { readonly kind: string; readonly phase?: string }): void {
      if (event.kind === 'vm-phase' && event.phase === 'starting') began = performance.now();
    },
  };
  try {
    const vm = await modules.startVm(
      {
        name: 'bench',
        kernel: join(bundle, 'kernel'),
        initrd: initrd ?? join(bundle, 'initrd.img'),
        disks: initrd === undefined ? disks : [],
        memoryMib: 128,
        cpus: 1,
        tscKhz: library && (await modules.measureTscKhz(library, TSC_CALIBRATION_MS)),
      },
      { registry, reporter },
    );
    const reached =
      initrd === undefined ? await vm.reached('ready') : await hasSpoken(vm.consoleFile, began);
    const seconds = (performance.now() - began) / 1000;
    await vm.stop();
    if (!reached) throw new Error('The machine ended before');
    return seconds;
  } finally {
    rmSync(registry, { recursive: true, force: true });
  }
}

async function hasSpoken(consoleFile: string, began: number): Promise<boolean> {
  while (performance.now() - began < GIVE_UP_MILLISECONDS) {
    if (existsSync(consoleFile) && readFileSync(consoleFile, 'latin1').includes(INIT_WORD)) {
      return true;
    }
    await sleep(POLL_MILLISECONDS);
  }
  return false;
}

const [, program, root, bundle, initrd] = process.argv;
if (program?.endsWith('boot-once.js') === true && root !== undefined && bundle !== undefined) {
  process.stdout.write(`boot ${(await bootOnce(root, bundle, initrd)).toFixed(3)}\n`);
}
