import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createGraph, type Schedule, type Step } from '../../../src/builder/graph.ts';
import type { BuildEvent } from '../../../src/core/events.ts';
import { silentReporter } from '../../../src/core/events.ts';

const quiet = { reporter: silentReporter };
const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a graph of steps', () => {
  test('gives each step what it needs', async () => {
    const graph = createGraph(quiet);
    const two = graph.step({ name: 'two', needs: [] }, () => Promise.resolve(2));
    const word = graph.step({ name: 'word', needs: [] }, () => Promise.resolve('x'));
    const both = graph.step({ name: 'both', needs: [two, word] }, async ([count, text]) =>
      Promise.resolve(text.repeat(count)),
    );
    await graph.run();
    expect(both.result()).toBe('xx');
  });

  test('runs what is independent at the same time, and never more than its width', async () => {
    for (const width of [1, 3]) {
      const graph = createGraph(quiet, { width });
      let running = 0;
      let most = 0;
      for (let index = 0; index < 9; index++) {
        graph.step({ name: `${index}`, needs: [] }, async () => {
          running++;
          most = Math.max(most, running);
          await pause();
          running--;
        });
      }
      await graph.run();
      expect(most).toBe(width);
    }
  });

  test('makes the same of any order and width', async () => {
    // Each step names some of those before it; its result is made of theirs.
    const shapes = fc.array(fc.array(fc.nat(), { maxLength: 3 }), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(
        shapes,
        fc.integer({ min: 1, max: 5 }),
        fc.infiniteStream(fc.nat()),
        async (shape, width, choices) => {
          const run = async (schedule: Schedule): Promise<string | undefined> => {
            const graph = createGraph(quiet, schedule);
            const steps: Step<string>[] = [];
            for (const [index, wanted] of shape.entries()) {
              const needs = [
                ...new Set(wanted.flatMap((each) => steps[each % (index || 1)] ?? [])),
              ];
              steps.push(
                graph.step({ name: `${index}`, needs }, async (results) => {
                  await pause();
                  return `${index}(${results.join()})`;
                }),
              );
            }
            await graph.run();
            return steps.at(-1)?.result();
          };
          const choose = (ready: number): number =>
            (choices.next().value as number) % Math.max(1, ready);
          expect(await run({ width, choose })).toBe(await run({ width: 1 }));
        },
      ),
      { numRuns: 50 },
    );
  });

  test('tells the others to stop when one fails, waits for them, and starts no more', async () => {
    const graph = createGraph(quiet, { width: 2 });
    let stopped = false;
    let late = false;
    graph.step({ name: 'long', needs: [] }, async (_, { signal }) => {
      while (!signal.aborted) await pause();
      stopped = true;
    });
    const bad = graph.step({ name: 'bad', needs: [] }, () => Promise.reject(new Error('broken')));
    graph.step({ name: 'late', needs: [bad] }, () => {
      late = true;
      return Promise.resolve();
    });
    await expect(graph.run()).rejects.toThrow('broken');
    expect({ stopped, late }).toEqual({ stopped: true, late: false });
  });

  test('ends with the reason of its signal', async () => {
    const control = new AbortController();
    const graph = createGraph({ ...quiet, signal: control.signal });
    graph.step({ name: 'long', needs: [] }, async (_, { signal }) => {
      control.abort(new Error('enough'));
      await pause();
      signal.throwIfAborted();
    });
    await expect(graph.run()).rejects.toThrow('enough');
  });

  test('reports the steps that have a title', async () => {
    const events: BuildEvent[] = [];
    const graph = createGraph({ reporter: { report: (event) => events.push(event) } });
    graph.step({ name: 'a.b', title: 'A', needs: [] }, (_, { note, progress }) => {
      note.detail = 'fine';
      progress(1, 2);
      return Promise.resolve();
    });
    graph.step({ name: 'c', needs: [] }, () => Promise.resolve());
    await graph.run();
    expect(events.map(({ kind }) => kind)).toEqual(['step-start', 'step-progress', 'step-done']);
    expect(events.at(-1)).toMatchObject({ step: 'a.b', detail: 'fine', cached: false });
  });
});
