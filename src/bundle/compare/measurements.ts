/** The digests that a bundle is known by, of both sides. */

import type { Manifest } from '../manifest.ts';
import type { Bundle } from '../open.ts';
import type { Measurement } from './finding.ts';

/** By name, in the order of the chain of trust. */
function measure({ chain, keys, payloads }: Manifest): Map<string, string> {
  const all = new Map<string, string>();
  const add = (name: string, value: unknown): void => {
    if (typeof value === 'string' || typeof value === 'number') all.set(name, String(value));
  };
  add('image key', keys.image.sha256);
  add('payload key', keys.payload.sha256);
  // A manifest is read for what it needs to be run: its digests may be anything.
  const link: Partial<Manifest['chain']> = chain ?? {};
  add('rollback index', link.rollbackIndex);
  add('kernel digest', link.kernelDigest);
  add('initrd digest', link.initrdNormalDigest);
  add('debuggable initrd digest', link.initrdDebuggableDigest);
  add('vbmeta digest', link.vbmetaDigest);
  add('system root digest', link.systemRootDigest);
  for (const [name, digest] of Object.entries(link.partitionRootDigests ?? {})) {
    add(`${name} root digest`, digest);
  }
  add('payload root digest', link.apkRootDigest);
  for (const [index, digest] of Object.entries(link.extraApkRootDigests ?? [])) {
    add(`extra APK ${index} root digest`, digest);
  }
  for (const [name, payload] of Object.entries(payloads ?? {})) {
    add(`payload ${name} root digest`, payload.apkRootDigest);
  }
  return all;
}

export function measurementsOf(a: Bundle, b: Bundle): readonly Measurement[] {
  const [x, y] = [measure(a.manifest), measure(b.manifest)];
  return [...new Set([...x.keys(), ...y.keys()])].map((name) => ({
    name,
    a: x.get(name),
    b: y.get(name),
  }));
}
