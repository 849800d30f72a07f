/** `microbuild keys generate`: a new key, and its certificate. */

import { access, rm } from 'node:fs/promises';
import type { KeyObject } from 'node:crypto';
import { UsageError } from '../../../core/errors.ts';
import { describeKey } from '../../../signing/keys/describe-key.ts';
import {
  generateKey,
  KEY_KINDS,
  keyExists,
  writeNewFile,
  writePrivateKey,
  type KeyKind,
} from '../../../signing/keys/generate.ts';
import { readNewSecret } from '../../../signing/keys/secret.ts';
import { keySigner } from '../../../signing/signer.ts';
import {
  createSelfSignedCertificate,
  encodeCertificatePem,
  type SelfSignedOptions,
} from '../../../signing/x509.ts';
import type { CommandArguments, CommandContext, CommandDefinition } from '../../command.ts';
import { lastText } from '../avb/options.ts';
import { certificateOptions, certificateRequest } from './certificate-options.ts';
import { formatKey } from './options.ts';

export const generateCommand: CommandDefinition = {
  name: 'generate',
  summary: 'Make a key that only you can read, and its certificate',
  positionals: {
    path: { type: 'string', required: true, describe: 'File of the key; never overwritten' },
  },
  options: {
    type: {
      type: 'string',
      choices: KEY_KINDS,
      default: 'rsa4096',
      describe: 'Kind of key; AVB takes rsa2048, rsa4096 and rsa8192, APKs all but ed25519',
    },
    'key-pass': {
      type: 'string',
      requiresArg: true,
      describe: 'Encrypt it; the pass phrase comes from env:NAME, file:PATH, stdin or prompt',
    },
    cert: {
      type: 'string',
      requiresArg: true,
      describe: 'Write a self-signed certificate to this file, too (PEM); needs --subject',
    },
    ...certificateOptions,
  },
  examples: [
    ['keys generate image.pem', 'RSA-4096, for kernel and vbmeta'],
    [
      "keys generate payload.pem --type rsa2048 --cert payload.crt --subject 'Example Release'",
      'with a certificate, for APKs',
    ],
    ['keys generate release.pem --type p256 --key-pass prompt', 'encrypted with a pass phrase'],
  ],
  async run(args, context) {
    const path = args.text('path');
    const certificatePath = lastText(args, 'cert');
    const request = certificatePath === undefined ? undefined : certificateRequest(args);
    if (request === undefined) refuseUnused(args);
    await expectNew(path, certificatePath);
    const passphrase = await newPassphrase(args, context);
    try {
      const key = await generateTold(args.text('type') as KeyKind, context);
      context.signal.throwIfAborted();
      const certificate =
        request === undefined
          ? undefined
          : await createSelfSignedCertificate(keySigner(key), request);
      await writeBoth(path, key, passphrase, certificatePath, certificate);
      return resultOf(path, key, passphrase !== undefined, certificatePath, certificate, request);
    } finally {
      passphrase?.fill(0);
    }
  },
};

/** The largest take up to a minute, in which something should be seen. */
async function generateTold(kind: KeyKind, { reporter }: CommandContext): Promise<KeyObject> {
  if (kind !== 'rsa8192') return generateKey(kind);
  const step = { step: 'key', title: 'Searching for primes of 4096 bits' } as const;
  const started = performance.now();
  reporter.report({ kind: 'step-start', ...step });
  const key = await generateKey(kind);
  const milliseconds = Math.round(performance.now() - started);
  reporter.report({ kind: 'step-done', ...step, cached: false, milliseconds });
  return key;
}

function refuseUnused(args: CommandArguments): void {
  for (const option of Object.keys(certificateOptions)) {
    if (lastText(args, option) === undefined) continue;
    throw new UsageError('usage', `--${option} is of a certificate, and none is asked for`, {
      hint: 'Name its file: --cert FILE',
    });
  }
}

/** Told before a key is made, which may take a minute; writing checks it again. */
async function expectNew(path: string, certificatePath: string | undefined): Promise<void> {
  const isThere = (file: string): Promise<boolean> =>
    access(file).then(
      () => true,
      () => false,
    );
  if (await isThere(path)) throw keyExists(path);
  if (certificatePath === undefined) return;
  if (certificatePath === path) {
    throw new UsageError('output', `Cannot write key and certificate to one file ${path}`);
  }
  if (await isThere(certificatePath)) throw certificateExists(certificatePath);
}

const certificateExists = (path: string): UsageError =>
  new UsageError('output', `Cannot write certificate ${path}: the file exists`, {
    hint: 'Choose another name or move the old one away',
  });

async function newPassphrase(
  args: CommandArguments,
  { env, signal }: CommandContext,
): Promise<Buffer | undefined> {
  const source = lastText(args, 'key-pass');
  if (source === undefined) return undefined;
  const what = `new pass phrase of ${args.text('path')}`;
  return readNewSecret({ source, option: '--key-pass', what, env, signal });
}

/** Either both or none is there at the end. */
async function writeBoth(
  path: string,
  key: KeyObject,
  passphrase: Buffer | undefined,
  certificatePath: string | undefined,
  certificate: Uint8Array | undefined,
): Promise<void> {
  if (!(await writePrivateKey(path, key, passphrase))) throw keyExists(path);
  if (certificatePath === undefined || certificate === undefined) return;
  try {
    if (!(await writeNewFile(certificatePath, encodeCertificatePem(certificate), 0o644))) {
      throw certificateExists(certificatePath);
    }
  } catch (error) {
    // Nobody has used it: it was made just now.
    await rm(path, { force: true });
    throw error;
  }
}

function resultOf(
  path: string,
  key: KeyObject,
  isEncrypted: boolean,
  certificatePath: string | undefined,
  certificate: Uint8Array | undefined,
  request: SelfSignedOptions | undefined,
): { text: string; json: unknown } {
  const facts = describeKey(key, certificate === undefined ? [] : [certificate]);
  const files = [
    `${path}: private key${isEncrypted ? ', encrypted' : ''}, mode 0600`,
    ...(request === undefined ? [] : [`${certificatePath}: certificate`]),
  ];
  return {
    text: [...files, formatKey(facts)].join('\n'),
    json: { path, encrypted: isEncrypted, certificatePath: certificatePath ?? null, ...facts },
  };
}
