/**
 * The bill of materials of a bundle: CycloneDX 1.6. Equal bundles have equal ones: its number comes from its content, its time
 * is the one of the build's output.
 *
 * @see https://cyclonedx.org/docs/1.6/json/
 */

import { sha256 } from '../../core/digest.ts';
import { partitionLabel } from '../../bundle/layout.ts';
import { measurementsOf } from '../../bundle/measurements.ts';
import type { ApkParts, DigestedPart } from '../../bundle/attest/payload-parts.ts';
import { deriveUuid, uuidText } from '../../verity/uuid.ts';
import type { AttestedBundle } from './attested-bundle.ts';
import { materialsOf, type Material, type MaterialKind } from './materials.ts';

/** One value of `type` of CycloneDX 1.6. */
type ComponentType = 'application' | 'container' | 'file' | 'library' | 'operating-system';

interface Component {
  readonly type: ComponentType;
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version?: string;
  readonly hashes?: readonly { readonly alg: 'SHA-256'; readonly content: string }[];
  readonly licenses?: readonly { readonly expression: string }[];
  readonly purl?: string;
  readonly externalReferences?: readonly { readonly type: string; readonly url: string }[];
  readonly properties?: readonly { readonly name: string; readonly value: string }[];
  readonly components?: readonly Component[];
}

/** A document of CycloneDX, as JSON has it. */
export type Bom = Readonly<Record<string, unknown>>;

const TYPES: Readonly<Record<MaterialKind, ComponentType>> = {
  package: 'library',
  kernel: 'operating-system',
  image: 'container',
  commit: 'library',
  archive: 'file',
  local: 'file',
  guest: 'application',
  crate: 'library',
};

const BUNDLE_REF = 'bundle';
const partitionRef = (name: string): string => `partition:${name}`;
const payloadRef = (name: string | null, index: number): string =>
  `${name === null ? 'payload' : `payload:${name}`}${index === 0 ? '' : `#${index}`}`;

/** The whole document. */
export function describeBom(bundle: AttestedBundle): Bom {
  const { record, manifest } = bundle;
  const materials = materialsOf(record, bundle.lock);
  const body = {
    metadata: {
      timestamp: new Date(record.sourceDate * 1000).toISOString().replace('.000Z', 'Z'),
      lifecycles: [{ phase: 'build' }],
      tools: {
        components: [{ type: 'application', name: 'microbuild', version: record.microbuild }],
      },
      component: bundleComponent(bundle),
    },
    components: [
      ...partitionComponents(bundle),
      ...bundle.payloads.flatMap(({ name, apks }) =>
        apks.map((apk, index) => apkComponent(apk, payloadRef(name, index))),
      ),
      ...materials.map(materialComponent),
    ],
    dependencies: dependenciesOf(bundle, materials),
  };
  const seed = sha256(new TextEncoder().encode(JSON.stringify(body)));
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${uuidText(deriveUuid(`microbuild bom ${manifest.name}`, seed))}`,
    version: 1,
    ...body,
  };
}

/** One form for each document: two spaces, one newline at the end. */
export const formatBom = (bom: Bom): string => `${JSON.stringify(bom, undefined, 2)}\n`;

const hashesOf = (digest: string | undefined): Pick<Component, 'hashes'> =>
  digest === undefined ? {} : { hashes: [{ alg: 'SHA-256', content: digest }] };

const property = (name: string, value: string): { name: string; value: string } => ({
  name: `microbuild:${name}`,
  value,
});

function bundleComponent({ manifest, files }: AttestedBundle): Component {
  const { name, arch, release, keys } = manifest;
  return {
    type: 'container',
    'bom-ref': BUNDLE_REF,
    name,
    version: String(manifest.payload.versionCode),
    properties: [
      property('arch', arch),
      property('release', release),
      property('rollbackIndex', String(manifest.chain.rollbackIndex)),
      property('vbmetaDigest', manifest.chain.vbmetaDigest),
      property('imageKey', `sha256:${keys.image.sha256}`),
      property('payloadKey', `sha256:${keys.payload.sha256}`),
    ],
    components: files.map(({ path, sha256: digest }) => ({
      type: 'file',
      'bom-ref': `file:${path}`,
      name: path,
      ...hashesOf(digest),
    })),
  };
}

/** Partitions have no file of their own: dm-verity's root digest stands for each. */
const partitionComponents = ({ manifest }: AttestedBundle): readonly Component[] =>
  Object.entries(measurementsOf(manifest).partitions).map(([name, digest]) => ({
    type: 'file',
    'bom-ref': partitionRef(name),
    name: partitionLabel(name),
    properties: [property('verityRootDigest', digest)],
  }));

const libraryComponent = (ref: string, { name, sha256: digest }: DigestedPart): Component => ({
  type: 'library',
  'bom-ref': `${ref}/${name}`,
  name,
  ...hashesOf(digest),
});

const apkComponent = (apk: ApkParts, ref: string): Component => ({
  type: 'application',
  'bom-ref': ref,
  name: apk.package,
  version: apk.versionName ?? String(apk.versionCode),
  ...hashesOf(apk.apk.sha256),
  properties: [
    property('place', apk.apk.name),
    property('versionCode', String(apk.versionCode)),
    property('idsig', `sha256:${apk.idsig.sha256}`),
  ],
  ...(apk.libraries.length > 0 && {
    components: apk.libraries.map((library) => libraryComponent(ref, library)),
  }),
});

function materialComponent(material: Material): Component {
  const { kind, ref, name, version, digest, license, purl, url, inputs } = material;
  return {
    type: TYPES[kind],
    'bom-ref': ref,
    name,
    ...(version !== undefined && { version }),
    ...hashesOf(digest?.['sha256']),
    ...(license !== undefined && { licenses: [{ expression: license }] }),
    ...(purl !== undefined && { purl }),
    ...(url !== undefined && {
      externalReferences: [{ type: kind === 'commit' ? 'vcs' : 'distribution', url }],
    }),
    ...(inputs.length > 0 && {
      properties: inputs.map(({ at, file, line }) =>
        property('askedForBy', `${at} (${file}:${line})`),
      ),
    }),
  };
}

interface Dependency {
  readonly ref: string;
  readonly dependsOn?: readonly string[];
}

function dependenciesOf(
  bundle: AttestedBundle,
  materials: readonly Material[],
): readonly Dependency[] {
  const names = Object.keys(measurementsOf(bundle.manifest).partitions);
  const isBelow = (at: string, place: string): boolean =>
    at === place || at.startsWith(`${place}.`) || at.startsWith(`${place}[`);
  const askedFor = (place: string): readonly string[] =>
    materials
      .filter(({ inputs }) => inputs.some(({ at }) => isBelow(at, place)))
      .map(({ ref }) => ref);
  const payloads = bundle.payloads.flatMap(({ name, apks }) =>
    apks.map((_apk, index) => ({ ref: payloadRef(name, index), name, index })),
  );
  const entry = (ref: string, needs: readonly string[]): Dependency => ({
    ref,
    ...(needs.length > 0 && { dependsOn: [...new Set(needs)] }),
  });
  return [
    entry(BUNDLE_REF, [
      ...askedFor('kernel'),
      ...names.map(partitionRef),
      ...payloads.map(({ ref }) => ref),
    ]),
    ...names.map((name) => entry(partitionRef(name), askedFor(`partitions.${name}`))),
    ...payloads.map(({ ref, name, index }) => {
      const place = name === null ? 'payload' : `payloads.${name}`;
      const extra = (at: number): readonly string[] => askedFor(`${place}.extraApks[${at}]`);
      if (index > 0) return entry(ref, extra(index - 1));
      const others = new Set(
        materials.flatMap(({ ref: of, inputs }) =>
          inputs.every(({ at }) => isBelow(at, `${place}.extraApks`)) ? [of] : [],
        ),
      );
      return entry(
        ref,
        askedFor(place).filter((each) => !others.has(each)),
      );
    }),
    ...materials.map(({ ref, dependsOn }) => entry(ref, dependsOn)),
  ];
}
