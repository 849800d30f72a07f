/** What `microbuild explain` says of exit codes: complete, or it does not compile. */

import { page, type ErrorPage } from '../core/error-page.ts';
import type { EXIT } from './exit-code.ts';

export const exitPages: Readonly<Record<keyof typeof EXIT, ErrorPage>> = {
  ok: page('Done; of diff and check: the same.', 'Nothing', 'microbuild diff a b && echo same'),
  failed: page(
    'It failed; of diff and check: different, or a gate is broken.',
    'The message says why',
    'microbuild diff a b --max-growth 1MiB',
  ),
  usage: page(
    'The command line, the recipe, the lock or a key file is not usable as given.',
    'Mend what the message names',
    'microbuild image recipes/hello --locked',
  ),
  verification: page(
    'Verification failed: do not use what was verified.',
    'The message names the broken link; microbuild explain LINK tells of it',
    'microbuild verify out/hello',
  ),
  environment: page(
    'This machine lacks something.',
    'The message says what and how to get it; microbuild doctor tells all at once',
    'microbuild doctor',
  ),
  signaturesNeeded: page(
    'Signatures are still needed; nothing was written but what is to be signed.',
    'Sign the files of the folder and attach the signatures',
    'microbuild sign app.apk --attach requests/',
  ),
  internal: page(
    'A bug in microbuild.',
    'Report it with the lines that were printed',
    'error: This is a bug in microbuild; please report it with these lines',
  ),
  timeout: page(
    'run --timeout ran out.',
    'Raise it, or look at what the guest does: microbuild logs NAME',
    'microbuild run out/hello --timeout 60',
  ),
  runner: page(
    'The machine died without a result.',
    'The message names the reason; microbuild explain REASON tells of it',
    'microbuild run out/hello',
  ),
  refused: page(
    'The guest refused to run the payload.',
    'The message names the broken link',
    'microbuild run out/hello',
  ),
  hungUp: page(
    'Its terminal was closed (SIGHUP); nothing is left half-written.',
    'Run it again, behind nohup or in a session of its own where it must live on',
    'nohup microbuild image recipes/hello',
  ),
  interrupted: page(
    'It was interrupted by Ctrl-C (SIGINT); nothing is left half-written.',
    'Run it again',
    'microbuild image recipes/hello',
  ),
  brokenPipe: page(
    'Whoever read the results has left.',
    'Nothing, where that was meant',
    'microbuild inspect os.img | head',
  ),
  terminated: page(
    'It was told to end (SIGTERM), as pipelines do at their time limit; nothing is left half-written.',
    'Raise the time limit, and run it again: what was done is in the cache',
    'microbuild image recipes/hello',
  ),
};
