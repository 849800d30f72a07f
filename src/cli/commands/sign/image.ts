/** `microbuild sign image`: a vbmeta image, or an image with an AVB footer, signed anew. */

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { sha256, toHex } from '../../../core/digest.ts';
import { UsageError } from '../../../core/errors.ts';
import { avbAlgorithm, type AvbAlgorithmName } from '../../../formats/avb/algorithm.ts';
import type { Vbmeta } from '../../../formats/avb/vbmeta.ts';
import { openFileSource } from '../../../io/byte-source.ts';
import { copySparse } from '../../../io/copy-sparse.ts';
import { createFileSink } from '../../../io/image-sink.ts';
import { replaceFiles } from '../../../io/replace-files.ts';
import { readAvbKey } from '../../../signing/avb/key-file.ts';
import { resignImageFile, type ResignImageOptions } from '../../../signing/avb/resign-image.ts';
import type { Signer } from '../../../signing/signer.ts';
import type { CommandArguments, CommandDefinition } from '../../command.ts';
import { expectOutputs } from '../output-files.ts';
import { keyOptions, withSigning } from '../../signing/session.ts';
import {
  lastText,
  listOption,
  parseNumber,
  sizeOf,
  splitAtColons,
  textOption,
  u64Of,
} from '../avb/options.ts';

const U32 = 0xffff_ffffn;

/** The AVB algorithm that is asked for. @throws {UsageError} when there is none of that name. */
export function algorithmOf(args: CommandArguments): AvbAlgorithmName | undefined {
  const name = lastText(args, 'algorithm');
  if (name === undefined) return undefined;
  try {
    const { name: known, scheme } = avbAlgorithm(name);
    if (scheme !== 'none') return known;
  } catch (cause) {
    throw new UsageError('usage', (cause as Error).message, { cause });
  }
  throw new UsageError('usage', 'Cannot sign with algorithm NONE: that is no signature', {
    hint: 'Make an image without signature with microbuild avb',
  });
}

const u32Of = (args: CommandArguments, name: string): number | undefined => {
  const text = lastText(args, name);
  return text === undefined ? undefined : Number(parseNumber(text, name, U32));
};

async function propertiesOf(args: CommandArguments): Promise<Map<string, Uint8Array>> {
  const properties = new Map<string, Uint8Array>();
  for (const text of args.list('prop')) {
    const [key = '', value = ''] = splitAtColons(text, 2, 'KEY:VALUE');
    properties.set(key, new TextEncoder().encode(value));
  }
  for (const text of args.list('prop-from-file')) {
    const [key = '', path = ''] = splitAtColons(text, 2, 'KEY:PATH');
    properties.set(key, new Uint8Array(await readFile(path)));
  }
  return properties;
}

async function chainKeysOf(args: CommandArguments): Promise<Map<string, Uint8Array>> {
  const keys = new Map<string, Uint8Array>();
  for (const text of args.list('chain-key')) {
    const [, partition, path] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    if (partition === undefined || path === undefined) {
      throw new UsageError('usage', `Cannot use --chain-key ${text}: it is not PARTITION=KEY`);
    }
    keys.set(partition, (await readAvbKey(path)).blob);
  }
  return keys;
}

async function optionsOf(args: CommandArguments, signer: Signer): Promise<ResignImageOptions> {
  const metadata = lastText(args, 'public-key-metadata');
  return {
    signer,
    algorithm: algorithmOf(args),
    rollbackIndex:
      lastText(args, 'rollback-index') === undefined ? undefined : u64Of(args, 'rollback-index'),
    rollbackIndexLocation: u32Of(args, 'rollback-index-location'),
    flags: u32Of(args, 'flags'),
    properties: await propertiesOf(args),
    removeProperties: args.list('remove-prop'),
    chainKeys: await chainKeysOf(args),
    publicKeyMetadata:
      metadata === undefined ? undefined : new Uint8Array(await readFile(metadata)),
    partitionSize: sizeOf(args, 'partition-size'),
  };
}

/** Copies an image into a new file. */
export async function copyImage(from: string, to: string, signal: AbortSignal): Promise<void> {
  const source = await openFileSource(from);
  const sink = await createFileSink(to);
  try {
    await sink.truncate(source.size);
    await copySparse(source, sink, 0, signal);
  } finally {
    await Promise.all([source.close(), sink.close()]);
  }
}

/** What people and programs are told of a vbmeta. */
const summaryOf = (vbmeta: Vbmeta) => ({
  algorithm: vbmeta.algorithm,
  key: vbmeta.publicKey.length === 0 ? null : `sha256:${toHex(sha256(vbmeta.publicKey))}`,
  rollbackIndex: vbmeta.rollbackIndex,
  rollbackIndexLocation: vbmeta.rollbackIndexLocation,
  flags: vbmeta.flags,
  properties: Object.fromEntries(
    vbmeta.descriptors.flatMap((each) =>
      each.kind === 'property' ? [[each.key, toHex(each.value)]] : [],
    ),
  ),
});

export const signImageCommand: CommandDefinition = {
  name: 'image',
  summary: 'Sign a vbmeta image, or the footer of an image, anew: what it describes stays as it is',
  positionals: {
    image: { type: 'string', required: true, describe: 'vbmeta image, or image with AVB footer' },
  },
  options: {
    ...keyOptions,
    'store-pass': textOption('Pass phrase of the key store, where it is not that of the key'),
    output: textOption('Leave IMAGE as it is and write to this file', { alias: 'o' }),
    algorithm: textOption(
      'AVB algorithm, such as SHA256_RSA4096; default: the old hash, the size of the new key',
    ),
    'rollback-index': textOption('Devices refuse an image with a lower one; default: as it is'),
    'rollback-index-location': textOption('Where the device counts it; default: as it is'),
    flags: textOption('Flags of the vbmeta; default: as they are'),
    prop: listOption('Property to add or replace, as KEY:VALUE'),
    'prop-from-file': listOption('The same with the content of a file, as KEY:PATH'),
    'remove-prop': listOption('Property to take away, by its key'),
    'chain-key': listOption('New public key of a chained partition, as PARTITION=FILE'),
    'public-key-metadata': textOption('File with metadata of the new public key'),
    'partition-size': textOption('Size of the image afterwards; default: as it is'),
  },
  examples: [
    ['sign image boot.img --key release.pem', 'the same image, signed with another key'],
    ['sign image vbmeta.img --key release.pem --rollback-index 7 -o out.img', 'a new release'],
    [
      'sign image vbmeta.img --key release.pem --chain-key boot=boot.avbpubkey',
      'and a new key for the partition boot',
    ],
  ],
  async run(args, context) {
    const path = args.text('image');
    const output = lastText(args, 'output');
    await expectOutputs(
      [['--output', output]],
      [path, lastText(args, 'key'), lastText(args, 'cert')],
    );
    return withSigning({ inputs: [path] }, args, context, async (session) => {
      const name = basename(path);
      const key = await session.key(lastText(args, 'key'), name, {
        certificate: lastText(args, 'cert'),
        passphrase: lastText(args, 'key-pass'),
        storePassphrase: lastText(args, 'store-pass'),
      });
      const options: ResignImageOptions = {
        ...(await optionsOf(args, key.signer)),
        review: (plan) => session.review({ kind: 'vbmeta', name, ...plan }),
        signal: context.signal,
      };
      const signed =
        output === undefined
          ? await resignImageFile(path, options)
          : await replaceFiles([output], async ([temporary = '']) => {
              await copyImage(path, temporary, context.signal);
              return resignImageFile(temporary, options);
            });
      const before = summaryOf(signed.before);
      const after = summaryOf(signed.after);
      return {
        text: [
          `${output ?? path}: signed with ${after.algorithm} by ${after.key}`,
          `  rollback index  ${after.rollbackIndex}${after.rollbackIndex === before.rollbackIndex ? '' : ` (was ${before.rollbackIndex})`}`,
          `  signed before   ${before.algorithm}${before.key === null ? '' : ` by ${before.key}`}`,
        ].join('\n'),
        json: { image: output ?? path, size: signed.size, before, after },
      };
    });
  },
};
