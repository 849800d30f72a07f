/** Booting: a whole bundle until its payload is ready, against the same kernel that only starts an init. */

import { spawnSync } from 'node:child_process';
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { INIT_WORD } from './boot-once.ts';
import type { Work, WorkOptions } from './works.ts';

/** The quotient of the times that is promised: 1.25. */
const AT_LEAST = 1 / 1.25;
const RUNS = 7;
/** Raised when the input changes in another way than the program that makes it. */
const VERSION = 1;

const u16 = (value: number): number[] => [value & 0xff, value >> 8];
const u32 = (value: number): number[] => [...u16(value & 0xffff), ...u16(value >>> 16)];
const u64 = (value: number): number[] => [...u32(value), 0, 0, 0, 0];

const LOAD_ADDRESS = 0x400000;

/** A static program for Linux on x86-64 that writes one line and waits for ever. */
function smallestInit(): Uint8Array {
  const text = [...Buffer.from(`${INIT_WORD}\n`)];
  const headers = 64 + 56;
  const code = (textAt: number): number[] =>
    [
      // write(1, text, size)
      [0xb8, ...u32(1), 0xbf, ...u32(1), 0xbe, ...u32(textAt), 0xba, ...u32(text.length)],
      [0x0f, 0x05],
      // pause() again and again
      [0xb8, ...u32(34), 0x0f, 0x05, 0xeb, 0xf7],
    ].flat();
  const size = headers + code(0).length + text.length;
  return Uint8Array.from(
    [
      [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      [u16(2), u16(62), u32(1), u64(LOAD_ADDRESS + headers), u64(64), u64(0), u32(0)].flat(),
      [64, 56, 1, 0, 0, 0].flatMap((value) => u16(value)),
      [u32(1), u32(5)].flat(),
      [0, LOAD_ADDRESS, LOAD_ADDRESS, size, size, 0x1000].flatMap((value) => u64(value)),
      code(LOAD_ADDRESS + headers + code(0).length),
      text,
    ].flat(),
  );
}

/** A cpio archive (newc) with that program as `/init`, and the device that its output goes to. */
function emptyInitrd(): Buffer {
  const member = (name: string, mode: number, content: Uint8Array, rdev: [number, number]) => {
    const fields = [0, mode, 0, 0, 1, 0, content.length, 0, 0, ...rdev, name.length + 1, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
    const padded = (bytes: Buffer): Buffer =>
      Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
    return Buffer.concat([padded(Buffer.from(`${header}${name}\0`)), padded(Buffer.from(content))]);
  };
  const nothing = new Uint8Array(0);
  return Buffer.concat([
    member('dev', 0o40755, nothing, [0, 0]),
    member('dev/console', 0o20600, nothing, [5, 1]),
    member('init', 0o100755, smallestInit(), [0, 0]),
    member('TRAILER!!!', 0, nothing, [0, 0]),
  ]);
}

export function bootWorks({ root, inputs, hasProgram }: WorkOptions): Work[] {
  if (!hasProgram('qemu-system-x86_64')) return [];
  const bundle = join(inputs, `hello-v${VERSION}`);
  const initrd = join(inputs, `empty-initrd-v${VERSION}`);
  const boot = (name: string, ...args: readonly string[]) => ({
    name,
    steps: [
      {
        program: process.execPath,
        args: [resolve(root, 'target/bench/boot-once.js'), root, bundle, ...args],
      },
    ],
    outputs: [],
    time: /^boot (\d+\.\d+)$/m,
  });
  return [
    {
      name: 'boot',
      what: 'recipes/hello until its payload is ready, and its kernel until an empty initrd’s init',
      input() {
        makeBundle(root, bundle);
        if (!existsSync(initrd)) writeFileSync(initrd, emptyInitrd());
        return bundle;
      },
      ours: () => boot('microbuild'),
      peers: () => [boot('empty initrd', initrd)],
      bars: [{ peer: 'empty initrd', atLeast: AT_LEAST }],
      runs: RUNS,
    },
  ];
}

/** Made anew each time: what is measured is the guest as it is now. */
function makeBundle(root: string, bundle: string): void {
  const made = `${bundle}.new`;
  rmSync(made, { recursive: true, force: true });
  const microbuild = resolve(root, 'bin/microbuild.js');
  const { status, stderr } = spawnSync(
    process.execPath,
    [microbuild, 'image', resolve(root, 'recipes/hello'), '-o', made, '--quiet'],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`The bundle could not be made: ${stderr}`);
  rmSync(bundle, { recursive: true, force: true });
  renameSync(made, bundle);
}
