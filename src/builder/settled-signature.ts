/** The stat signature of a file that was just written, for those who remember it. */

import { setTimeout } from 'node:timers/promises';
import { isSettled, plainFileReader } from '../io/file-signatures.ts';

const MAX_WAIT_MILLISECONDS = 100;
const POLL_MILLISECONDS = 5;

/** Of the file itself, where the path is that of a link. */
export const signatureOf = (path: string): Promise<Uint32Array> =>
  plainFileReader.signatures([path], { follow: false });

/** The signature once a later change would show; undefined where there is nothing, or that takes too long. */
export async function settledSignature(path: string): Promise<Uint32Array | undefined> {
  const deadline = Date.now() + MAX_WAIT_MILLISECONDS;
  for (;;) {
    const moment = Date.now();
    const words = await signatureOf(path);
    if (words[0] !== 0) return undefined;
    if (isSettled(words, 0, moment)) return words;
    if (moment > deadline) return undefined;
    await setTimeout(POLL_MILLISECONDS);
  }
}
