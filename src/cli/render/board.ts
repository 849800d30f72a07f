/**
 * Steps on a terminal: listr2 keeps each as a task, and what is here draws them on stderr: those that run at the bottom, one line
 * each, with what they have done and how long they take; those that are done above, for good.
 *
 * listr2's own renderer draws all tasks anew all the time, on stdout, and none that comes later.
 */

import { Listr, Spinner, type ListrTaskObject } from 'listr2';
import { cutTo, widthOf, type LiveArea } from '../live-area.ts';
import { formatTime } from '../terminal.ts';

export interface Board {
  /** Shows a step until its end is told. @param end What stands there for good then. */
  add(title: string, end: Promise<string>): BoardStep;
  /** Resolves when the ends of all are written. */
  close(): Promise<void>;
}

export interface BoardStep {
  /** Tells how far it is. */
  tell(measure: string): void;
}

type Task = ListrTaskObject<unknown>;

/** From when on a line tells how long it has taken, in milliseconds. */
const TIMED_MS = 1000;
const FRAME_MS = 100;
/** Of a title that makes room for its figures. */
const LEAST_TITLE = 12;

/** @param write Writes a line above the live ones. */
export function openBoard(live: LiveArea, write: (line: string) => void): Board {
  const running = new Map<Task, number>();
  const ends = new Set<Promise<unknown>>();
  const spinner = new Spinner();
  const draw = (): void => {
    const now = performance.now();
    live.show(
      [...running].map(([task, started]) =>
        liveLine(spinner.fetch(), task, now - started, live.columns()),
      ),
    );
  };
  const options = {
    // The program ends itself, in order; listr2 would leave what is half-written.
    registerSignalListeners: false,
    renderer: class {
      static readonly nonTTY = true;
      static readonly rendererOptions = {};
      static readonly rendererTaskOptions = {};
      readonly #tasks: readonly Task[];

      constructor(tasks: readonly Task[]) {
        this.#tasks = tasks;
      }

      render = (): void => {
        if (running.size === 0) spinner.start(draw, FRAME_MS);
        for (const task of this.#tasks) running.set(task, performance.now());
      };

      end = (): void => {
        for (const task of this.#tasks) running.delete(task);
        if (running.size === 0) spinner.stop();
        draw();
        for (const { title } of this.#tasks) if (title) write(title);
      };
    },
  };
  return {
    add(title, end) {
      let told = '';
      let tell = (measure: string): void => {
        told = measure;
      };
      const list = new Listr(
        [
          {
            title,
            task: async (_, task) => {
              task.output = told;
              tell = (measure) => {
                task.output = measure;
              };
              task.title = await end;
            },
          },
        ],
        options,
      );
      const ended: Promise<unknown> = list.run().finally(() => ends.delete(ended));
      ends.add(ended);
      return { tell: (measure) => tell(measure) };
    },
    async close() {
      await Promise.all(ends);
    },
  };
}

/** One line of a step that runs; where it is narrow its figures are there still. */
function liveLine(
  frame: string,
  { title = '', output }: Task,
  passed: number,
  room: number,
): string {
  const measure = output === undefined || output === '' ? '' : `: ${output}`;
  const time = passed < TIMED_MS ? '' : ` (${formatTime(passed)})`;
  const figures = `${measure}${time}`;
  const left = room - widthOf(frame) - 1 - widthOf(figures);
  const head = left >= LEAST_TITLE ? cutTo(title, left) : title;
  return `${frame} ${head}${figures}`;
}
