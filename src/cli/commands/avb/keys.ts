/** Keys, certificates, and the small verbs beside them. */

import { readFile } from 'node:fs/promises';
import { sha256, toHex } from '../../../core/digest.ts';
import { UsageError } from '../../../core/errors.ts';
import {
  AB_METADATA_OFFSET,
  encodeAbMetadata,
  type AbSlot,
} from '../../../formats/avb/ab-metadata.ts';
import {
  encodeCertificateMetadata,
  encodePermanentAttributes,
} from '../../../formats/avb/certificate.ts';
import { readAvbKey } from '../../../signing/avb/key-file.ts';
import {
  makeCertificate as certify,
  makeUnlockCredential,
} from '../../../signing/avb/sign-certificate.ts';
import { openUndoableFile } from '../../../signing/avb/undoable-file.ts';
import type { CommandDefinition } from '../../command.ts';
import {
  flagOption,
  imageOption,
  lastText,
  parseNumber,
  required,
  requiredText,
  sizeOf,
  textOption,
} from './options.ts';
import { writeFileAtomic } from '../../../io/atomic-output.ts';
import { helperOptions, rsaSigner } from './signing.ts';

const fileOption = (describe: string) => textOption(describe, required);

const outputFile = fileOption('Where the result goes');

const readInput = async (path: string): Promise<Uint8Array> => new Uint8Array(await readFile(path));

export const version: CommandDefinition = {
  name: 'version',
  summary: 'Print the version of avbtool that these verbs follow',
  positionals: {},
  options: {},
  examples: [['avb version', 'avbtool 1.3.0']],
  run: () => Promise.resolve({ text: 'avbtool 1.3.0', json: { avbtool: '1.3.0' } }),
};

export const extractPublicKey: CommandDefinition = {
  name: 'extract_public_key',
  summary: 'Write the public half of a key in AVB’s encoding',
  positionals: {},
  options: { key: fileOption('Private or public key in PEM'), output: outputFile },
  examples: [['avb extract_public_key --key key.pem --output key.avbpubkey', 'for --trust']],
  async run(args) {
    const output = requiredText(args, 'output');
    const { blob } = await readAvbKey(requiredText(args, 'key'));
    await writeFileAtomic(output, blob);
    return { text: '', json: { output, sha256: toHex(sha256(blob)) } };
  },
};

export const extractPublicKeyDigest: CommandDefinition = {
  name: 'extract_public_key_digest',
  summary: 'Write the SHA-256 of a public key in AVB’s encoding',
  positionals: {},
  options: { key: fileOption('Private or public key in PEM'), output: outputFile },
  examples: [['avb extract_public_key_digest --key key.pem --output key.sha256', 'in hexadecimal']],
  async run(args) {
    const output = requiredText(args, 'output');
    const { blob } = await readAvbKey(requiredText(args, 'key'));
    const digest = toHex(sha256(blob));
    await writeFileAtomic(output, digest);
    return { text: '', json: { output, sha256: digest } };
  },
};

export const makeCertificate: CommandDefinition = {
  name: 'make_certificate',
  summary: 'Make a certificate of libavb_cert',
  positionals: {},
  options: {
    output: outputFile,
    subject: fileOption('File that says who it is for, such as the product ID'),
    subject_key: fileOption('Public key that is certified, RSA-4096'),
    subject_key_version: textOption('Its version; default SOURCE_DATE_EPOCH'),
    subject_is_intermediate_authority: flagOption('The key certifies others'),
    usage: textOption('What the key is for, instead of signing a vbmeta'),
    authority_key: textOption('Private key that signs; without it the signature is left out'),
    ...helperOptions,
  },
  examples: [
    [
      'avb make_certificate --subject id.bin --subject_key psk.pem --subject_key_version 42 --authority_key pik.pem --output psk.cert',
      'certify a product signing key',
    ],
  ],
  async run(args, context) {
    const output = requiredText(args, 'output');
    const versionText =
      lastText(args, 'subject_key_version') ?? context.env['SOURCE_DATE_EPOCH'] ?? '';
    if (versionText === '') {
      throw new UsageError('usage', 'Missing required argument: subject_key_version', {
        hint: 'Give a number that grows with each key, or set SOURCE_DATE_EPOCH',
      });
    }
    const keyVersion = parseNumber(versionText, 'subject_key_version', 0xffff_ffff_ffff_ffffn);
    const authorityPath = lastText(args, 'authority_key');
    const usage = lastText(args, 'usage');
    const certificate = await certify({
      subjectKey: (await readAvbKey(requiredText(args, 'subject_key'))).blob,
      subject: await readInput(requiredText(args, 'subject')),
      keyVersion,
      isIntermediateAuthority: args.flag('subject_is_intermediate_authority'),
      ...(usage !== undefined && usage !== '' && { usage }),
      authority:
        authorityPath === undefined ? undefined : await rsaSigner(args, authorityPath, context),
    });
    await writeFileAtomic(output, certificate);
    return { text: '', json: { output, size: certificate.length } };
  },
};

export const makeCertPermanentAttributes: CommandDefinition = {
  name: 'make_cert_permanent_attributes',
  summary: 'Make the attributes that are burnt into a device: root key and product',
  positionals: {},
  options: {
    output: outputFile,
    root_authority_key: fileOption('Public key of the root authority, RSA-4096'),
    product_id: fileOption('File with the product ID, 16 bytes'),
  },
  examples: [
    [
      'avb make_cert_permanent_attributes --root_authority_key prk.pem --product_id id.bin --output attributes.bin',
      'for a product',
    ],
  ],
  async run(args) {
    const output = requiredText(args, 'output');
    const { blob } = await readAvbKey(requiredText(args, 'root_authority_key'));
    const attributes = encodePermanentAttributes(
      blob,
      await readInput(requiredText(args, 'product_id')),
    );
    await writeFileAtomic(output, attributes);
    return { text: '', json: { output, size: attributes.length } };
  },
};

export const makeCertMetadata: CommandDefinition = {
  name: 'make_cert_metadata',
  summary: 'Join two certificates to the public key metadata of a vbmeta',
  positionals: {},
  options: {
    output: outputFile,
    intermediate_key_certificate: fileOption('Certificate of the intermediate key'),
    product_key_certificate: fileOption('Certificate of the product signing key'),
  },
  examples: [
    [
      'avb make_cert_metadata --intermediate_key_certificate pik.cert --product_key_certificate psk.cert --output metadata.bin',
      'for --public_key_metadata',
    ],
  ],
  async run(args) {
    const output = requiredText(args, 'output');
    const metadata = encodeCertificateMetadata(
      await readInput(requiredText(args, 'intermediate_key_certificate')),
      await readInput(requiredText(args, 'product_key_certificate')),
    );
    await writeFileAtomic(output, metadata);
    return { text: '', json: { output, size: metadata.length } };
  },
};

export const makeCertUnlockCredential: CommandDefinition = {
  name: 'make_cert_unlock_credential',
  summary: 'Make a credential that unlocks a device',
  positionals: {},
  options: {
    output: outputFile,
    intermediate_key_certificate: fileOption('Certificate of the intermediate key'),
    unlock_key_certificate: fileOption('Certificate of the unlock key'),
    challenge: textOption('File with the challenge of the device, 16 bytes'),
    unlock_key: textOption('Private key that answers it'),
    ...helperOptions,
  },
  examples: [
    [
      'avb make_cert_unlock_credential --intermediate_key_certificate pik.cert --unlock_key_certificate puk.cert --challenge challenge.bin --unlock_key puk.pem --output credential.bin',
      'answer a challenge',
    ],
  ],
  async run(args, context) {
    const output = requiredText(args, 'output');
    const challengePath = lastText(args, 'challenge');
    const keyPath = lastText(args, 'unlock_key');
    if ((challengePath === undefined) !== (keyPath === undefined)) {
      throw new UsageError('usage', 'Give --challenge and --unlock_key, or neither');
    }
    const credential = await makeUnlockCredential({
      intermediate: await readInput(requiredText(args, 'intermediate_key_certificate')),
      unlock: await readInput(requiredText(args, 'unlock_key_certificate')),
      answer:
        challengePath === undefined || keyPath === undefined
          ? undefined
          : {
              challenge: await readInput(challengePath),
              signer: await rsaSigner(args, keyPath, context),
            },
    });
    await writeFileAtomic(output, credential);
    return { text: '', json: { output, size: credential.length } };
  },
};

const SLOT_DATA = /^(\d+):(\d+):(\d+):(\d+):(\d+):(\d+)$/;

/** `priority:tries:successful` of slot A, then of slot B. */
function parseSlots(text: string): readonly [AbSlot, AbSlot] {
  const numbers = SLOT_DATA.exec(text)?.slice(1).map(Number);
  if (numbers === undefined) {
    throw new UsageError(
      'usage',
      `Cannot use --slot_data ${text}: it is not PRIORITY:TRIES:SUCCESSFUL of both slots`,
    );
  }
  const slot = (at: number): AbSlot => ({
    priority: numbers[at] ?? 0,
    triesRemaining: numbers[at + 1] ?? 0,
    successfulBoot: numbers[at + 2] !== 0,
  });
  return [slot(0), slot(3)];
}

export const setAbMetadata: CommandDefinition = {
  name: 'set_ab_metadata',
  summary: 'Write which slot boots next into a misc partition image, in place',
  positionals: {},
  options: {
    misc_image: imageOption('The misc image, changed in place'),
    slot_data: textOption('PRIORITY:TRIES:SUCCESSFUL of slot A, then of slot B', {
      default: '15:7:0:14:7:0',
    }),
  },
  examples: [['avb set_ab_metadata --misc_image misc.img --slot_data 15:7:1:14:7:0', 'slot A']],
  async run(args) {
    const path = requiredText(args, 'misc_image');
    const [a, b] = parseSlots(lastText(args, 'slot_data') ?? '');
    const metadata = encodeAbMetadata(a, b);
    const file = await openUndoableFile(path);
    try {
      await file.write(AB_METADATA_OFFSET, metadata);
      await file.commit();
    } catch (error) {
      await file.rollback();
      throw error;
    }
    return { text: '', json: { image: path, a, b } };
  },
};

const PATTERN_CHUNK = 1 << 20;

export const generateTestImage: CommandDefinition = {
  name: 'generate_test_image',
  summary: 'Write an image of counting bytes: 00 01 02 ... ff 00 ...',
  positionals: {},
  options: {
    image_size: textOption('In bytes', required),
    start_byte: textOption('The first byte', { default: '0' }),
    output: outputFile,
  },
  examples: [['avb generate_test_image --image_size 65536 --output test.img', '64 KiB']],
  async run(args, { signal }) {
    const size = sizeOf(args, 'image_size') ?? 0;
    const start = sizeOf(args, 'start_byte') ?? 0;
    const output = requiredText(args, 'output');
    const pattern = Uint8Array.from({ length: PATTERN_CHUNK }, (_, at) => (start + at) & 0xff);
    const chunks = function* (): Generator<Uint8Array> {
      for (let at = 0; at < size; at += PATTERN_CHUNK) {
        signal.throwIfAborted();
        yield pattern.subarray(0, Math.min(PATTERN_CHUNK, size - at));
      }
    };
    await writeFileAtomic(output, chunks());
    return { text: '', json: { output, size } };
  },
};
