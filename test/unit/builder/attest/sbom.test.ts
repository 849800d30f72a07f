import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { materialsOf } from '../../../../src/builder/attest/materials.ts';
import { describeBom, formatBom } from '../../../../src/builder/attest/sbom.ts';
import { cyclonedxSchemas } from '../../../support/cyclonedx.ts';
import { bundle, COMMIT, hex } from './fixture.ts';

interface Component {
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version?: string;
  readonly purl?: string;
  readonly hashes?: readonly { readonly content: string }[];
  readonly licenses?: readonly { readonly expression: string }[];
  readonly components?: readonly Component[];
}

interface Document {
  readonly serialNumber: string;
  readonly metadata: { readonly timestamp: string; readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly {
    readonly ref: string;
    readonly dependsOn?: readonly string[];
  }[];
}

const describeOne = (of = bundle): Document => describeBom(of) as unknown as Document;
const bom = describeOne();
const component = (ref: string): Component | undefined =>
  bom.components.find((each) => each['bom-ref'] === ref);
const needs = (ref: string): readonly string[] | undefined =>
  bom.dependencies.find((each) => each.ref === ref)?.dependsOn;

/** The references of components, those inside of others too. */
const refsOf = (components: readonly Component[]): readonly string[] =>
  components.flatMap((each) => [each['bom-ref'], ...refsOf(each.components ?? [])]);

describe('bill of materials', () => {
  test('a pinned package has its purl, digest and licence', () => {
    expect(component('deb:tool:amd64@1.0')).toMatchObject({
      name: 'tool',
      version: '1.0',
      purl: 'pkg:deb/debian/tool@1.0?arch=amd64',
      hashes: [{ alg: 'SHA-256', content: hex('d') }],
      licenses: [{ expression: 'MIT' }],
    });
    expect(component('deb:libtool:amd64@1.1')?.licenses).toBeUndefined();
  });

  test('a package of the recipe has the digest of its file', () => {
    expect(component('deb:own:all@2.0')?.hashes).toEqual([{ alg: 'SHA-256', content: hex('2') }]);
  });

  test('packages that the lock pins for others are left out', () => {
    expect(formatBom(describeBom(bundle))).not.toContain('"other"');
  });

  test('images, commits and archives have the names by which others know them', () => {
    const purls = bom.components.flatMap(({ purl }) => purl ?? []);
    for (const start of [
      'pkg:oci/app@sha256:',
      `pkg:generic/tool@${COMMIT}?`,
      'pkg:cargo/sha2@0.10.8',
    ]) {
      expect(purls.filter((purl) => purl.startsWith(start))).toHaveLength(1);
    }
  });

  test('who needs what leads from the bundle to the crates', () => {
    expect(needs('bundle')).toEqual([
      'deb:linux-image-6.1:amd64@6.1.0-1',
      'partition:system',
      'partition:vendor',
      'payload',
      'payload#1',
    ]);
    expect(needs('partition:system')).toEqual(['deb:tool:amd64@1.0', 'guest']);
    expect(needs('deb:tool:amd64@1.0')).toEqual(['deb:libtool:amd64@1.1']);
    expect(needs('guest')).toEqual(['crate:microbuild-init@0.1.0']);
    expect(needs('crate:microbuild-init@0.1.0')).toEqual(['crate:sha2@0.10.8']);
    expect(needs('payload')).toEqual(['input:payload.assets']);
    expect(needs('payload#1')).toEqual(['input:payload.extraApks[0]']);
  });

  test('each reference is one of a component, and no two components share one', () => {
    const refs = [
      'bundle',
      ...refsOf(bom.metadata.component.components ?? []),
      ...refsOf(bom.components),
    ];
    expect(new Set(refs).size).toBe(refs.length);
    for (const { ref, dependsOn = [] } of bom.dependencies) {
      for (const each of [ref, ...dependsOn]) expect(refs).toContain(each);
    }
  });

  test('time and number come from the content', () => {
    expect(bom.metadata.timestamp).toBe('2020-09-13T12:26:40Z');
    expect(describeOne().serialNumber).toBe(bom.serialNumber);
    const other = describeOne({ ...bundle, files: bundle.files.slice(1) });
    expect(other.serialNumber).not.toBe(bom.serialNumber);
  });

  test('has only fields that the schema knows', () => {
    const schema = JSON.parse(
      readFileSync(join(cyclonedxSchemas, 'bom-1.6.SNAPSHOT.schema.json'), 'utf8'),
    ) as {
      readonly properties: object;
      readonly definitions: { readonly component: { readonly properties: object } };
    };
    const known = new Set(Object.keys(schema.definitions.component.properties));
    expect(Object.keys(schema.properties)).toEqual(expect.arrayContaining(Object.keys(bom)));
    const check = (components: readonly Component[]): void => {
      for (const each of components) {
        expect(Object.keys(each).filter((key) => !known.has(key))).toEqual([]);
        check(each.components ?? []);
      }
    };
    check([bom.metadata.component, ...bom.components]);
  });
});

test('materials keep their references apart, and need only what is there, whatever the inputs are', () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9]{0,2}$/);
  const kind = fc.constantFrom('deb', 'kernel', 'guest', 'dir', 'oci', 'git', 'tar', 'inline');
  const inputs = fc.array(fc.record({ kind, name }), { maxLength: 12 });
  const packages = fc.array(fc.record({ name, version: name, at: fc.nat(11) }), { maxLength: 12 });
  fc.assert(
    fc.property(inputs, packages, (named, found) => {
      const { record, lock } = bundle;
      const materials = materialsOf(
        {
          ...record,
          inputs: named.map((each, index) => ({
            ...each,
            at: `partitions.system.contents[${index}]`,
            file: 'microbuild.yaml',
            line: index + 1,
          })),
          packages: found.map(({ at, ...each }) => ({
            ...each,
            architecture: 'amd64',
            input: `partitions.system.contents[${at}]`,
          })),
        },
        lock,
      );
      const refs = materials.map(({ ref }) => ref);
      expect(new Set(refs).size).toBe(refs.length);
      for (const { dependsOn } of materials) {
        for (const ref of dependsOn) expect(refs).toContain(ref);
      }
    }),
  );
});
