/** `microbuild sign dsse`: a detached signature over any file, in the envelope of in-toto and Sigstore. */

import { basename } from 'node:path';
import { sha256, toHex } from '../../../core/digest.ts';
import { UsageError } from '../../../core/errors.ts';
import {
  decodeEnvelope,
  DSSE_MAX_SIZE,
  encodeEnvelope,
  type DsseEnvelope,
} from '../../../formats/dsse/envelope.ts';
import { writeFileAtomic } from '../../../io/atomic-output.ts';
import { openFileSource } from '../../../io/byte-source.ts';
import { addDsseSignatures, signDsse } from '../../../signing/dsse.ts';
import type { CommandArguments, CommandDefinition } from '../../command.ts';
import { keyOptions, withSigning } from '../../signing/session.ts';
import { lastText, required, requiredText, textOption } from '../avb/options.ts';
import { expectOutputs } from '../output-files.ts';

async function readBounded(path: string): Promise<Uint8Array> {
  const source = await openFileSource(path);
  try {
    if (source.size > DSSE_MAX_SIZE) {
      throw new UsageError('input', `Cannot sign ${path}: it has ${source.size} bytes`, {
        hint: `An envelope holds what is signed, at most ${DSSE_MAX_SIZE} bytes: sign a list of digests instead`,
      });
    }
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}

/** What is to be signed: a file of a type, or an envelope that others have signed. */
async function contentOf(
  args: CommandArguments,
): Promise<DsseEnvelope | Omit<DsseEnvelope, 'signatures'>> {
  const path = args.text('file');
  const payloadType = lastText(args, 'payload-type');
  const payload = await readBounded(path);
  if (args.flag('add')) {
    const envelope = decodeEnvelope(payload);
    if (payloadType === undefined || payloadType === envelope.payloadType) return envelope;
    throw new UsageError(
      'usage',
      `Cannot sign ${path} as ${payloadType}: it says ${envelope.payloadType}`,
    );
  }
  if (payloadType === undefined || payloadType === '') {
    throw new UsageError('usage', `Cannot sign ${path}: say what it is with --payload-type`, {
      hint: 'A media type of its own, such as application/vnd.in-toto+json; it is signed, too',
    });
  }
  return { payloadType, payload };
}

export const signDsseCommand: CommandDefinition = {
  name: 'dsse',
  summary: 'Sign a file as a DSSE envelope, or add a signature to one',
  positionals: {
    file: { type: 'string', required: true, describe: 'File to sign; with --add, an envelope' },
  },
  options: {
    ...keyOptions,
    'store-pass': textOption('Pass phrase of the key store, where it is not that of the key'),
    output: textOption('The envelope', { alias: 'o', ...required }),
    'payload-type': textOption('What the file is: a media type or URI'),
    add: {
      type: 'boolean',
      default: false,
      describe: 'FILE is an envelope, which gets one more signature',
    },
  },
  examples: [
    [
      'sign dsse out/hello/manifest.json --payload-type application/vnd.microbuild.manifest+json --key release.pem -o manifest.dsse.json',
      'one signature',
    ],
    ['sign dsse manifest.dsse.json --add --key second.pem -o both.dsse.json', 'and another'],
  ],
  async run(args, context) {
    const path = args.text('file');
    const output = requiredText(args, 'output');
    // An envelope may be replaced by itself with one more signature.
    const inputs = [lastText(args, 'key'), lastText(args, 'cert')];
    await expectOutputs([['--output', output]], args.flag('add') ? inputs : [path, ...inputs]);
    return withSigning({ inputs: [path] }, args, context, async (session) => {
      const content = await contentOf(args);
      const { signer } = await session.key(lastText(args, 'key'), basename(path), {
        certificate: lastText(args, 'cert'),
        passphrase: lastText(args, 'key-pass'),
        storePassphrase: lastText(args, 'store-pass'),
      });
      const envelope =
        'signatures' in content
          ? await addDsseSignatures(content, [signer])
          : await signDsse(content, [signer]);
      await writeFileAtomic(output, encodeEnvelope(envelope));
      const digest = toHex(sha256(envelope.payload));
      const keys = envelope.signatures.map(({ keyid }) => keyid);
      return {
        text: [
          `${output}: ${keys.length} ${keys.length === 1 ? 'signature' : 'signatures'} over ${envelope.payloadType}`,
          `  payload  ${envelope.payload.length} bytes, sha256 ${digest}`,
          ...keys.map((keyid) => `  key      ${keyid === '' ? 'not named' : keyid}`),
        ].join('\n'),
        json: { output, payloadType: envelope.payloadType, payloadSha256: digest, keys },
      };
    });
  },
};
