/**
 * The provenance of a bundle: SLSA 1.0. What was asked for and what it was made of are the same for each build of the same
 * thing; who built it, and when, is told beside that. No level is claimed: that is for those to say who judge the builder.
 *
 * @see https://slsa.dev/spec/v1.0/provenance
 */

import { sha256, toHex } from '../../core/digest.ts';
import { BUNDLE_FILES } from '../../bundle/layout.ts';
import { measurementsOf } from '../../bundle/measurements.ts';
import type { DigestSet, ResourceDescriptor } from '../../formats/dsse/statement.ts';
import { formatLock } from '../../recipe/lockfile.ts';
import { LOCK_FILE } from '../../recipe/names.ts';
import type { AttestedBundle } from './attested-bundle.ts';
import { materialsOf, type Material } from './materials.ts';

/** What `docs/attestations.md` describes. */
export const BUILD_TYPE = 'urn:microbuild:image:v1';
/** Somebody's machine, of which nothing is known. */
export const LOCAL_BUILDER = 'urn:microbuild:builder:local';

/** How a build was asked for, and what is known of its running. */
export interface BuildRun {
  /** URI of who builds: what is trusted to tell the truth here. */
  readonly builderId: string;
  /** What was asked for on the command line and decides the output, but for profiles and variables. */
  readonly options: Readonly<Record<string, string | boolean>>;
  readonly invocationId?: string | undefined;
  readonly startedOn?: Date | undefined;
  readonly finishedOn?: Date | undefined;
}

/** The predicate of SLSA. */
export function describeProvenance(
  bundle: AttestedBundle,
  run: BuildRun,
): Readonly<Record<string, unknown>> {
  const { manifest, record } = bundle;
  const [main] = record.recipe.files;
  const time = (date: Date): string => date.toISOString().replace(/\.\d+Z$/, 'Z');
  return {
    buildDefinition: {
      buildType: BUILD_TYPE,
      externalParameters: {
        recipe: { path: main?.path ?? '', digest: { sha256: main?.sha256 ?? '' } },
        profiles: record.recipe.profiles,
        vars: record.recipe.vars,
        options: run.options,
      },
      internalParameters: {
        arch: manifest.arch,
        sourceDateEpoch: record.sourceDate,
        kernelRelease: record.kernel.release,
        keys: manifest.keys,
      },
      resolvedDependencies: dependenciesOf(bundle),
    },
    runDetails: {
      builder: { id: run.builderId, version: { microbuild: record.microbuild } },
      metadata: {
        ...(run.invocationId !== undefined && { invocationId: run.invocationId }),
        ...(run.startedOn && { startedOn: time(run.startedOn) }),
        ...(run.finishedOn && { finishedOn: time(run.finishedOn) }),
      },
      byproducts: byproductsOf(bundle),
    },
  };
}

/** Recipe, lock and materials. Crates of the guest's programs went into those, and not into this build. */
function dependenciesOf({ record, lock }: AttestedBundle): readonly ResourceDescriptor[] {
  const lockText = record.lock === null ? undefined : formatLock(lock);
  return [
    ...record.recipe.files.map(({ path, sha256: digest }) => ({
      name: path,
      digest: { sha256: digest },
      annotations: { kind: 'recipe' },
    })),
    ...(lockText === undefined
      ? []
      : [
          {
            name: LOCK_FILE,
            digest: { sha256: toHex(sha256(new TextEncoder().encode(lockText))) },
            annotations: { kind: 'lock' },
          },
        ]),
    ...materialsOf(record, lock)
      .filter(({ kind }) => kind !== 'crate')
      .map(descriptorOf),
  ];
}

function descriptorOf(material: Material): ResourceDescriptor {
  const { kind, ref, name, version, purl, url, inputs } = material;
  const digest = digestsOf(material);
  const known = kind === 'commit' && url !== undefined ? `git+${url}@${version}` : purl;
  // Something must say which one it is.
  const place =
    digest === undefined ? `urn:microbuild:input:${encodeURIComponent(ref)}` : undefined;
  const uri = known ?? place;
  return {
    name,
    ...(uri !== undefined && { uri }),
    ...(digest && { digest }),
    ...(kind === 'archive' && url !== undefined && { downloadLocation: url }),
    annotations: {
      kind,
      ...(inputs.length > 0 && { askedForBy: inputs.map(({ at }) => at) }),
    },
  };
}

/** A commit is known by its own name, too. */
function digestsOf({ kind, version, digest }: Material): DigestSet | undefined {
  return kind === 'commit' && version !== undefined ? { gitCommit: version, ...digest } : digest;
}

/** What others measure of the bundle, and no file of it has as its digest. */
function byproductsOf({ manifest }: AttestedBundle): readonly ResourceDescriptor[] {
  const { vbmetaDigest, partitions } = measurementsOf(manifest);
  const disk = BUNDLE_FILES.os;
  return [
    { name: `${disk}#vbmeta_a`, digest: { sha256: vbmetaDigest } },
    ...Object.entries(partitions).map(([name, digest]) => ({
      name: `${disk}#${name}_a`,
      digest: { [digest.length === 64 ? 'dmverity-sha256' : 'dmverity-sha512']: digest },
    })),
  ];
}
