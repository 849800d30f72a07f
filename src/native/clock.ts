/** The processor's time stamp counter, which Node has no way to read. */

import { callAsync, type NativeLibrary } from './library.ts';

/**
 * Its frequency in kHz, measured on another thread over so many milliseconds (1 to 1000).
 *
 * @returns undefined on processors without one.
 */
export async function measureTscKhz(
  library: NativeLibrary,
  milliseconds: number,
): Promise<number | undefined> {
  const measure = library.func('uint64_t mb_tsc_khz(uint32_t milliseconds)');
  const khz = Number(await callAsync(measure, milliseconds));
  return khz === 0 ? undefined : khz;
}
