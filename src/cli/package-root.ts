import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of microbuild's package.json: two folders above this file, in `src/` and in `dist/`. */
export const packageRoot: string = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
