/** Remembers a build by its stamp: what it read, what it made, and what it said. */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ATTESTATION_FILES, attestationPath } from '../bundle/attest/files.ts';
import { isArchiveName } from '../bundle/files.ts';
import type { Manifest } from '../bundle/manifest.ts';
import type { BundleMeasurements } from '../bundle/measure.ts';
import { dropStamp, writeStamp } from '../cache/build-stamp.ts';
import type { Json } from '../cache/canonical-json.ts';
import type { Cache } from '../cache/store.ts';
import type { Lock } from '../recipe/lockfile.ts';
import type { BuildOptions } from './build.ts';
import type { GuestFiles } from './guest.ts';
import type { BuildKeys } from './keys.ts';
import { watchedPaths } from './watched-paths.ts';

/** What `image` has to say of a build, now or when there is nothing to do. */
export interface StampedResult {
  readonly path: string;
  readonly manifest: Manifest;
  readonly measurements: BundleMeasurements;
}

interface StampWriter {
  /** Before the output is changed. */
  forget(): Promise<void>;
  /** When it stands. */
  write(result: StampedResult, lock: Lock): Promise<void>;
}

const NOTHING: StampWriter = {
  forget: () => Promise.resolve(),
  write: () => Promise.resolve(),
};

export function stampWriter(
  options: BuildOptions,
  { cache, guest, keys }: { cache: Cache; guest: GuestFiles; keys: BuildKeys },
): StampWriter {
  const { stamp, recipe, packageRoot, env } = options;
  if (stamp === undefined) return NOTHING;
  const { subject, inputs } = stamp;
  return {
    forget: () => dropStamp(cache, subject.output),
    async write(value, lock) {
      const made = keys.created ? developmentKeys(options, keys) : [];
      const paths = await watchedPaths({
        recipe,
        lock,
        guest,
        keys: keyReferences(options, keys).filter((key) => !made.includes(key)),
        packageRoot,
        env,
      });
      if (paths === undefined) return;
      await inputs.add(paths);
      // Keys that were made by this build are as new as its output.
      const outputs = [...(await filesOf(value.path, options)), ...made];
      await writeStamp(cache, subject, { inputs, outputs, value: value as unknown as Json });
    },
  };
}

const developmentKeys = ({ keyFolder }: BuildOptions, { image, payload }: BuildKeys): string[] => [
  ...(image.development ? [join(keyFolder, 'image.pem')] : []),
  ...(payload.development ? [join(keyFolder, 'payload.pem')] : []),
];

/** All that the signatures depend on, as references to keys; a certificate is a file like a key. */
function keyReferences(options: BuildOptions, keys: BuildKeys): string[] {
  const { signing } = options.recipe.data;
  const { image, payload, attestations } = options.keys ?? {};
  const named = [image, payload, attestations];
  return [
    ...developmentKeys(options, keys),
    named[0]?.reference ?? signing.image.key,
    named[1]?.reference ?? signing.payload.key,
    attestations?.reference,
    ...named.map((key) => key?.certificate),
    signing.payload.certificate,
  ].filter((each) => each !== undefined);
}

/** The output with all that is in it, or belongs to it. */
async function filesOf(path: string, { attestations }: BuildOptions): Promise<string[]> {
  if (isArchiveName(path)) {
    const beside = attestations === undefined ? [] : ATTESTATION_FILES;
    return [path, ...beside.map((file) => attestationPath(path, file))];
  }
  const below = await readdir(path, { recursive: true });
  return [path, ...below.map((name) => join(path, name))];
}
