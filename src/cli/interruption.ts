/** Why a command ends early. */

import { EXIT } from './exit-code.ts';

/** The reason of the abortion that a signal asks for; as such an `AbortError`. */
export class Interruption extends DOMException {
  /** As a shell has it: 128 and the number of the signal. */
  readonly exitCode: number;

  constructor(exitCode: number) {
    super('The command was interrupted', 'AbortError');
    this.exitCode = exitCode;
  }
}

/** The exit code of a command whose signal was aborted. */
export function exitCodeOfInterruption({ reason }: AbortSignal): number {
  return reason instanceof Interruption ? reason.exitCode : EXIT.interrupted;
}
