/** Waiting for signatures that do not depend on each other. */

import { SignaturesNeeded } from '../signing/two-phase/signers.ts';

/**
 * Waits for both, so that each has asked for its signatures and nothing is left running. Of what went wrong,
 * that a signature is made elsewhere is the last thing to say.
 */
export async function settleBoth<A, B>(a: Promise<A>, b: Promise<B>): Promise<[A, B]> {
  const failures = (await Promise.allSettled([a, b])).flatMap((each) =>
    each.status === 'rejected' ? [each.reason as unknown] : [],
  );
  const failure = failures.find((each) => !(each instanceof SignaturesNeeded));
  if (failure !== undefined) throw failure;
  return Promise.all([a, b]);
}
