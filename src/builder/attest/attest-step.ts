/** The steps that attest a build: what is on the payload disks while others still work, and all the rest at the very end. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256, toHex } from '../../core/digest.ts';
import { readPayloadParts, type PayloadParts } from '../../bundle/attest/payload-parts.ts';
import type { BuildRecord } from '../../bundle/build-record.ts';
import { BUNDLE_FILES } from '../../bundle/layout.ts';
import type { Manifest, ManifestFile } from '../../bundle/manifest.ts';
import { openDisk } from '../../bundle/open.ts';
import { runAction } from '../../cache/action.ts';
import { openFileSource } from '../../io/byte-source.ts';
import type { Signer } from '../../signing/signer.ts';
import type { BuildContext } from '../build-steps.ts';
import type { Graph, Step } from '../graph.ts';
import type { RecipePayload } from '../payloads.ts';
import type { SettledDisk } from '../steps/settle-file.ts';
import { attestBundle, writeAttestations, type AttestationFile } from './attest.ts';
import type { BuildRun } from './provenance.ts';

/** How a build is attested. */
export interface BuildAttestation {
  readonly run: Omit<BuildRun, 'finishedOn'>;
  readonly now: () => Date;
}

interface Attested {
  /** In the order of `disks`. */
  readonly payloads: readonly RecipePayload[];
  readonly disks: readonly Step<SettledDisk>[];
  readonly record: Step<BuildRecord>;
  readonly manifest: Step<Manifest>;
}

/** @param signer Of the attestations. */
export function attestStep(
  graph: Graph,
  { cache, folder, inputs }: Pick<BuildContext, 'cache' | 'folder' | 'inputs'>,
  { run, now, signer }: BuildAttestation & { readonly signer: Signer },
  { payloads, disks, record, manifest }: Attested,
): Step<readonly AttestationFile[]> {
  const parts = payloads.map(({ name, disk: file, step }, index) =>
    graph.step(
      { name: `${step}.parts`, needs: [disks[index] as Step<SettledDisk>] },
      async ([{ file: disk, parts: known }], { signal }) => {
        // Large payloads change seldom: what is on a disk is kept by the disk's digest.
        const action = {
          mnemonic: 'payload-parts/1',
          parameters: { name: name ?? null, file },
          inputs: { disk: { sha256: disk.sha256, size: disk.size } },
          outputs: [],
        };
        const read = async (): Promise<{ value: PayloadParts }> => {
          if (known !== undefined) return { value: known };
          const source = await openFileSource(join(folder, file), file);
          try {
            return {
              value: await readPayloadParts(openDisk(source), { name: name ?? null, file }),
            };
          } finally {
            await source.close();
          }
        };
        return (await runAction(cache, action, read, { signal })).value;
      },
    ),
  );
  return graph.step(
    { name: 'attest', title: 'Attestations', needs: [manifest, record, ...parts] },
    async ([made, recorded, ...payloadParts], { note }) => {
      const bundle = {
        manifest: made,
        files: [...made.files, ...(await manifestFiles(folder))],
        record: recorded,
        lock: inputs.lock(),
        payloads: payloadParts,
      };
      const files = await attestBundle(bundle, { ...run, finishedOn: now() }, signer);
      await writeAttestations(folder, files, { isNew: true });
      note.detail = 'SBOM and provenance';
      return files;
    },
  );
}

/** The manifest, and its signature, which it cannot list itself. */
async function manifestFiles(folder: string): Promise<readonly ManifestFile[]> {
  const files: ManifestFile[] = [];
  for (const path of [BUNDLE_FILES.manifest, BUNDLE_FILES.manifestSignature]) {
    const bytes = await readFile(join(folder, path)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (bytes) files.push({ path, size: bytes.length, sha256: toHex(sha256(bytes)) });
  }
  return files;
}
