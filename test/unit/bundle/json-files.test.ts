import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatManifest, parseManifest, type Manifest } from '../../../src/bundle/manifest.ts';
import { cpuCount, parseVmConfig, vmConfig } from '../../../src/bundle/vm-config.ts';
import { FormatError } from '../../../src/core/errors.ts';

const digest = 'ab'.repeat(32);
const manifest: Manifest = {
  schemaVersion: 1,
  name: 'hello',
  arch: 'x86_64',
  release: 'development',
  keys: {
    image: { sha256: digest, development: true },
    payload: { sha256: digest, development: true },
  },
  chain: {
    kernelDigest: digest,
    initrdNormalDigest: digest,
    initrdDebuggableDigest: digest,
    vbmetaDigest: digest,
    systemRootDigest: digest,
    payloadCertificates: [`sha256:${digest}`],
    apkRootDigest: digest,
    rollbackIndex: 0,
  },
  payload: {
    package: 'dev.microbuild.hello',
    versionCode: 1,
    entry: 'libhello.so',
    rpcPort: 5678,
    interfaces: ['interfaces/IHello.aidl'],
  },
  inputs: [],
  files: [{ path: 'kernel', size: 1, sha256: digest }],
};

const config = vmConfig({ name: 'hello', memoryMib: 128, cpus: 2, debuggable: false });

describe('manifest.json', () => {
  test('parseManifest() reads what formatManifest() wrote', () => {
    expect(parseManifest(formatManifest(manifest))).toEqual(manifest);
  });

  test('parseManifest() reads further partitions and payloads', () => {
    const more: Manifest = {
      ...manifest,
      chain: { ...manifest.chain, partitionRootDigests: { vendor: digest } },
      payloads: { other: { ...manifest.payload, apkRootDigest: digest } },
    };
    expect(parseManifest(formatManifest(more))).toEqual(more);
  });

  test.each([
    ['a payload of no name', { ...manifest, payloads: { '../x': manifest.payload } }],
    ['a payload without its digest', { ...manifest, payloads: { x: manifest.payload } }],
    [
      'a partition whose digest is none',
      { ...manifest, chain: { ...manifest.chain, partitionRootDigests: { vendor: 'x' } } },
    ],
    ['a path that climbs', { ...manifest, files: [{ path: '../x', size: 1, sha256: digest }] }],
    ['an absolute path', { ...manifest, files: [{ path: '/etc/x', size: 1, sha256: digest }] }],
    ['a short digest', { ...manifest, files: [{ path: 'x', size: 1, sha256: 'ab' }] }],
    ['another schema', { ...manifest, schemaVersion: 2 }],
    [
      'an interface that climbs',
      { ...manifest, payload: { ...manifest.payload, interfaces: ['a/../../b'] } },
    ],
    ['no object', null],
  ])('parseManifest() refuses %s', (_, value) => {
    expect(() => parseManifest(JSON.stringify(value))).toThrow(FormatError);
  });

  test('parses or throws FormatError, whatever the text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          parseManifest(text);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
    );
  });
});

describe('vm.json', () => {
  test('parseVmConfig() reads what vmConfig() made', () => {
    expect(parseVmConfig(JSON.stringify(config))).toEqual(config);
  });

  test.each([
    ['a kernel elsewhere', { ...config, kernel: '../kernel' }],
    ['a writable disk', { ...config, disks: [{ image: 'os.img', writable: true }] }],
    ['a protected VM', { ...config, protected: true }],
    ['no memory', { ...config, memory_mib: 0 }],
    ['a name that is a path', { ...config, name: '../x' }],
    ['disks that are none', { ...config, disks: [null] }],
    ['a list', []],
    ['nothing', null],
  ])('parseVmConfig() refuses %s', (_, value) => {
    expect(() => parseVmConfig(JSON.stringify(value))).toThrow(FormatError);
  });

  test('cpuCount() reads each topology', () => {
    expect(cpuCount('one_cpu', 8)).toBe(1);
    expect(cpuCount('match_host', 8)).toBe(8);
    expect(cpuCount('cpu_count=3', 8)).toBe(3);
  });
});
