/**
 * The A/B metadata of libavb_ab in the `misc` partition: which slot boots next.
 *
 * FORMAT (big-endian): `AvbABData`, 32 bytes at offset 2048, the last 4 a CRC-32 of the others.
 *
 * @see avb_ab_flow.h
 */

import { crc32 } from 'node:zlib';
import { be } from '../struct.ts';
import { abData } from './layout.ts';

/** Where in the `misc` partition, in bytes. */
export const AB_METADATA_OFFSET = 2048;

const MAX_PRIORITY = 15;
const MAX_TRIES = 7;

/** One slot. */
export interface AbSlot {
  /** 0 to 15; 0 does not boot, the highest boots first. */
  readonly priority: number;
  /** 0 to 7. */
  readonly triesRemaining: number;
  readonly successfulBoot: boolean;
}

/**
 * @throws {RangeError} when a value is outside of what libavb_ab takes.
 */
export function encodeAbMetadata(a: AbSlot, b: AbSlot): Uint8Array {
  for (const { priority, triesRemaining } of [a, b]) {
    if (priority > MAX_PRIORITY || triesRemaining > MAX_TRIES) {
      throw new RangeError(
        `Cannot store priority ${priority} and ${triesRemaining} tries: at most ${MAX_PRIORITY} and ${MAX_TRIES} are allowed`,
      );
    }
  }
  const data = abData.encode({
    magic: new TextEncoder().encode('\0AB0'),
    version_major: 1,
    version_minor: 0,
    reserved1: new Uint8Array(2),
    a_priority: a.priority,
    a_tries_remaining: a.triesRemaining,
    a_successful_boot: Number(a.successfulBoot),
    a_reserved: 0,
    b_priority: b.priority,
    b_tries_remaining: b.triesRemaining,
    b_successful_boot: Number(b.successfulBoot),
    b_reserved: 0,
    reserved2: new Uint8Array(12),
  });
  const out = new Uint8Array(data.length + be.u32.size);
  out.set(data);
  be.u32.write(new DataView(out.buffer), data.length, crc32(data));
  return out;
}
