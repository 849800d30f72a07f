/** `microbuild sign root-hash`: what `veritysetup open --root-hash-signature` takes. */

import { basename } from 'node:path';
import { toHex } from '../../../core/digest.ts';
import { UsageError } from '../../../core/errors.ts';
import { writeFileAtomic } from '../../../io/atomic-output.ts';
import { signRootHash, type RootHashSignatureHash } from '../../../signing/root-hash.ts';
import type { CommandDefinition } from '../../command.ts';
import { keyOptions, withSigning } from '../../signing/session.ts';
import { lastText, required, requiredText, textOption } from '../avb/options.ts';
import { expectOutputs } from '../output-files.ts';
import { certificateId } from '../trusted-certificates.ts';
import { optionalSize } from '../verity-options.ts';
import { certificateOf } from './certificate.ts';
import { readRootHash, rootHashOfDigits } from './root-hash-source.ts';

const HASHES = ['sha256', 'sha384', 'sha512'] as const satisfies readonly RootHashSignatureHash[];

export const signRootHashCommand: CommandDefinition = {
  name: 'root-hash',
  summary: 'Sign a dm-verity root hash for the kernel: PKCS #7 over its digits',
  positionals: {
    'root-hash': {
      type: 'string',
      required: true,
      describe:
        'In hexadecimal; or a file: its digits, a hash area with superblock, a vbmeta image',
    },
  },
  options: {
    ...keyOptions,
    'store-pass': textOption('Pass phrase of the key store, where it is not that of the key'),
    output: textOption('The signature, in DER', { alias: 'o', ...required }),
    'signature-hash': {
      type: 'string',
      choices: HASHES,
      default: 'sha256',
      describe: 'Hash of the signature; that of the tree does not matter',
    },
    'hash-offset': textOption('Where the superblock is in the file, in bytes'),
    partition: textOption('Whose root hash, where a vbmeta describes several'),
  },
  examples: [
    [
      'sign root-hash 9f86d0… --key release.pem --cert release.crt -o root.p7s',
      'for veritysetup open --root-hash-signature=root.p7s',
    ],
    ['sign root-hash system.hash --key release.pem --cert release.crt -o root.p7s', 'of its tree'],
    [
      'sign root-hash vbmeta.img --partition system --key release.pem --cert release.crt -o root.p7s',
      'as AVB describes it',
    ],
  ],
  async run(args, context) {
    const given = args.text('root-hash');
    const output = requiredText(args, 'output');
    const digits = rootHashOfDigits(given);
    const inputs = digits === undefined ? [given] : [];
    const place = {
      hashOffset: optionalSize(args, 'hash-offset'),
      partition: lastText(args, 'partition'),
    };
    if (digits !== undefined && (place.hashOffset ?? place.partition) !== undefined) {
      throw new UsageError(
        'usage',
        'Cannot look for a root hash that is given: leave --hash-offset and --partition away',
      );
    }
    const hash = HASHES.find((each) => each === lastText(args, 'signature-hash'));
    await expectOutputs(
      [['--output', output]],
      [...inputs, lastText(args, 'key'), lastText(args, 'cert')],
    );
    return withSigning({ inputs }, args, context, async (session) => {
      const rootHash = digits ?? (await readRootHash(given, place));
      const artefact = digits === undefined ? basename(given) : toHex(digits);
      const key = await session.key(lastText(args, 'key'), artefact, {
        certificate: lastText(args, 'cert'),
        passphrase: lastText(args, 'key-pass'),
        storePassphrase: lastText(args, 'store-pass'),
      });
      const certificate = certificateOf(key);
      const signature = await signRootHash(rootHash, { signer: key.signer, certificate, hash });
      await writeFileAtomic(output, signature);
      return {
        text: [
          `${output}: ${signature.length} bytes of PKCS #7`,
          `  root hash    ${toHex(rootHash)}`,
          `  certificate  ${certificateId(certificate)}`,
        ].join('\n'),
        json: { output, rootHash: toHex(rootHash), certificate: certificateId(certificate) },
      };
    });
  },
};
