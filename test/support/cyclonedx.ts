/** The schemas of CycloneDX, as the project's own library has them. */

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);

/** Folder with `bom-1.6.SNAPSHOT.schema.json` and what it refers to. */
export const cyclonedxSchemas: string = join(
  dirname(require.resolve('@cyclonedx/cyclonedx-library/package.json')),
  'res',
  'schema',
);
