/** Waiting for signatures that do not depend on each other. */

import { SignaturesNeeded } from '../signing/two-phase/signers.ts';

/**
 * Waits for all, so that each has asked for its signatures and nothing is left running. Of what went wrong,
 * that a signature is made elsewhere is the last thing to say.
 */
export async function settleAll<T extends readonly unknown[]>(jobs: {
  readonly [Index in keyof T]: Promise<T[Index]>;
}): Promise<T> {
  const failures = (await Promise.allSettled(jobs)).flatMap((each) =>
    each.status === 'rejected' ? [each.reason as unknown] : [],
  );
  const failure = failures.find((each) => !(each instanceof SignaturesNeeded));
  if (failure !== undefined) throw failure;
  return Promise.all(jobs);
}
