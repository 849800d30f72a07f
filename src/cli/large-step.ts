/** A step of work that is reported while it runs, when there is enough of it to wonder. */

import type { CommandContext } from './command.ts';

/** Work on less than this, in bytes, is done before anybody wonders. */
const SHOWN_SIZE = 1 << 28;

export interface LargeStep {
  /** Stable name of the step in events. */
  readonly name: string;
  readonly title: string;
  /** How much there is to do, in bytes. */
  readonly total: number;
  /** From how much on it is reported. */
  readonly shownSize?: number;
}

/** Does work and reports it as a step: started, how far, done or failed. */
export async function largeStep<T>(
  { reporter, signal }: CommandContext,
  { name: step, title, total, shownSize = SHOWN_SIZE }: LargeStep,
  work: (onProgress: (done: number) => void) => Promise<T>,
): Promise<T> {
  if (total < shownSize) return work(() => undefined);
  const start = performance.now();
  reporter.report({ kind: 'step-start', step, title });
  try {
    const result = await work((done) =>
      reporter.report({ kind: 'step-progress', step, done, total }),
    );
    const milliseconds = Math.round(performance.now() - start);
    reporter.report({ kind: 'step-done', step, title, cached: false, milliseconds });
    return result;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const stopped = signal.aborted ? { stopped: true } : {};
    reporter.report({ kind: 'step-failed', step, title, message, ...stopped });
    throw error;
  }
}
