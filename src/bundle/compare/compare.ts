/**
 * Comparing two bundles: from what they state of themselves, along the chain of trust, to the file, the input and
 * the line of the recipe that made the difference.
 *
 * What a digest says to be equal is not read: bundle files by their manifests, partitions by the root digests of
 * their hash trees, blocks by the trees themselves. `full` reads everything.
 */

import { stat } from 'node:fs/promises';
import { UsageError } from '../../core/errors.ts';
import { isAligned } from '../../formats/tar/aligned.ts';
import { openFileSource } from '../../io/byte-source.ts';
import { detectKind, type FileKind } from '../file-kind.ts';
import { openBundle, type Bundle } from '../open.ts';
import { chainProof } from './chain.ts';
import { compareContent } from './content.ts';
import type { CompareOptions, Comparison } from './finding.ts';
import { measurementsOf } from './measurements.ts';
import { compareMembers } from './members.ts';
import { locator, readRecord } from './record.ts';
import { createRecorder } from './recorder.ts';
import { whyOf } from './why.ts';
import { reasonOf } from '../../io/system-error.ts';

/**
 * Compares two bundles, folders or archives. Damage of a part is a finding; the rest is still compared.
 *
 * @throws the system's errors when reading fails.
 */
export async function compareBundles(
  a: Bundle,
  b: Bundle,
  options: CompareOptions = {},
): Promise<Comparison> {
  const records = { a: await readRecord(a), b: await readRecord(b) };
  const recorder = createRecorder(options, compareContent, {
    locate: locator(records.b ?? records.a),
    chain: chainProof(a, b, options.signal),
  });
  await compareMembers(recorder, a, b, records, options.full === true);
  const measurements = measurementsOf(a, b);
  return recorder.finish({
    a: a.path,
    b: b.path,
    kind: 'bundle',
    measurements,
    why: (findings) => whyOf(measurements, findings),
  });
}

/**
 * Compares two bundles, or two files of a format that is known; any other files as text or bytes.
 *
 * @param as Takes two files as this format, whatever they begin with.
 * @throws {UsageError} `input` when there is nothing, or when one is a bundle and the other is not.
 * @throws {FormatError} when a bundle cannot be opened.
 */
export async function comparePaths(
  a: string,
  b: string,
  options: CompareOptions & { readonly as?: FileKind } = {},
): Promise<Comparison> {
  const [isBundleA, isBundleB] = [await isBundle(a), await isBundle(b)];
  if (isBundleA !== isBundleB) {
    const [bundle, file] = isBundleA ? [a, b] : [b, a];
    throw new UsageError('input', `Cannot compare ${a} with ${b}: only ${bundle} is a bundle`, {
      hint: `Name a file of the bundle, as in ${bundle}/os.img, or another bundle instead of ${file}`,
    });
  }
  return isBundleA ? bundles(a, b, options) : files(a, b, options);
}

async function isBundle(path: string): Promise<boolean> {
  const stats = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError('input', `Cannot compare ${path}: ${reasonOf(cause)}`, {
      cause,
    });
  });
  if (stats.isDirectory()) return true;
  if (!path.endsWith('.mbundle')) return false;
  const source = await openFileSource(path);
  try {
    return await isAligned(source);
  } finally {
    await source.close();
  }
}

async function bundles(a: string, b: string, options: CompareOptions): Promise<Comparison> {
  const x = await openBundle(a);
  try {
    const y = await openBundle(b);
    try {
      return await compareBundles(x, y, options);
    } finally {
      await y.close();
    }
  } finally {
    await x.close();
  }
}

async function files(
  a: string,
  b: string,
  options: CompareOptions & { readonly as?: FileKind },
): Promise<Comparison> {
  const x = await openFileSource(a);
  try {
    const y = await openFileSource(b);
    try {
      const recorder = createRecorder(options, compareContent);
      const kind = options.as ?? (await detectKind(x));
      await recorder.scope('').content(x, y, options.as === undefined ? {} : { as: options.as });
      recorder.size({ member: '', a: x.size, b: y.size });
      return await recorder.finish({ a, b, kind: kind ?? 'file', measurements: [] });
    } finally {
      await y.close();
    }
  } finally {
    await x.close();
  }
}
