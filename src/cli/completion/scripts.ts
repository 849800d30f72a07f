/** The completion scripts, of the package's folder `completion`: each asks `microbuild __complete`, and hands the answer to its shell. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../package-root.ts';

/** By shell, under the names that their folders of completions want. */
const FILES = { bash: 'microbuild.bash', zsh: '_microbuild', fish: 'microbuild.fish' } as const;

export type Shell = keyof typeof FILES;

export const SHELLS = Object.keys(FILES) as readonly Shell[];

export const completionScript = (shell: Shell): string =>
  readFileSync(join(packageRoot, 'completion', FILES[shell]), 'utf8').trimEnd();
