/**
 * What the library reports while it works. The library never prints: it hands these values to a
 * `Reporter`, which the command line renders as a task list, as lines or as JSON.
 *
 * `EVENTS` is the one description of them: the types below and schema/events.schema.json come from it.
 */

/** Raised when a field or a kind changes or goes; new ones are no reason. */
export const EVENTS_VERSION = 1;

export interface EventField {
  /** Integers are whole and not negative, numbers not negative. */
  readonly type: 'string' | 'integer' | 'number' | 'boolean';
  readonly describe: string;
  readonly optional?: true;
  readonly enum?: readonly string[];
  readonly pattern?: string;
}

export interface EventKind {
  readonly describe: string;
  readonly fields: Readonly<Record<string, EventField>>;
}

const step = {
  type: 'string',
  describe: 'Stable dotted name, such as system.image',
} as const satisfies EventField;
const title = {
  type: 'string',
  describe: 'What it does, for people',
} as const satisfies EventField;
const milliseconds = { type: 'number', describe: 'How long it took' } as const satisfies EventField;

/** What work is counted in, where it is not bytes. */
const UNITS = ['bytes', 'inodes'] as const;

export const EVENTS = {
  'step-start': { describe: 'A step begins; several run at once', fields: { step, title } },
  'step-progress': {
    describe: 'How far a step is, now and then',
    fields: {
      step,
      done: { type: 'integer', describe: 'Units of work done' },
      total: { type: 'integer', describe: 'Units of work in all; 0 where nobody knows' },
      unit: { type: 'string', enum: UNITS, optional: true, describe: 'Default: bytes' },
    },
  },
  'step-done': {
    describe: 'A step is done',
    fields: {
      step,
      title,
      detail: {
        type: 'string',
        optional: true,
        describe: 'One line of result, such as a digest or a size',
      },
      cached: { type: 'boolean', describe: 'Whether its result was there before' },
      milliseconds,
    },
  },
  'step-failed': {
    describe: 'A step failed, or ended with the whole',
    fields: {
      step,
      title,
      message: { type: 'string', describe: 'Why' },
      stopped: {
        type: 'boolean',
        optional: true,
        describe: 'Whether it only was told to stop: another one failed, or all was interrupted',
      },
    },
  },
  warning: {
    describe: 'Something to look at, which stops nothing',
    fields: {
      message: { type: 'string', describe: 'What it is' },
      hint: { type: 'string', optional: true, describe: 'What to do about it' },
    },
  },
  error: {
    describe: 'It failed, or was interrupted: the last event; stdout has more of it',
    fields: {
      exitCode: { type: 'integer', describe: 'As the command ends' },
      message: { type: 'string', describe: 'What failed, and why' },
      hint: { type: 'string', optional: true, describe: 'What to do about it' },
    },
  },
  output: {
    describe: 'A file of the result stands, whole',
    fields: {
      path: { type: 'string', describe: 'Its path' },
      size: { type: 'integer', describe: 'In bytes' },
      sha256: { type: 'string', pattern: '^[0-9a-f]{64}$', describe: 'Its digest' },
    },
  },
  'vm-phase': {
    describe: 'A machine came further',
    fields: {
      phase: { type: 'string', describe: 'starting, started, ready, finished, error or dead' },
      detail: { type: 'string', optional: true, describe: 'More of it, such as an exit code' },
      milliseconds: { type: 'number', describe: 'Since its start' },
    },
  },
} as const satisfies Readonly<Record<string, EventKind>>;

type ValueOf<F extends EventField> = F extends { readonly enum: readonly (infer Word)[] }
  ? Word
  : { string: string; integer: number; number: number; boolean: boolean }[F['type']];

type OptionalOf<F> = {
  [Name in keyof F]: F[Name] extends { readonly optional: true } ? Name : never;
}[keyof F];

type EventOf<K, F extends Readonly<Record<string, EventField>>> = { readonly kind: K } & {
  readonly [Name in Exclude<keyof F, OptionalOf<F>>]: ValueOf<F[Name]>;
} & { readonly [Name in OptionalOf<F>]?: ValueOf<F[Name]> };

/** A step of a build or of a run, a warning, a file that stands, or what a machine does. */
export type BuildEvent = {
  [K in keyof typeof EVENTS]: EventOf<K, (typeof EVENTS)[K]['fields']>;
}[keyof typeof EVENTS];

/** Receives events; must not throw. */
export interface Reporter {
  report(event: BuildEvent): void;
}

/** Drops everything. */
export const silentReporter: Reporter = { report: () => undefined };
