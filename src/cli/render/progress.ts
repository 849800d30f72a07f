/**
 * The library's events as a person or a program sees them: a task list (listr2) on a terminal, plain
 * lines elsewhere, JSON lines with `--json`, nothing with `--quiet`. All of it on stderr.
 */

import type { BuildEvent, Reporter } from '../../core/events.ts';
import { formatSize, formatTime, type Terminal } from '../terminal.ts';

export interface Progress extends Reporter {
  /** Ends the display; later events are dropped. */
  close(): Promise<void>;
}

export type ProgressMode = 'tasks' | 'lines' | 'json' | 'quiet';

export function openProgress(mode: ProgressMode, terminal: Terminal, verbose: boolean): Progress {
  switch (mode) {
    case 'tasks':
      return taskProgress(terminal, verbose);
    case 'json':
      return plain((event) => terminal.err(JSON.stringify(event)));
    case 'lines':
      return lineProgress(terminal, verbose);
    case 'quiet':
      return plain((event) => {
        if (event.kind === 'warning') terminal.err(`warning: ${event.message}`);
      });
  }
}

function plain(report: (event: BuildEvent) => void): Progress {
  return { report, close: () => Promise.resolve() };
}

/** A step that takes longer is announced, so that nobody waits for a silent program. */
const ANNOUNCE_MS = 1000;
/** How often a line tells how far a step is. */
const TELL_MS = 10_000;

/** A line for each event; for a long step also one when it has begun, and how far it is now and then. */
function lineProgress(terminal: Terminal, verbose: boolean): Progress {
  const timers = new Map<string, NodeJS.Timeout>();
  const latest = new Map<string, string>();
  const forget = (step: string): void => {
    clearTimeout(timers.get(step));
    timers.delete(step);
    latest.delete(step);
  };
  const announce = (step: string, title: string, after: number): void => {
    const tell = (): void => {
      const done = latest.get(step);
      terminal.err(`  ...    ${title}${done === undefined ? '' : `: ${done}`}`);
      announce(step, title, TELL_MS);
    };
    timers.set(step, setTimeout(tell, after).unref());
  };
  return {
    report(event) {
      if (event.kind === 'step-start') announce(event.step, event.title, ANNOUNCE_MS);
      if (event.kind === 'step-done' || event.kind === 'step-failed') forget(event.step);
      if (event.kind === 'step-progress') {
        latest.set(event.step, `${formatSize(event.done)} of ${formatSize(event.total)}`);
      }
      const line = lineOf(event, verbose);
      if (line !== undefined) terminal.err(line);
    },
    close() {
      for (const step of timers.keys()) forget(step);
      return Promise.resolve();
    },
  };
}

/** One event as one line, or undefined when a line would say nothing new. */
function lineOf(event: BuildEvent, verbose: boolean): string | undefined {
  switch (event.kind) {
    case 'step-start':
      return verbose ? `  ... ${event.title}` : undefined;
    case 'step-progress':
      return undefined;
    case 'step-done':
      return `  ${event.cached ? 'cached' : 'done  '} ${event.title}${event.detail === undefined ? '' : `: ${event.detail}`} (${formatTime(event.milliseconds)})`;
    case 'step-failed':
      return `  FAILED ${event.title}`;
    case 'warning':
      return `warning: ${event.message}${event.hint === undefined ? '' : `\n  help: ${event.hint}`}`;
    case 'output':
      return verbose ? `  wrote  ${event.path} ${formatSize(event.size)}` : undefined;
    case 'vm-phase':
      return `  vm     ${event.phase}${event.detail === undefined ? '' : `: ${event.detail}`} (${formatTime(event.milliseconds)})`;
  }
}

interface OpenTask {
  title: string;
  /** Shows a line below the title; does nothing until the task is drawn. */
  output: (text: string) => void;
  finish: (error?: Error) => void;
}

const ignore = (): void => undefined;

function taskProgress(terminal: Terminal, verbose: boolean): Progress {
  // Only here, as loading it takes longer than some commands do.
  const listr = import('listr2');
  const open = new Map<string, OpenTask>();
  // A step is a list of one task: which steps there are is not known before they start.
  let drawn: Promise<unknown> = Promise.resolve();

  const start = (step: string, title: string): void => {
    const task: OpenTask = { title, output: ignore, finish: ignore };
    const body = new Promise<void>((resolve, reject) => {
      task.finish = (error) => (error === undefined ? resolve() : reject(error));
    });
    body.catch(ignore);
    open.set(step, task);
    const draw = async (): Promise<void> => {
      const { Listr } = await listr;
      const list = new Listr(
        [
          {
            title,
            task: async (_context, wrapper) => {
              task.output = (text) => {
                wrapper.output = text;
              };
              await body;
              wrapper.title = task.title;
            },
          },
        ],
        { exitOnError: false },
      );
      await list.run();
    };
    drawn = drawn.then(draw);
  };
  return {
    report(event) {
      switch (event.kind) {
        case 'step-start':
          return start(event.step, event.title);
        case 'step-progress':
          return open
            .get(event.step)
            ?.output(`${formatSize(event.done)} of ${formatSize(event.total)}`);
        case 'step-done': {
          const task = open.get(event.step);
          if (task === undefined) return undefined;
          const detail = event.detail === undefined ? '' : `: ${event.detail}`;
          const how = event.cached ? 'cached, ' : '';
          const time = formatTime(event.milliseconds);
          task.title = `${event.title}${terminal.style('dim', `${detail} (${how}${time})`)}`;
          return task.finish();
        }
        case 'step-failed':
          return open.get(event.step)?.finish(new Error(event.message));
        case 'warning':
        case 'output':
        case 'vm-phase': {
          const line = lineOf(event, verbose);
          if (line !== undefined) drawn = drawn.then(() => terminal.err(line));
          return undefined;
        }
      }
    },
    async close() {
      for (const task of open.values()) task.finish();
      await drawn;
    },
  };
}
