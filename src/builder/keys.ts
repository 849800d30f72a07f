/** The keys of a build: the recipe's own, or development keys that are made on first use. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError, RecipeError, UsageError } from '../core/errors.ts';
import type { AvbAlgorithmName } from '../formats/avb/algorithm.ts';
import { ensureDevelopmentKeys } from '../signing/keys/development.ts';
import { readPrivateKey } from '../signing/keys/private-key-file.ts';
import { keySigner, type Signer } from '../signing/signer.ts';
import {
  createSelfSignedCertificate,
  decodeCertificatePem,
  readCertificate,
} from '../signing/x509.ts';
import type { Recipe } from '../recipe/parse.ts';
import type { RecipePath } from '../recipe/issues.ts';

export interface BuildKeys {
  readonly image: {
    readonly signer: Signer;
    readonly algorithm: AvbAlgorithmName;
    readonly development: boolean;
  };
  readonly payload: {
    readonly signer: Signer;
    readonly certificateDer: Uint8Array;
    readonly development: boolean;
  };
  /** Whether development keys were made just now. */
  readonly created: boolean;
}

/**
 * @param folder Where development keys are, or will be.
 * @throws {RecipeError} at the line that names a key that cannot be used.
 */
export async function resolveKeys(recipe: Recipe, folder: string): Promise<BuildKeys> {
  const { image, payload } = recipe.data.signing;
  const imagePath: RecipePath = ['signing', 'image', 'key'];
  const payloadPath: RecipePath = ['signing', 'payload', 'key'];
  const certificatePath: RecipePath = ['signing', 'payload', 'certificate'];

  const own = async (key: string | undefined, at: RecipePath): Promise<Signer | undefined> => {
    if (key === undefined) return undefined;
    return atRecipe(recipe, at, async () =>
      keySigner(await readPrivateKey(join(recipe.directory, key))),
    );
  };
  const ownImage = await own(image.key, imagePath);
  const ownPayload = await own(payload.key, payloadPath);
  if (ownPayload === undefined && payload.certificate !== undefined) {
    throw new RecipeError([
      recipe.diagnosticAt(
        certificatePath,
        'A certificate without its key cannot sign',
        'Name signing.payload.key too',
      ),
    ]);
  }
  const development =
    ownImage === undefined || ownPayload === undefined
      ? await ensureDevelopmentKeys(folder)
      : undefined;
  const imageSigner = ownImage ?? development?.image.signer;
  const payloadSigner = ownPayload ?? development?.payload.signer;
  if (imageSigner === undefined || payloadSigner === undefined) {
    throw new TypeError('Both keys are there by now');
  }
  const { certificate } = payload;
  const certificateDer =
    certificate === undefined
      ? await createSelfSignedCertificate(payloadSigner, {
          subject: [
            {
              name: 'CN',
              value:
                ownPayload === undefined
                  ? 'microbuild development key, do not ship'
                  : recipe.data.payload.package,
            },
          ],
        })
      : await atRecipe(recipe, certificatePath, async () =>
          certificateFor(
            payloadSigner,
            new Uint8Array(await readFile(join(recipe.directory, certificate))),
          ),
        );
  return {
    image: {
      signer: imageSigner,
      algorithm: await atRecipe(recipe, ['signing', 'image', 'algorithm'], () =>
        Promise.resolve(algorithmFor(imageSigner, image.algorithm)),
      ),
      development: ownImage === undefined,
    },
    payload: {
      signer: payloadSigner,
      certificateDer,
      development: ownPayload === undefined,
    },
    created: development?.created ?? false,
  };
}

/** The DER certificate of a PEM or DER file, which must be the key's own. */
function certificateFor(signer: Signer, file: Uint8Array): Uint8Array {
  // A DER certificate starts with a SEQUENCE tag, a PEM file with text.
  const der =
    file[0] === 0x30 ? file : decodeCertificatePem(Buffer.from(file).toString('latin1'))[0];
  if (der === undefined || !readCertificate(der).publicKey.equals(signer.publicKey)) {
    throw new UsageError('key', 'The certificate is not that of signing.payload.key');
  }
  return der;
}

/** Turns a problem with a key into one with the line that names it. */
async function atRecipe<T>(recipe: Recipe, at: RecipePath, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof UsageError || cause instanceof FormatError)) throw cause;
    throw new RecipeError([recipe.diagnosticAt(at, cause.message, cause.hint)], { cause });
  }
}

/** The AVB algorithm that fits a key; the recipe may choose among those that do. */
function algorithmFor(signer: Signer, wanted: AvbAlgorithmName | undefined): AvbAlgorithmName {
  const { publicKey } = signer;
  const bits = publicKey.asymmetricKeyDetails?.modulusLength ?? 0;
  if (publicKey.asymmetricKeyType !== 'rsa' || ![2048, 4096, 8192].includes(bits)) {
    throw new UsageError(
      'key',
      `Cannot sign images with this key: AVB takes RSA of 2048, 4096 or 8192 bits, this is ${publicKey.asymmetricKeyType ?? 'unknown'} ${bits === 0 ? '' : bits}`,
    );
  }
  const fitting = `SHA256_RSA${bits}` as AvbAlgorithmName;
  if (wanted !== undefined && !wanted.endsWith(`RSA${bits}`)) {
    throw new UsageError('key', `Cannot sign with ${wanted}: the key has ${bits} bits`, {
      hint: `Write ${fitting}`,
    });
  }
  return wanted ?? fitting;
}
