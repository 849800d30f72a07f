/**
 * A guest of a few instructions, so that the runner's life cycle can be tested without a Linux: an ELF
 * with a Xen PVH note (entered in flat 32-bit mode) that writes texts to the two serial ports and then
 * powers off, resets or hangs.
 */

import { writeFileSync } from 'node:fs';

const LOAD_ADDRESS = 0x100000;
const COM1 = 0x3f8;
const COM2 = 0x2f8;
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

export interface TinyGuest {
  /** Written to ttyS0. */
  readonly console?: string;
  /** Written to ttyS1. */
  readonly reason?: string;
  /** `echo` sends back what comes in on ttyS0, for ever. */
  readonly end: 'poweroff' | 'reset' | 'hang' | 'echo';
}

const u16 = (value: number): number[] => [value & 0xff, value >> 8];
const u32 = (value: number): number[] => [...u16(value & 0xffff), ...u16(value >>> 16)];
const u64 = (value: number): number[] => [...u32(value), 0, 0, 0, 0];

/** `mov esi, text`, `mov edx, port`, then `lodsb; test al, al; jz end; out dx, al; jmp`. */
const print = (port: number, address: number): number[] =>
  [
    [0xbe],
    u32(address),
    [0xba],
    u32(port),
    [0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8],
  ].flat();

/** Port 0x604 is the q35's PM1a control register, 0xcf9 its reset control register. */
const ENDINGS: Readonly<Record<TinyGuest['end'], readonly number[]>> = {
  poweroff: [[0xba], u32(0x604), [0xb8], u32(0x2000), [0x66, 0xef]].flat(),
  reset: [[0xba], u32(0xcf9), [0xb0, 0x06, 0xee]].flat(),
  hang: [],
  // `L: mov edx, status; W: in al, dx; test al, 1; jz W; mov edx, data; in al, dx; out dx, al; jmp L`
  echo: [
    [0xba],
    u32(COM1 + 5),
    [0xec, 0xa8, 0x01, 0x74, 0xfb],
    [0xba],
    u32(COM1),
    [0xec, 0xee, 0xeb, 0xed],
  ].flat(),
};
/** `cli; hlt; jmp`. */
const HALT = [0xfa, 0xf4, 0xeb, 0xfc];

const programHeader = (type: number, offset: number, address: number, size: number): number[] =>
  [
    u32(type),
    u32(7),
    ...[offset, address, address, size, size, 4].map((value) => u64(value)),
  ].flat();

/** Writes the guest's kernel to `path`. */
export function writeTinyGuest(path: string, guest: TinyGuest): void {
  const console = [...Buffer.from(guest.console ?? ''), 0];
  const reason = [...Buffer.from(guest.reason ?? ''), 0];
  const assemble = (first: number, second: number): number[] =>
    [print(COM1, first), print(COM2, second), ENDINGS[guest.end], HALT].flat();
  const headers = 64 + 2 * 56;
  const name = [...Buffer.from('Xen\0')];
  const note = [u32(4), u32(8), u32(XEN_ELFNOTE_PHYS32_ENTRY), name, u64(LOAD_ADDRESS)].flat();
  const textAt = LOAD_ADDRESS + assemble(0, 0).length;
  const image = [assemble(textAt, textAt + console.length), console, reason].flat();
  const elf = [
    [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [u16(2), u16(62), u32(1), u64(LOAD_ADDRESS), u64(64), u64(0), u32(0)].flat(),
    [64, 56, 2, 0, 0, 0].flatMap((value) => u16(value)),
    programHeader(1, headers + note.length, LOAD_ADDRESS, image.length),
    programHeader(4, headers, 0, note.length),
    note,
    image,
  ];
  writeFileSync(path, Uint8Array.from(elf.flat()));
}
