/** A bundle with one of everything, of which attestations are written. */

import type { AttestedBundle } from '../../../../src/builder/attest/attested-bundle.ts';
import type { BuildInput } from '../../../../src/bundle/build-record.ts';
import { emptyLock } from '../../../../src/recipe/lockfile.ts';

export const hex = (digit: string): string => digit.repeat(64);
export const COMMIT = '12'.repeat(20);
export const ARCHIVE = 'https://example.com/root.tar.gz';

const input = (
  at: string,
  kind: string,
  name: string,
  more: Partial<BuildInput> = {},
): BuildInput => ({
  at,
  file: 'microbuild.yaml',
  line: 7,
  kind,
  name,
  ...more,
});

const deb = (name: string, version: string, more: object = {}) => ({
  package: name,
  version,
  architecture: 'amd64',
  path: `pool/${name}.deb`,
  size: 1,
  sha256: hex('d'),
  ...more,
});

export const bundle: AttestedBundle = {
  manifest: {
    schemaVersion: 1,
    name: 'rich',
    arch: 'x86_64',
    release: 'release',
    keys: {
      image: { sha256: hex('1'), development: false },
      payload: { sha256: hex('2'), development: false },
    },
    chain: {
      kernelDigest: hex('3'),
      initrdNormalDigest: hex('4'),
      initrdDebuggableDigest: hex('5'),
      vbmetaDigest: hex('6'),
      systemRootDigest: hex('7'),
      partitionRootDigests: { vendor: hex('8').repeat(2) },
      payloadCertificates: [],
      apkRootDigest: hex('9'),
      rollbackIndex: 3,
    },
    payload: { package: 'a.b', versionCode: 5, entry: 'x.so', rpcPort: null, interfaces: [] },
    inputs: [],
    files: [{ path: 'kernel', size: 1, sha256: hex('a') }],
  },
  files: [
    { path: 'kernel', size: 1, sha256: hex('a') },
    { path: 'manifest.json', size: 1, sha256: hex('b') },
  ],
  record: {
    schemaVersion: 1,
    microbuild: '0.1.0',
    recipe: {
      files: [{ path: 'microbuild.yaml', sha256: hex('c'), text: 'x' }],
      profiles: ['release'],
      vars: { version: '1.2' },
      data: {},
    },
    lock: 'there is one',
    sourceDate: 1_600_000_000,
    inputs: [
      input('kernel.source', 'kernel', 'linux'),
      input('partitions.system.contents[0]', 'guest', 'runtime', { digest: `sha256:${hex('e')}` }),
      input('partitions.system.contents[1]', 'deb', 'tool', { version: 'tool 1.0' }),
      input('partitions.system.contents[2]', 'inline', 'text'),
      input('partitions.vendor.contents[0]', 'guest', 'runtime', { digest: `sha256:${hex('e')}` }),
      input('partitions.vendor.contents[1]', 'tar', ARCHIVE, { digest: `sha256:${hex('f')}` }),
      input('partitions.vendor.contents[2]', 'git', 'https://example.com/tool.git', {
        version: COMMIT,
        digest: `sha256:${hex('0')}`,
      }),
      input('partitions.vendor.contents[3]', 'oci', 'ghcr.io/org/app:v1', {
        digest: `sha256:${hex('1')}`,
      }),
      input('partitions.vendor.contents[4]', 'deb', './own.deb', {
        version: 'own 2.0',
        digest: `sha256:${hex('2')}`,
      }),
      input('partitions.vendor.contents[5]', 'oci', './layout'),
      input('payload.assets', 'assets', 'assets', { digest: `sha256:${hex('3')}` }),
      input('payload.extraApks[0]', 'apk', 'extra.apk', { digest: `sha256:${hex('4')}` }),
    ],
    packages: [
      {
        name: 'tool',
        version: '1.0',
        architecture: 'amd64',
        license: 'MIT',
        input: 'partitions.system.contents[1]',
      },
      {
        name: 'libtool',
        version: '1.1',
        architecture: 'amd64',
        input: 'partitions.system.contents[1]',
      },
      { name: 'own', version: '2.0', architecture: 'all', input: 'partitions.vendor.contents[4]' },
    ],
    partitions: {},
    payload: { entries: [] },
    payloads: {},
    kernel: { release: '6.1.0', sha256: hex('d'), modules: [] },
    guest: {
      sha256: hex('e'),
      crates: [
        {
          name: 'microbuild-init',
          version: '0.1.0',
          license: 'Apache-2.0',
          dependencies: ['sha2 0.10.8'],
        },
        {
          name: 'sha2',
          version: '0.10.8',
          license: 'MIT OR Apache-2.0',
          sha256: hex('5'),
          dependencies: [],
        },
      ],
    },
  },
  lock: {
    ...emptyLock,
    debs: {
      linux: deb('linux-image-6.1', '6.1.0-1'),
      tool: deb('tool', '1.0', { dependencies: ['libtool'] }),
      libtool: deb('libtool', '1.1', {
        askedBy: { package: 'tool', relation: 'Depends: libtool' },
      }),
      other: deb('other', '9', {}),
    },
  },
  payloads: [
    {
      name: null,
      apks: ['a.b', 'a.extra'].map((name, index) => ({
        package: name,
        versionCode: 5 + index,
        versionName: index === 0 ? '5.0' : null,
        apk: { name: `payload.img#${index}`, size: 1, sha256: hex('6') },
        idsig: { name: `payload.img#${index}-idsig`, size: 1, sha256: hex('7') },
        libraries: [{ name: 'lib/x86_64/x.so', size: 1, sha256: hex('8') }],
      })),
    },
  ],
};
