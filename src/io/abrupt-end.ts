/**
 * What has to be done before this process ends at once, as a second Ctrl-C asks for: there is no time to wait for what is under
 * way then, so each of these works without waiting.
 */

const works = new Set<() => void>();

/** @returns takes it back. */
export function atAbruptEnd(work: () => void): () => void {
  works.add(work);
  return () => void works.delete(work);
}

/** Does all of it, the last first, whatever fails: a folder goes behind what is in it. The process must end behind it. */
export function cleanUpAbruptly(): void {
  for (const work of [...works].toReversed()) {
    try {
      work();
    } catch {
      // Nobody is there to be told, and the others are still to be done.
    }
  }
  works.clear();
}

let graces = 0;

/**
 * While a program runs that was started here and ends better when it is asked to: a process that is interrupted then waits for it
 * a while.
 *
 * @returns takes it back.
 */
export function needGrace(): () => void {
  graces += 1;
  let isNeeded = true;
  return () => {
    if (isNeeded) graces -= 1;
    isNeeded = false;
  };
}

export const isGraceNeeded = (): boolean => graces > 0;
