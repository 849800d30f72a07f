/**
 * The library's events as a person or a program sees them: steps that are drawn anew on a terminal, plain lines elsewhere, JSON
 * lines with `--json`, warnings only with `--quiet`. All of it on stderr.
 */

import type { BuildEvent, Reporter } from '../../core/events.ts';
import { formatSize, formatTime, printable, type Terminal } from '../terminal.ts';
import { openMeter, type Meter, type ProgressEvent } from './meter.ts';

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
      return jsonProgress(terminal);
    case 'lines':
      return lineProgress(terminal, verbose);
    case 'quiet':
      return plain((event) => {
        if (event.kind !== 'warning' && event.kind !== 'error') return;
        terminal.err(lineOf(event, terminal, verbose) ?? '');
      });
  }
}

function plain(report: (event: BuildEvent) => void): Progress {
  let isOpen = true;
  return {
    report: (event) => {
      if (isOpen) report(event);
    },
    close: () => {
      isOpen = false;
      return Promise.resolve();
    },
  };
}

/** How often a program is told how far a step is, in milliseconds. */
const EVERY_MS = 200;

function jsonProgress(terminal: Terminal): Progress {
  const told = new Map<string, number>();
  return plain((event) => {
    if (event.kind === 'step-progress') {
      const now = performance.now();
      if (now - (told.get(event.step) ?? -Infinity) < EVERY_MS) return;
      told.set(event.step, now);
    } else if ('step' in event) {
      told.delete(event.step);
    }
    terminal.err(JSON.stringify(event));
  });
}

/** A step that takes longer is announced, so that nobody waits for a silent program. */
const ANNOUNCE_MS = 1000;
/** How often a line tells how far a step is. */
const TELL_MS = 10_000;

/** A line for each event; for a long step also one when it has begun, and how far it is now and then. */
function lineProgress(terminal: Terminal, verbose: boolean): Progress {
  interface Running {
    timer: NodeJS.Timeout | undefined;
    measure: string;
    readonly meter: Meter;
  }
  const running = new Map<string, Running>();
  const forget = (step: string): void => {
    clearTimeout(running.get(step)?.timer);
    running.delete(step);
  };
  const announce = (state: Running, title: string, after: number): void => {
    const tell = (): void => {
      const { measure } = state;
      terminal.err(`  ...    ${printable(title)}${measure === '' ? '' : `: ${measure}`}`);
      announce(state, title, TELL_MS);
    };
    state.timer = setTimeout(tell, after).unref();
  };
  const progress = plain((event) => {
    if (event.kind === 'step-start') {
      const state: Running = { timer: undefined, measure: '', meter: openMeter() };
      forget(event.step);
      running.set(event.step, state);
      announce(state, event.title, ANNOUNCE_MS);
    }
    const amount = 'step' in event ? running.get(event.step)?.meter.amount() : undefined;
    if (event.kind === 'step-done' || event.kind === 'step-failed') forget(event.step);
    if (event.kind === 'step-progress') {
      const state = running.get(event.step);
      if (state !== undefined) state.measure = state.meter.tell(event, performance.now());
    }
    const line = lineOf(event, terminal, verbose, amount);
    if (line !== undefined) terminal.err(line);
  });
  return {
    ...progress,
    close() {
      for (const step of running.keys()) forget(step);
      return progress.close();
    },
  };
}

/**
 * One event as one line, or undefined when a line would say nothing new.
 *
 * @param amount What was done in all, where the event has no more to say.
 */
function lineOf(
  event: BuildEvent,
  terminal: Terminal,
  verbose: boolean,
  amount?: string,
): string | undefined {
  const style: Terminal['style'] = (how, text) => terminal.style(how, text);
  switch (event.kind) {
    case 'step-start':
      return verbose ? `  ...    ${printable(event.title)}` : undefined;
    case 'step-progress':
      return undefined;
    case 'step-done': {
      const { title, detail = amount, cached, milliseconds } = event;
      const mark = cached ? style('cyan', 'cached') : `${style('green', 'done')}  `;
      const time = style('dim', `(${formatTime(milliseconds)})`);
      return `  ${mark} ${printable(title)}${detail === undefined ? '' : `: ${printable(detail)}`} ${time}`;
    }
    case 'step-failed':
      return event.stopped === true
        ? `  ${style('yellow', 'ended')}  ${printable(event.title)}`
        : `  ${style('red', 'FAILED')} ${printable(event.title)}`;
    case 'warning': {
      const { message, hint } = event;
      const help = hint === undefined ? '' : `\n  ${style('cyan', 'help:')} ${printable(hint)}`;
      return `${style('yellow', 'warning:')} ${printable(message)}${help}`;
    }
    case 'error': {
      // Of a runner in the background; our own is told behind all that is drawn.
      const { message, hint } = event;
      const lines = message.split('\n').map(printable).join('\n');
      const help = hint === undefined ? '' : `\n  ${style('cyan', 'help:')} ${printable(hint)}`;
      return `${style('red', 'error:')} ${lines}${help}`;
    }
    case 'output':
      return verbose ? `  wrote  ${printable(event.path)} ${formatSize(event.size)}` : undefined;
    case 'vm-phase': {
      const { phase, detail, milliseconds } = event;
      const time = style('dim', `(${formatTime(milliseconds)})`);
      return `  vm     ${phase}${detail === undefined ? '' : `: ${printable(detail)}`} ${time}`;
    }
  }
}

/** Steps on a terminal; the board is loaded with the first of them, as that takes longer than some commands do. */
function taskProgress(terminal: Terminal, verbose: boolean): Progress {
  interface Running {
    readonly meter: Meter;
    tell: (measure: string) => void;
    readonly end: (line: string) => void;
  }
  const { live } = terminal;
  if (live === undefined) return lineProgress(terminal, verbose);
  const running = new Map<string, Running>();
  const loadBoard = async () =>
    (await import('./board.ts')).openBoard(live, (line) => terminal.err(line));
  let board: ReturnType<typeof loadBoard> | undefined;
  let shown: Promise<unknown> = Promise.resolve();

  const start = (step: string, title: string): void => {
    let end = (_line: string): void => undefined;
    const ended = new Promise<string>((resolve) => {
      end = resolve;
    });
    const state: Running = { meter: openMeter(), tell: () => undefined, end };
    running.get(step)?.end('');
    running.set(step, state);
    board ??= loadBoard();
    const opened = board;
    const show = async (before: Promise<unknown>): Promise<void> => {
      await before;
      const drawn = (await opened).add(printable(title), ended);
      state.tell = (measure) => drawn.tell(measure);
    };
    shown = show(shown);
  };
  const measure = (event: ProgressEvent): void => {
    const state = running.get(event.step);
    state?.tell(state.meter.tell(event, performance.now()));
  };
  const progress = plain((event) => {
    const amount = 'step' in event ? running.get(event.step)?.meter.amount() : undefined;
    const line = lineOf(event, terminal, verbose, amount);
    switch (event.kind) {
      case 'step-start':
        return start(event.step, event.title);
      case 'step-progress':
        return measure(event);
      case 'step-done':
      case 'step-failed':
        running.get(event.step)?.end(line ?? '');
        running.delete(event.step);
        return undefined;
      case 'warning':
      case 'error':
      case 'output':
      case 'vm-phase':
        return line === undefined ? undefined : terminal.err(line);
    }
  });
  return {
    ...progress,
    async close() {
      await progress.close();
      for (const { end } of running.values()) end('');
      await shown;
      await (await board)?.close();
    },
  };
}
