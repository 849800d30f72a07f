/**
 * The keys of a build: those that are named for it, else those of the recipe, else development keys that
 * are made on first use.
 */

import { DEVELOPMENT_NAME } from '../bundle/resign-certificates.ts';
import { FormatError, RecipeError, UsageError } from '../core/errors.ts';
import type { AvbAlgorithmName } from '../formats/avb/algorithm.ts';
import { loadCryptoki } from '../native/load-cryptoki.ts';
import { ensureDevelopmentKeys } from '../signing/keys/development.ts';
import { openKey, type OpenedKey } from '../signing/keys/open-key.ts';
import { parseKeyReference, resolveKeyReference } from '../signing/keys/reference.ts';
import type { Signer } from '../signing/signer.ts';
import { createSelfSignedCertificate } from '../signing/x509.ts';
import type { Recipe } from '../recipe/parse.ts';
import type { RecipePath } from '../recipe/issues.ts';
import { inputPath } from './inputs.ts';

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
    /** SHA-256 of the certificate that the guest accepts where the recipe names none; default: of this one. */
    readonly accepted?: Uint8Array | undefined;
  };
  /** Whether development keys were made just now. */
  readonly created: boolean;
}

/** How a key is unlocked and what belongs to it. */
export interface KeyAccess {
  /** File of its certificate. */
  readonly certificate?: string | undefined;
  /** Where its pass phrase is: `env:NAME`, `file:PATH`, `stdin` or `prompt`. */
  readonly passphrase?: string | undefined;
  /** Where that of its key store is, if it is another one. */
  readonly storePassphrase?: string | undefined;
}

/** A key that is named for one build, and goes before that of the recipe. */
export interface ChosenKey extends KeyAccess {
  /** Undefined for the key of the recipe, which may need a pass phrase. */
  readonly reference?: string | undefined;
}

/** Opens a key. Whoever provides this closes what it opened. */
export type OpenBuildKey = (
  reference: string,
  artefact: string,
  access: KeyAccess,
) => Promise<OpenedKey>;

export interface ChosenKeys {
  readonly image?: ChosenKey | undefined;
  readonly payload?: ChosenKey | undefined;
  /** Of the attestations; default: that of the images. */
  readonly attestations?: ChosenKey | undefined;
}

export interface ResolveKeysOptions extends ChosenKeys {
  /** Where development keys are, or will be. */
  readonly folder: string;
  readonly open: OpenBuildKey;
}

/** Opens keys of a build, and closes them with it. */
export function keyOpener(context: {
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
}): { readonly open: OpenBuildKey; close(): Promise<void> } {
  const opened: OpenedKey[] = [];
  return {
    async open(reference, _artefact, access) {
      const key = await openKey(reference, { ...access, ...context, loadCryptoki });
      opened.push(key);
      return key;
    },
    async close() {
      await Promise.all(opened.map((key) => key.close()));
    },
  };
}

const IMAGE_KEY: RecipePath = ['signing', 'image', 'key'];
const PAYLOAD_KEY: RecipePath = ['signing', 'payload', 'key'];
const PAYLOAD_CERTIFICATE: RecipePath = ['signing', 'payload', 'certificate'];

/**
 * @throws {RecipeError} at the line that names a key that cannot be used.
 * @throws {UsageError} `key` when a key that is named for this build cannot be used.
 */
export async function resolveKeys(recipe: Recipe, options: ResolveKeysOptions): Promise<BuildKeys> {
  const { name, payload: described, signing } = recipe.data;
  expectCertificateWithKey(recipe, options.payload);
  const ownImage = await ownKey(recipe, options, 'image', IMAGE_KEY);
  const ownPayload = await ownKey(recipe, options, 'payload', PAYLOAD_KEY);
  const development =
    ownImage === undefined || ownPayload === undefined
      ? await ensureDevelopmentKeys(options.folder)
      : undefined;
  const developed = (key: 'image' | 'payload'): Promise<OpenedKey> => {
    if (development === undefined) throw new TypeError('Both keys are there by now');
    return options.open(`file:${development[key].path}`, `${name} ${key}`, {});
  };
  const image = ownImage ?? (await developed('image'));
  const payload = ownPayload ?? (await developed('payload'));
  const [certificate] = payload.certificates;
  const fitting = (): Promise<AvbAlgorithmName> =>
    Promise.resolve().then(() => algorithmFor(image.signer, signing.image.algorithm));
  return {
    image: {
      signer: image.signer,
      algorithm: await (options.image?.reference === undefined
        ? atRecipe(recipe, ['signing', 'image', 'algorithm'], fitting)
        : fitting()),
      development: ownImage === undefined,
    },
    payload: {
      signer: payload.signer,
      certificateDer:
        certificate ??
        (await newCertificate(
          payload,
          ownPayload === undefined ? DEVELOPMENT_NAME : described.package,
        )),
      development: ownPayload === undefined,
    },
    created: development?.created ?? false,
  };
}

/** A recipe that names a certificate must name its key, unless the key is named for this build. */
function expectCertificateWithKey(recipe: Recipe, chosen: ChosenKey | undefined): void {
  const { key, certificate } = recipe.data.signing.payload;
  if (key !== undefined || chosen?.reference !== undefined) return;
  if (chosen?.certificate !== undefined) {
    throw new UsageError('key', 'Cannot use a payload certificate without its key', {
      hint: 'Name the key with --payload-key, or in the recipe as signing.payload.key',
    });
  }
  if (certificate === undefined) return;
  throw new RecipeError([
    recipe.diagnosticAt(
      PAYLOAD_CERTIFICATE,
      'A certificate without its key cannot sign',
      'Name signing.payload.key too',
    ),
  ]);
}

/** The key that is named for this build or in the recipe; undefined when neither is. */
async function ownKey(
  recipe: Recipe,
  options: ResolveKeysOptions,
  which: 'image' | 'payload',
  at: RecipePath,
): Promise<OpenedKey | undefined> {
  const { reference, certificate, ...access } = options[which] ?? {};
  const artefact = `${recipe.data.name} ${which}`;
  if (reference !== undefined) {
    return options.open(reference, artefact, { ...access, certificate });
  }
  const { image, payload } = recipe.data.signing;
  const key = which === 'image' ? image.key : payload.key;
  if (key === undefined) return undefined;
  const inRecipe = which === 'payload' ? payload.certificate : undefined;
  return atRecipe(recipe, at, () =>
    options.open(resolveKeyReference(key, recipe.folderOf(at)), artefact, {
      ...access,
      certificate: certificate ?? (inRecipe && inputPath(recipe, inRecipe)),
    }),
  );
}

/** For a key that has none: the same one in each build. */
async function newCertificate(key: OpenedKey, name: string): Promise<Uint8Array> {
  const { kind } = parseKeyReference(key.reference);
  const isElsewhere = kind === 'pkcs11' || kind === 'helper';
  if (isElsewhere && key.signer.publicKey.asymmetricKeyType === 'ec') {
    throw new UsageError(
      'key',
      `Cannot sign a payload with ${key.reference} without its certificate`,
      {
        hint: `Its signatures differ from one time to the next, and so would its certificate. Make one once: microbuild keys certificate --key ${key.reference} --subject NAME -o FILE`,
      },
    );
  }
  return createSelfSignedCertificate(key.signer, { subject: [{ name: 'CN', value: name }] });
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
