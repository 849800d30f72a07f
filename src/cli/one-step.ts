import { createGraph, type StepNote } from '../builder/graph.ts';
import type { CommandContext } from './command.ts';

/** Runs the one step of a command, and reports it as those of a build. */
export async function runOneStep<T>(
  context: Pick<CommandContext, 'reporter' | 'signal'>,
  name: string,
  title: string,
  work: (note: StepNote) => Promise<T>,
): Promise<T> {
  const graph = createGraph(context);
  const step = graph.step({ name, title, needs: [] }, (_, { note }) => work(note));
  await graph.run();
  return step.result();
}
