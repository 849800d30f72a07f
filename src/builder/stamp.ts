/** Remembers a build by its stamp: what it read, what it made, and what it said. */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ATTESTATION_FILES, attestationPath } from '../bundle/attest/files.ts';
import { isArchiveName } from '../bundle/files.ts';
import type { Manifest } from '../bundle/manifest.ts';
import type { BundleMeasurements } from '../bundle/measure.ts';
import { dropStamp, lookAtInputs, writeStamp, type LateInputs } from '../cache/build-stamp.ts';
import type { Json } from '../cache/canonical-json.ts';
import type { Cache } from '../cache/store.ts';
import type { FileReader } from '../io/file-signatures.ts';
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

export interface StampWriter {
  /** Before the output is changed. */
  forget(): Promise<void>;
  /** Looks at all that the build reads. @param lock Which does not change any more. */
  look(lock: Lock): Promise<void>;
  /** When the output stands. @param isOurs Whether it still does: another build may have replaced it. */
  write(result: StampedResult, isOurs: () => Promise<boolean>): Promise<void>;
}

const NOTHING: StampWriter = {
  forget: () => Promise.resolve(),
  look: () => Promise.resolve(),
  write: () => Promise.resolve(),
};

export function stampWriter(
  options: BuildOptions,
  {
    cache,
    guest,
    keys,
    reader,
  }: { cache: Cache; guest: GuestFiles; keys: BuildKeys; reader: FileReader },
): StampWriter {
  const { stamp, recipe, packageRoot, env } = options;
  if (stamp === undefined) return NOTHING;
  const { subject, inputs } = stamp;
  const made = keys.created ? developmentKeys(options, keys) : [];
  let looking: Promise<LateInputs | undefined> | undefined;
  const lookNow = async (lock: Lock): Promise<LateInputs | undefined> => {
    const paths = await watchedPaths({
      recipe,
      lock,
      guest,
      keys: keyReferences(options, keys).filter((key) => !made.includes(key)),
      packageRoot,
      env,
    });
    return paths && lookAtInputs(inputs, paths, reader);
  };
  return {
    forget: () => dropStamp(cache, subject.output),
    async look(lock) {
      looking = lookNow(lock);
      // A build that cannot be remembered is one: whoever writes that down says so.
      await looking.catch(() => undefined);
    },
    async write(value, isOurs) {
      const others = await looking;
      if (others === undefined) return;
      // Keys that were made by this build are as new as its output.
      const outputs = [...(await filesOf(value.path, options)), ...made];
      const contents = {
        inputs,
        others,
        outputs,
        isOurs,
        value: value as unknown as Json,
      };
      await writeStamp(cache, subject, contents, reader);
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
  // Another build may be replacing it: then it is not vouched for.
  const below = await readdir(path, { recursive: true }).catch(() => []);
  return [path, ...below.map((name) => join(path, name))];
}
