/**
 * A folder with images of containers: its index, and what that leads to.
 *
 * @see https://specs.opencontainers.org/image-spec/image-layout/
 */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256, toHex } from '../../core/digest.ts';
import type { DumpNode } from '../../core/dump.ts';
import { FormatError } from '../../core/errors.ts';
import { openFileSource } from '../../io/byte-source.ts';
import { field, partNode } from './node.ts';
import { valueNode } from './text.ts';

/** Of documents; layers are not read. In bytes. */
const MAX_DOCUMENT = 4 << 20;
/** Indexes may lead to indexes. */
const MAX_DEPTH = 4;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

export const isOciLayout = async (path: string): Promise<boolean> =>
  (await stat(join(path, 'oci-layout')).catch(() => undefined))?.isFile() === true;

export const dumpOciLayout = (path: string): Promise<DumpNode> =>
  partNode({ name: 'OCI image layout' }, async (parts) => {
    const layout = await documentAt(path, 'oci-layout');
    const index = await documentAt(path, 'index.json');
    parts.children.push(
      valueNode('oci-layout', layout.value),
      valueNode('index.json', index.value),
    );
    for (const each of manifestsOf(index.value)) parts.children.push(await describe(path, each, 0));
  });

const manifestsOf = (value: unknown): readonly unknown[] =>
  isObject(value) ? listOf(value['manifests']) : [];

/** What a descriptor leads to: documents are read and checked, the size of everything else is. */
async function describe(path: string, descriptor: unknown, depth: number): Promise<DumpNode> {
  const { mediaType, digest, size } = isObject(descriptor) ? descriptor : {};
  const type = typeof mediaType === 'string' ? mediaType : 'of no type';
  return partNode({ name: type }, async (parts) => {
    parts.fields.push(field('digest', String(digest)), field('size', String(size)));
    const [, hash] = /^sha256:([0-9a-f]{64})$/.exec(String(digest)) ?? [];
    if (hash === undefined) {
      throw new FormatError('oci', 'bad-value', 'Its digest is not one of SHA-256');
    }
    const name = `blobs/sha256/${hash}`;
    const found = await stat(join(path, name)).catch(() => undefined);
    if (found === undefined) {
      // Layers may stay in a registry.
      parts.fields.push(field('blob', 'not there'));
      return;
    }
    if (found.size !== size) {
      const why = `The blob has ${found.size} bytes, its descriptor says ${String(size)}`;
      throw new FormatError('oci', 'bad-value', why);
    }
    parts.fields.push(field('blob', name));
    if (!type.endsWith('json') || depth > MAX_DEPTH) return;
    const { value, bytes } = await documentAt(path, name);
    if (toHex(sha256(bytes)) !== hash) {
      throw new FormatError('oci', 'bad-checksum', 'The blob has another digest');
    }
    parts.children.push(valueNode('content', value));
    const inner = isObject(value)
      ? [
          ...manifestsOf(value),
          ...(isObject(value['config']) ? [value['config']] : []),
          ...listOf(value['layers']),
        ]
      : [];
    for (const each of inner) parts.children.push(await describe(path, each, depth + 1));
  });
}

async function documentAt(
  path: string,
  name: string,
): Promise<{ readonly value: unknown; readonly bytes: Uint8Array }> {
  const source = await openFileSource(join(path, name), name);
  try {
    if (source.size > MAX_DOCUMENT) {
      throw new FormatError('oci', 'too-large', `Cannot read ${name}: ${source.size} bytes`);
    }
    const bytes = await source.read(0, source.size);
    try {
      return { value: JSON.parse(Buffer.from(bytes).toString('utf8')) as unknown, bytes };
    } catch (cause) {
      throw new FormatError('oci', 'bad-value', `Cannot read ${name}: it is not JSON`, { cause });
    }
  } finally {
    await source.close();
  }
}
