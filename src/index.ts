/** The public API of microbuild: re-exports only. */
export * from './core/errors.ts';
export type { BuildEvent, Reporter } from './core/events.ts';
