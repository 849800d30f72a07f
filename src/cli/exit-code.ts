/** The exit codes of microbuild, stable and documented in docs/cli.md. */

import {
  EnvironmentError,
  FormatError,
  MicrobuildError,
  RecipeError,
  UsageError,
  VerificationError,
} from '../core/errors.ts';

export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  verification: 3,
  environment: 4,
  /** `--attach`: signatures are still needed, and nothing was written but what is to be signed. */
  signaturesNeeded: 5,
  internal: 70,
  /** `run --timeout` ran out. */
  timeout: 124,
  /** `run`: the runner itself failed. */
  runner: 125,
  /** `run`: the guest refused the payload. */
  refused: 126,
  /** By SIGHUP: its terminal is gone. This one and the others as a shell reports signals. */
  hungUp: 129,
  /** By SIGINT, as Ctrl-C sends it. */
  interrupted: 130,
  /** Nobody reads stdout any more; as a shell reports SIGPIPE. */
  brokenPipe: 141,
  /** By SIGTERM, as pipelines send it. */
  terminated: 143,
} as const;

/**
 * @param verifying Whether the command judges bytes: then malformed bytes are a failed verification.
 */
export function exitCodeOf(error: unknown, verifying: boolean): number {
  if (error instanceof RecipeError || error instanceof UsageError) return EXIT.usage;
  if (error instanceof VerificationError) return EXIT.verification;
  if (error instanceof FormatError) return verifying ? EXIT.verification : EXIT.failed;
  if (error instanceof EnvironmentError) return EXIT.environment;
  if (error instanceof MicrobuildError) return EXIT.failed;
  if (error instanceof Error && error.name === 'AbortError') return EXIT.interrupted;
  return isSystemError(error) ? EXIT.failed : EXIT.internal;
}

/** An error of the operating system, such as ENOSPC: nobody's bug. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string';
}
