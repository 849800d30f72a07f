/** How far a step is, in words: `3.1 MiB of 45 MiB, 6 %, 1.5 MiB/s`. */

import type { BuildEvent } from '../../core/events.ts';
import { formatSize } from '../terminal.ts';

export type ProgressEvent = Extract<BuildEvent, { kind: 'step-progress' }>;

/** Before that a rate would be chance. */
const MEASURED_MS = 500;

export interface Meter {
  /** How far it is; `now` is in milliseconds. */
  tell(event: ProgressEvent, now: number): string;
  /** How much was done in the end; undefined where nobody said. */
  amount(): string | undefined;
}

export function openMeter(): Meter {
  let first: { readonly done: number; readonly at: number } | undefined;
  let last: ProgressEvent | undefined;
  const amountOf = (count: number, unit: string): string =>
    unit === 'bytes' ? formatSize(count) : `${count}`;
  const tell = (event: ProgressEvent, now: number): string => {
    const { done, total, unit = 'bytes' } = event;
    first ??= { done, at: now };
    last = event;
    const amount = (count: number): string => amountOf(count, unit);
    const passed = now - first.at;
    const rate = ((done - first.done) / passed) * 1000;
    const known = total > 0;
    return [
      known
        ? `${amount(done)} of ${amount(Math.max(done, total))}${unit === 'bytes' ? '' : ` ${unit}`}`
        : `${amount(done)}${unit === 'bytes' ? '' : ` ${unit}`}`,
      ...(known ? [`${Math.min(100, Math.floor((done / total) * 100))} %`] : []),
      ...(unit === 'bytes' && passed >= MEASURED_MS && rate > 0
        ? [`${formatSize(Math.round(rate))}/s`]
        : []),
    ].join(', ');
  };
  return {
    tell,
    amount() {
      if (last === undefined) return undefined;
      const { done, unit = 'bytes' } = last;
      return unit === 'bytes' ? amountOf(done, unit) : `${done} ${unit}`;
    },
  };
}
