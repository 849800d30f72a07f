/** `microbuild sign bundle`: a whole bundle gets new keys, and everything that depends on them is made anew. */

import { basename, resolve } from 'node:path';
import { findKeyFolder } from '../../../builder/workspace.ts';
import { openBundle } from '../../../bundle/open.ts';
import { resignBundle } from '../../../bundle/resign.ts';
import type { ResignBundleOptions } from '../../../bundle/resign-options.ts';
import type { Manifest } from '../../../bundle/manifest.ts';
import { UsageError } from '../../../core/errors.ts';
import { createNativeApkHasher } from '../../../native/apk-hasher.ts';
import { loadNativeLibrary } from '../../../native/library.ts';
import { isDevelopmentKey } from '../../../signing/keys/development.ts';
import type { OpenedKey } from '../../../signing/keys/open-key.ts';
import { readTrustedAvbKey } from '../../../signing/keys/trusted-key.ts';
import type { CommandArguments, CommandDefinition } from '../../command.ts';
import { largeStep } from '../../large-step.ts';
import { signingOptions, withSigning, type SigningSession } from '../../signing/session.ts';
import { lastText, listOption, required, requiredText, textOption, u64Of } from '../avb/options.ts';
import { algorithmOf } from './image.ts';

const KEY_HELP = 'a PEM or DER file, or file:, p12:, jks:, pkcs11: or helper:';

type Part = 'image' | 'payload';
const PARTS: readonly Part[] = ['image', 'payload'];

/** What `--only` leaves out. */
const otherOf = (part: Part): Part => (part === 'image' ? 'payload' : 'image');

/**
 * Which parts get new keys.
 *
 * @throws {UsageError} when the keys are not those of the parts.
 */
function partsOf(args: CommandArguments): readonly Part[] {
  const only = args.optionalText('only') as Part | undefined;
  const has = (part: Part): boolean =>
    lastText(args, `${part}-key`) !== undefined || lastText(args, `${part}-cert`) !== undefined;
  if (only !== undefined) {
    if (!has(otherOf(only))) return [only];
    throw new UsageError('usage', `Cannot use --${otherOf(only)}-key with --only ${only}`);
  }
  if (!has('image')) {
    throw new UsageError('key', 'Cannot sign bundle: no key for its images is given', {
      hint: 'Name it with --image-key; with --only payload the images stay as they are',
    });
  }
  return has('payload') ? PARTS : ['image'];
}

/** A key, and whether it is one of this workspace's development keys. */
async function keyOf(
  session: SigningSession,
  args: CommandArguments,
  part: Part,
  folder: string,
): Promise<OpenedKey & { readonly development: boolean }> {
  const path = resolve(args.text('bundle'));
  const key = await session.key(lastText(args, `${part}-key`), `${basename(path)} ${part}`, {
    certificate: lastText(args, `${part}-cert`),
    passphrase: lastText(args, `${part}-key-pass`) ?? lastText(args, 'key-pass'),
    storePassphrase: lastText(args, 'store-pass'),
  });
  return { ...key, development: await isDevelopmentKey(key.signer.publicKey, folder) };
}

/** @throws {UsageError} when a digest is not one. */
function certificatesOf(args: CommandArguments): readonly string[] | undefined {
  const digests = args.list('trust-payload');
  for (const digest of digests) {
    if (/^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(digest)) continue;
    throw new UsageError('usage', `Cannot use --trust-payload ${digest}: it is no digest`, {
      hint: 'Write sha256: or sha512: and the digest of a certificate, as microbuild keys fingerprint prints it',
    });
  }
  return digests.length === 0 ? undefined : digests;
}

/** Options that change the images. */
const OF_IMAGES = ['algorithm', 'rollback-index', 'trust-payload'];

/** @throws {UsageError} for an option that would do nothing. */
function refuseImageOptions(args: CommandArguments): void {
  const given = OF_IMAGES.find((option) => args.optionalText(option) !== undefined);
  const name = given ?? (args.flag('manifest-signature') ? 'manifest-signature' : undefined);
  if (name === undefined) return;
  throw new UsageError('usage', `Cannot use --${name} with --only payload: the images stay`);
}

/** What happened to a part, for people. */
function lineOf(part: Part, before: Manifest, after: Manifest, parts: readonly Part[]): string {
  const name = part === 'image' ? 'image key  ' : 'payload key';
  const { sha256, development } = after.keys[part];
  const marked = `sha256 ${sha256}${development ? ' (development)' : ''}`;
  if (!parts.includes(part)) return `  ${name}  ${marked}, as it was`;
  return `  ${name}  ${marked}, was ${before.keys[part].sha256.slice(0, 16)}…`;
}

export const signBundleCommand: CommandDefinition = {
  name: 'bundle',
  summary:
    'Give a bundle new keys: what depends on them is made anew, nothing is built or measured',
  positionals: {
    bundle: { type: 'string', required: true, describe: 'Bundle: folder or .mbundle file' },
  },
  options: {
    output: textOption('The new bundle: a folder, or a file NAME.mbundle', {
      alias: 'o',
      ...required,
    }),
    'image-key': textOption(`Key of kernel, initrds and system: ${KEY_HELP}`),
    'image-cert': textOption('Its certificate, where the key store has no public key'),
    'image-key-pass': textOption('Its pass phrase or PIN: env:NAME, file:PATH, stdin or prompt'),
    'payload-key': textOption('Key of the payload’s APK; without it the payload stays as it is'),
    'payload-cert': textOption(
      'Its certificate, PEM or DER; default: what the key store holds, else one that it signs itself',
    ),
    'payload-key-pass': textOption('Its pass phrase or PIN'),
    'key-pass': textOption('The same for both keys'),
    'store-pass': textOption('Pass phrase of the key stores, where it is not that of the keys'),
    only: {
      type: 'string',
      choices: PARTS,
      describe: 'Sign only the images, or only the payload (whose signer they must accept already)',
    },
    algorithm: textOption(
      'AVB algorithm, such as SHA256_RSA4096; default: the old hash, the size of the new key',
    ),
    'rollback-index': textOption('Of kernel and system; default: as it is'),
    trust: textOption('AVB key that must have signed the bundle until now; default: any'),
    'trust-payload': listOption(
      'Certificate that the guest shall accept, as sha256:HEX; again for more; default: the new one in the place of the old',
    ),
    'manifest-signature': {
      type: 'boolean',
      default: false,
      describe: 'Sign manifest.json with the image key, too: manifest.dsse.json',
    },
    ...signingOptions,
  },
  examples: [
    [
      'sign bundle out/hello -o out/release --image-key image.pem --payload-key payload.pem',
      'as if it had been built with these keys',
    ],
    [
      'sign bundle hello.mbundle -o release.mbundle --image-key image.pem --rollback-index 2',
      'new images, the same payload',
    ],
  ],
  async run(args, context) {
    const path = args.text('bundle');
    const output = requiredText(args, 'output');
    const parts = partsOf(args);
    if (!parts.includes('image')) refuseImageOptions(args);
    const trust = lastText(args, 'trust');
    const trustedKey = trust === undefined ? undefined : await readTrustedAvbKey(trust);
    const payloadCertificates = certificatesOf(args);
    return withSigning({ inputs: [path] }, args, context, async (session) => {
      const bundle = await openBundle(path);
      const library = await loadNativeLibrary();
      try {
        const folder = await findKeyFolder(process.cwd(), [path], context.env);
        const open = (part: Part): ReturnType<typeof keyOf> | undefined =>
          parts.includes(part) ? keyOf(session, args, part, folder) : undefined;
        const image = await open('image');
        const payload = await open('payload');
        if (image?.development === true || payload?.development === true) {
          context.reporter.report({
            kind: 'warning',
            message: `Signing with development keys of ${folder}: do not ship this bundle`,
          });
        }
        const total = bundle.manifest.files.reduce((sum, { size }) => sum + size, 0);
        const step = { name: 'sign.bundle', title: `Sign ${path} anew`, total };
        const request: ResignBundleOptions = {
          output,
          image: image && { ...image, algorithm: algorithmOf(args) },
          payload,
          rollbackIndex:
            lastText(args, 'rollback-index') === undefined
              ? undefined
              : u64Of(args, 'rollback-index'),
          payloadCertificates,
          trustedKey,
          manifestSignature: args.flag('manifest-signature'),
          review: (subject) => session.review(subject),
          hasher: library && createNativeApkHasher(library),
          signal: context.signal,
        };
        const manifest = await largeStep(context, step, () => resignBundle(bundle, request));
        return {
          text: [
            `${output}: signed anew, ${manifest.release} keys, rollback index ${manifest.chain.rollbackIndex}`,
            ...PARTS.map((part) => lineOf(part, bundle.manifest, manifest, parts)),
          ].join('\n'),
          json: { path: output, signed: parts, before: bundle.manifest.keys, manifest },
        };
      } finally {
        await bundle.close();
      }
    });
  },
};
