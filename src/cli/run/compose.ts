/** `run --apk`: another payload for a bundle's guest, put on a disk where it is run. */

import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { composePayload } from '../../builder/compose-payload.ts';
import type { GivenApk } from '../../builder/payload-apks.ts';
import { withPayload, type Bundle } from '../../bundle/open.ts';
import { UsageError } from '../../core/errors.ts';
import { openFileSource } from '../../io/byte-source.ts';
import { ensurePrivateFolder, registryPath } from '../../runner/registry.ts';
import type { CommandArguments, CommandContext } from '../command.ts';
import { bundleHasher } from '../engine.ts';

const text = { type: 'string', requiresArg: true } as const;
const texts = { type: 'array', string: true, nargs: 1, default: [] as string[] } as const;

export const composeOptions = {
  apk: {
    ...text,
    describe:
      'Run this APK instead of the bundle’s; the guest accepts it if its signer is one that the bundle names',
  },
  idsig: { ...text, describe: 'Its idsig (APK Signature Scheme v4); made when left out' },
  'extra-apk': { ...texts, describe: 'A further APK, at /mnt/extra-apk/N; may be repeated' },
  'extra-idsig': { ...texts, describe: 'The idsigs of the further APKs, in their order' },
  'payload-binary-name': {
    ...text,
    describe:
      'The library of --apk to run; default: what its assets/vm_config.json says, or its only one',
  },
  'config-path': { ...text, describe: 'The configuration in --apk that says what to run' },
} as const;

/**
 * Works with the bundle as the command line wants it: as it is, or with another payload, whose disk lives
 * as long as the work.
 *
 * @throws {UsageError} for options that belong to an APK that is not given.
 */
export async function withComposed<T>(
  bundle: Bundle,
  args: CommandArguments,
  { env }: CommandContext,
  work: (bundle: Bundle) => Promise<T>,
): Promise<T> {
  const given = givenApks(args);
  if (given === undefined) return work(bundle);
  const registry = registryPath(env);
  await ensurePrivateFolder(registry);
  const scratch = await mkdtemp(join(registry, `.scratch-${process.pid}-`));
  try {
    const { path, payload } = await composePayload({
      ...given,
      payloadBinaryName: args.optionalText('payload-binary-name'),
      configPath: args.optionalText('config-path'),
      arch: bundle.manifest.arch,
      name: bundle.config.name,
      scratch,
      hasher: await bundleHasher(),
    });
    const disk = await openFileSource(path);
    try {
      return await work(withPayload(bundle, disk, payload));
    } finally {
      await disk.close();
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function givenApks(
  args: CommandArguments,
): (GivenApk & { readonly extraApks: readonly GivenApk[] }) | undefined {
  const apk = args.optionalText('apk');
  const [extra, idsigs] = [args.list('extra-apk'), args.list('extra-idsig')];
  if (apk === undefined) {
    const names = ['idsig', 'payload-binary-name', 'config-path'];
    const alone =
      names.find((name) => args.optionalText(name) !== undefined) ??
      (extra.length > 0 ? 'extra-apk' : undefined) ??
      (idsigs.length > 0 ? 'extra-idsig' : undefined);
    if (alone === undefined) return undefined;
    throw new UsageError('usage', `Cannot use --${alone} without --apk`);
  }
  if (idsigs.length > extra.length) {
    throw new UsageError(
      'usage',
      `There are ${idsigs.length} --extra-idsig for ${extra.length} --extra-apk`,
    );
  }
  if (
    args.optionalText('payload-binary-name') !== undefined &&
    args.optionalText('config-path') !== undefined
  ) {
    throw new UsageError('usage', 'Name --payload-binary-name or --config-path, not both');
  }
  return {
    apk,
    idsig: args.optionalText('idsig'),
    extraApks: extra.map((each, index) => ({ apk: each, idsig: idsigs[index] })),
  };
}
