/** Runs one step of a build and reports it. */

import type { Reporter } from '../core/events.ts';

/** What a step tells when it is done. */
export interface StepNote {
  /** One line of result, such as a digest or a size. */
  detail?: string;
  /** Whether the result came from the cache. */
  cached?: boolean;
}

/**
 * Reports the start of `work`, runs it, and reports its end with its time.
 *
 * @param step Stable dotted name.
 * @param work Fills the note that it is given.
 * @throws what `work` throws, and an AbortError when the build was interrupted before.
 */
export async function runStep<T>(
  context: { readonly reporter: Reporter; readonly signal?: AbortSignal | undefined },
  step: string,
  title: string,
  work: (note: StepNote) => Promise<T>,
): Promise<T> {
  context.signal?.throwIfAborted();
  const started = performance.now();
  const note: StepNote = {};
  context.reporter.report({ kind: 'step-start', step, title });
  try {
    const result = await work(note);
    context.reporter.report({
      kind: 'step-done',
      step,
      title,
      ...(note.detail === undefined ? {} : { detail: note.detail }),
      cached: note.cached ?? false,
      milliseconds: performance.now() - started,
    });
    return result;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    context.reporter.report({ kind: 'step-failed', step, title, message });
    throw error;
  }
}
