/** The ways in which a session comes by signatures: at once, or in two phases. */

import { UsageError } from '../../core/errors.ts';
import type { OpenedKey } from '../../signing/keys/open-key.ts';
import {
  openRequestFolder,
  requireEmpty,
  writeRequestFolder,
} from '../../signing/two-phase/folder.ts';
import type { RequestedKey, SignatureRequest } from '../../signing/two-phase/request.ts';
import {
  attachingSigner,
  createRecorder,
  preparedSigner,
  SignaturesNeeded,
} from '../../signing/two-phase/signers.ts';
import type { CommandResult } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { describeJob, requireSameJob } from './job.ts';
import {
  describeKey,
  findRequestedKey,
  openToRequest,
  openToSign,
  type SigningEnvironment,
} from './key-modes.ts';
import { reportNeeded } from './report-needed.ts';

export interface SigningPhase {
  readonly mode: 'direct' | 'prepare' | 'attach';
  key(
    reference: string | undefined,
    artefact: string,
    options: SigningEnvironment,
  ): Promise<OpenedKey>;
  /**
   * Runs the job.
   *
   * @param released Is called when all outputs stand.
   */
  run(work: () => Promise<CommandResult>, released: () => Promise<void>): Promise<CommandResult>;
}

/** What a phase must know of its job. */
export interface PhaseJob {
  readonly argv: readonly string[];
  readonly inputs: readonly string[];
  readonly signal: AbortSignal;
}

export const directPhase: SigningPhase = {
  mode: 'direct',
  key: (reference, _artefact, options) => openToSign(reference, options),
  async run(work, released) {
    const result = await work();
    await released();
    return result;
  },
};

/** Writes what is to be signed into a new folder. */
export async function preparePhase(folder: string, job: PhaseJob): Promise<SigningPhase> {
  await requireEmpty(folder);
  const description = await describeJob(job.argv, job.inputs, job.signal);
  const recorder = createRecorder(1);
  const keys = new Map<string, RequestedKey>();
  return {
    mode: 'prepare',
    async key(reference, artefact, options) {
      const parts = await openToRequest(reference, options);
      const key = describeKey(reference, options.certificate, parts);
      keys.set(JSON.stringify([key.reference, key.certificate]), key);
      const signer = preparedSigner(parts.publicKey, artefact, recorder);
      return { ...parts, signer, close: () => Promise.resolve() };
    },
    async run(work) {
      if (await isFinished(work)) {
        throw new UsageError('usage', 'Cannot prepare: the job has nothing that is signed', {
          hint: 'Run it without --prepare',
        });
      }
      const needed = recorder.needed();
      const requests = needed.map(({ request }) => request);
      const document = {
        schemaVersion: 1,
        job: description,
        keys: [...keys.values()],
        requests,
      } as const;
      await writeRequestFolder(folder, document, needed);
      return reportNeeded(folder, document.keys, requests, EXIT.ok);
    },
  };
}

/** Runs a prepared job with the signatures that are in its folder. */
export async function attachPhase(folder: string, job: PhaseJob): Promise<SigningPhase> {
  const request = await openRequestFolder(folder);
  const { document } = request;
  requireSameJob(document.job, await describeJob(job.argv, job.inputs, job.signal));
  const rounds = document.requests.map(({ round }) => round);
  const recorder = createRecorder(Math.max(0, ...rounds) + 1);
  const added: RequestedKey[] = [];
  return {
    mode: 'attach',
    async key(reference, artefact, options) {
      const { certificate } = options;
      let parts = findRequestedKey(document.keys, reference, certificate);
      if (parts === undefined) {
        // One that only signs what other signatures are part of.
        parts = await openToRequest(reference, options);
        added.push(describeKey(reference, certificate, parts));
      }
      const signer = attachingSigner(parts.publicKey, artefact, request.find, recorder);
      return { ...parts, signer, close: () => Promise.resolve() };
    },
    async run(work, released) {
      let result: CommandResult | undefined;
      const finished = await isFinished(async () => (result = await work()));
      if (finished && result !== undefined) {
        await released();
        await request.finish();
        return result;
      }
      const needed = recorder.needed();
      await request.add(needed, added);
      const ids = new Set(needed.map(({ request: { id } }) => id));
      const waiting: SignatureRequest[] = request.document.requests.filter(({ id }) => ids.has(id));
      return reportNeeded(folder, request.document.keys, waiting, EXIT.signaturesNeeded);
    },
  };
}

/** Whether a job came to its end; false where it stopped for want of a signature. */
async function isFinished(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    for (let at: unknown = error; at instanceof Error; at = at.cause) {
      if (at instanceof SignaturesNeeded) return false;
    }
    throw error;
  }
}
