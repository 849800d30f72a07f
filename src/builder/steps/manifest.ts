/** The manifest of a bundle: what was made, link by link. */

import type { Manifest, ManifestFile, ManifestPayload } from '../../bundle/manifest.ts';
import { sha256, toHex } from '../../core/digest.ts';
import type { Lock } from '../../recipe/lockfile.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { avbPublicKey } from '../../signing/avb/public-key.ts';
import { certificateDigest } from '../../signing/x509.ts';
import type { BuildKeys } from '../keys.ts';
import { debsUsed } from '../lock.ts';
import type { WrittenBoot } from '../boot-step.ts';
import type { WrittenOs } from '../os-step.ts';
import type { RecipePayload } from '../payloads.ts';
import type { WrittenPayload } from './payload.ts';

export interface ManifestParts {
  readonly keys: BuildKeys;
  readonly certificates: readonly string[];
  readonly os: Pick<WrittenOs, 'vbmeta' | 'partitions'>;
  readonly boot: WrittenBoot['digests'];
  /** The default one first; interfaces are their files in the bundle. */
  readonly payloads: readonly {
    readonly payload: RecipePayload;
    readonly written: WrittenPayload;
    readonly interfaces: readonly string[];
  }[];
  /** Of a kernel that is a file of the recipe. */
  readonly kernelInputs: Manifest['inputs'];
  readonly lock: Lock;
  readonly files: readonly ManifestFile[];
}

const byName = ({ name: a }: { name: string }, { name: b }: { name: string }): number =>
  a < b ? -1 : a > b ? 1 : 0;

export function describeBundle(recipe: Recipe, parts: ManifestParts): Manifest {
  const { data } = recipe;
  const { keys, os, boot } = parts;
  const { system, ...partitions } = os.partitions;
  const [main, ...further] = parts.payloads;
  if (main === undefined || system === undefined) throw new TypeError('Both are always there');
  return {
    schemaVersion: 1,
    name: data.name,
    arch: data.arch,
    release: keys.image.development || keys.payload.development ? 'development' : 'release',
    keys: {
      image: {
        sha256: toHex(sha256(avbPublicKey(keys.image.signer.publicKey))),
        development: keys.image.development,
      },
      payload: {
        sha256: toHex(certificateDigest(keys.payload.certificateDer, 'sha256')),
        development: keys.payload.development,
      },
    },
    chain: {
      kernelDigest: toHex(boot.kernel),
      initrdNormalDigest: toHex(boot.normal),
      initrdDebuggableDigest: toHex(boot.debuggable),
      vbmetaDigest: toHex(sha256(os.vbmeta)),
      systemRootDigest: toHex(system.rootDigest),
      ...(Object.keys(partitions).length > 0 && {
        partitionRootDigests: Object.fromEntries(
          Object.entries(partitions).map(([name, { rootDigest }]) => [name, toHex(rootDigest)]),
        ),
      }),
      payloadCertificates: parts.certificates,
      ...apkDigests(main.written),
      rollbackIndex: data.signing.image.rollbackIndex,
    },
    payload: payloadOf(main),
    ...(further.length > 0 && {
      payloads: Object.fromEntries(
        further.map((each) => [
          each.payload.name ?? '',
          { ...payloadOf(each), ...apkDigests(each.written) },
        ]),
      ),
    }),
    inputs: [
      ...parts.kernelInputs,
      ...debsUsed(recipe, parts.lock).map((deb) => ({
        name: deb.package,
        version: deb.version,
        sha256: deb.sha256,
      })),
    ].sort(byName),
    files: parts.files.toSorted(({ path: a }, { path: b }) => (a < b ? -1 : 1)),
  };
}

const apkDigests = ({
  apkRoot,
  extraApkRoots,
}: WrittenPayload): {
  readonly apkRootDigest: string;
  readonly extraApkRootDigests?: string[];
} => ({
  apkRootDigest: toHex(apkRoot),
  ...(extraApkRoots.length > 0 && { extraApkRootDigests: extraApkRoots.map(toHex) }),
});

const payloadOf = ({
  payload: { data, rpcPort },
  written,
  interfaces,
}: ManifestParts['payloads'][number]): ManifestPayload => ({
  package: data.package,
  versionCode: data.versionCode,
  entry: written.command,
  rpcPort: rpcPort ?? null,
  interfaces,
});
