/** Which disk a payload comes to: the digest of all that decides about its bytes. */

import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { canonicalJson, type Json } from '../cache/canonical-json.ts';
import { fileContent, readDiskTree, type DiskScanner } from '../io/disk-tree.ts';
import { directory, regularFile, type Directory } from '../io/file-tree.ts';
import type { FileReader } from '../io/file-signatures.ts';
import type { Recipe } from '../recipe/parse.ts';
import { identifyContents, type ContentIdentity } from './content-identity.ts';
import { inputPath } from './inputs.ts';
import type { BuildKeys } from './keys.ts';
import type { BuiltPayload } from './payloads.ts';

export interface PayloadIdentity {
  /** SHA-256, in hexadecimal; undefined where a content is not known. */
  readonly key: string | undefined;
  /** Whether the files were the same all the time since: asked when the disk is written. */
  isUnchanged(): Promise<boolean>;
}

export interface PayloadIdentityOptions {
  /** Names the tool itself, and what runs it: others make other bytes. */
  readonly tool: string;
  readonly keys: BuildKeys['payload'];
  /** Digests of the certificates that the guest accepts. */
  readonly certificates: readonly string[];
  readonly cacheDirectory: string;
  readonly reader: FileReader;
  readonly scan?: DiskScanner | undefined;
}

export async function identifyPayload(
  recipe: Recipe,
  payload: BuiltPayload,
  options: PayloadIdentityOptions,
): Promise<PayloadIdentity> {
  const { tool, keys, certificates, cacheDirectory, reader, scan } = options;
  const { own, built } = await filesOf(recipe, payload, scan);
  // What a build command makes is new each time: its content tells whether it is the same.
  const contents: ContentIdentity[] = [
    await identifyContents(own, { cacheDirectory, reader }),
    await identifyContents(built, {
      cacheDirectory,
      reader,
      maxRead: Number.POSITIVE_INFINITY,
      arePrivate: true,
    }),
  ];
  const digests = contents.map(({ treeDigest }) => treeDigest ?? null);
  const { name, arch, runtime, vm, signing } = recipe.data;
  const decides = {
    tool,
    payload: payload.name ?? null,
    data: payload.data as unknown as Json,
    recipe: { name, arch, runtime, debug: vm.debug, schemes: signing.payload.schemes },
    certificates,
    signer: {
      certificate: digestOf(keys.certificateDer),
      publicKey: digestOf(keys.signer.publicKey.export({ type: 'spki', format: 'der' })),
    },
    contents: digests,
  };
  return {
    key: digests.includes(null) ? undefined : digestOf(Buffer.from(canonicalJson(decides))),
    async isUnchanged() {
      const each = await Promise.all(contents.map((content) => content.isUnchanged()));
      return each.every(Boolean);
    },
  };
}

const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** All files that go into the disk, by what the recipe calls them. */
async function filesOf(
  recipe: Recipe,
  { data, folder, place }: BuiltPayload,
  scan: DiskScanner | undefined,
): Promise<{ readonly own: Directory; readonly built: Directory }> {
  const own = directory();
  const built = directory();
  const paths = [
    ...Object.values(data.libraries).flat(),
    ...data.files.map(({ file }) => file),
    ...(typeof data.config === 'string' ? [data.config] : []),
    ...data.extraApks.flatMap(({ apk, idsig }) => [apk, idsig]),
  ];
  for (const path of new Set(paths.filter((each) => each !== undefined))) {
    const file = place(path);
    const isBuilt = folder !== undefined && file.startsWith(`${folder}/`);
    const content = fileContent(file, (await stat(file)).size);
    (isBuilt ? built : own).children.set(path, regularFile(content));
  }
  if (data.assets !== undefined) {
    // A name that no path has.
    own.children.set('\0', await readDiskTree(inputPath(recipe, data.assets), 0, scan));
  }
  return { own, built };
}
