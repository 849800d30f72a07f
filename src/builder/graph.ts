/**
 * The steps of a build, and what each needs of others. Those that need nothing of each other run at the same time.
 *
 * A step is a function of what it needs: in which order steps run, and how many at once, does not show in what
 * they make.
 */

import { availableParallelism } from 'node:os';
import type { Reporter } from '../core/events.ts';

/** What a step tells when it is done. */
export interface StepNote {
  /** One line of result, such as a digest or a size. */
  detail?: string;
  /** Whether the result came from the cache. */
  cached?: boolean;
}

export interface StepContext {
  readonly note: StepNote;
  /** Aborted with the build, and when another step fails. */
  readonly signal: AbortSignal;
  /** Reports how much is done, in bytes unless the title says otherwise. */
  readonly progress: (done: number, total: number) => void;
}

export interface StepDefinition<Needs extends readonly Step<unknown>[]> {
  /** Stable dotted name, such as `system.image`. */
  readonly name: string;
  /** For people; a step without one is too small to be told of. */
  readonly title?: string;
  readonly needs: Needs;
}

/** Stands for the result of a step before there is one. */
export interface Step<T> {
  readonly name: string;
  /** @throws {TypeError} before the step is done. */
  readonly result: () => T;
}

type Results<Needs extends readonly Step<unknown>[]> = {
  readonly [Index in keyof Needs]: Needs[Index] extends Step<infer T> ? T : never;
};

export interface Schedule {
  /** How many steps run at once; default one for each processor and one more: steps also wait. */
  readonly width?: number;
  /** For tests: which of so many steps that can start does; default the one that was added first. */
  readonly choose?: (ready: number) => number;
}

export interface Graph {
  /** Adds a step. It can need only what was added before, so there are no circles. */
  step<const Needs extends readonly Step<unknown>[], T>(
    definition: StepDefinition<Needs>,
    work: (needs: Results<Needs>, context: StepContext) => Promise<T>,
  ): Step<T>;
  /**
   * Runs all steps. Once only.
   *
   * @throws what the step throws that failed first. All others were told to stop, and have.
   */
  run(): Promise<void>;
}

interface Node {
  readonly definition: StepDefinition<readonly Step<unknown>[]>;
  readonly run: (context: StepContext) => Promise<void>;
}

export function createGraph(
  { reporter, signal }: { readonly reporter: Reporter; readonly signal?: AbortSignal | undefined },
  { width = availableParallelism() + 1, choose = () => 0 }: Schedule = {},
): Graph {
  const nodes: Node[] = [];
  const failure = new AbortController();
  const stop = signal === undefined ? failure.signal : AbortSignal.any([signal, failure.signal]);
  return {
    step<Needs extends readonly Step<unknown>[], T>(
      definition: StepDefinition<Needs>,
      work: (needs: Results<Needs>, context: StepContext) => Promise<T>,
    ): Step<T> {
      let made: { readonly value: T } | undefined;
      nodes.push({
        definition,
        async run(context) {
          const needs = definition.needs.map((step) => step.result()) as Results<Needs>;
          made = { value: await work(needs, context) };
        },
      });
      return {
        name: definition.name,
        result() {
          if (made === undefined) throw new TypeError(`${definition.name} is not done`);
          return made.value;
        },
      };
    },

    async run() {
      const waiting = [...nodes];
      const done = new Set<string>();
      const running = new Set<Promise<void>>();
      const failures: unknown[] = [];
      const start = async (node: Node): Promise<void> => {
        try {
          await runNode(node, reporter, stop);
          done.add(node.definition.name);
        } catch (error) {
          failures.push(error);
          failure.abort(error);
        }
      };
      for (;;) {
        while (!stop.aborted && running.size < width) {
          const ready = waiting.filter(({ definition }) =>
            definition.needs.every((step) => done.has(step.name)),
          );
          const next = ready[choose(ready.length)];
          if (next === undefined) break;
          waiting.splice(waiting.indexOf(next), 1);
          const work: Promise<void> = start(next).finally(() => running.delete(work));
          running.add(work);
        }
        if (running.size === 0) break;
        await Promise.race(running);
      }
      signal?.throwIfAborted();
      if (failures.length > 0) throw failures[0];
      if (waiting.length > 0) throw new TypeError(`${waiting[0]?.definition.name} never was ready`);
    },
  };
}

/** Runs one step and reports its start, and its end with its time. */
async function runNode(
  { definition: { name: step, title }, run }: Node,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const started = performance.now();
  const note: StepNote = {};
  const report: Reporter['report'] = (event) => {
    if (title !== undefined) reporter.report(event);
  };
  const progress = (done: number, total: number): void =>
    report({ kind: 'step-progress', step, done, total });
  const name = title ?? '';
  report({ kind: 'step-start', step, title: name });
  try {
    await run({ note, signal, progress });
    report({
      kind: 'step-done',
      step,
      title: name,
      ...(note.detail === undefined ? {} : { detail: note.detail }),
      cached: note.cached ?? false,
      milliseconds: performance.now() - started,
    });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const stopped = signal.aborted ? { stopped: true } : {};
    report({ kind: 'step-failed', step, title: name, message, ...stopped });
    throw error;
  }
}
