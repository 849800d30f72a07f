/**
 * What the library reports while it works. The library never prints: it hands these values to a
 * `Reporter`, which the command line renders as a task list, as lines or as JSON.
 */

/** A step of a build or of a run, named by a stable dotted path such as `system.image`. */
export type BuildEvent =
  | { readonly kind: 'step-start'; readonly step: string; readonly title: string }
  | {
      readonly kind: 'step-progress';
      readonly step: string;
      /** Units of work done and in all; bytes unless the title says otherwise. */
      readonly done: number;
      readonly total: number;
    }
  | {
      readonly kind: 'step-done';
      readonly step: string;
      readonly title: string;
      /** One line of result, such as a digest or a size. */
      readonly detail?: string;
      readonly cached: boolean;
      readonly milliseconds: number;
    }
  | {
      readonly kind: 'step-failed';
      readonly step: string;
      readonly title: string;
      readonly message: string;
    }
  | { readonly kind: 'warning'; readonly message: string; readonly hint?: string }
  | {
      readonly kind: 'output';
      readonly path: string;
      readonly size: number;
      readonly sha256: string;
    }
  | {
      readonly kind: 'vm-phase';
      /** `starting`, `started`, `ready`, `finished`, `error`, `dead`. */
      readonly phase: string;
      readonly detail?: string;
      readonly milliseconds: number;
    };

/** Receives events; must not throw. */
export interface Reporter {
  report(event: BuildEvent): void;
}

/** Drops everything. */
export const silentReporter: Reporter = { report: () => undefined };
