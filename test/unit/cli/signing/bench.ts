/** A command that signs as the real ones do, and a place to run it in. */

import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  runCommandLine,
  type CommandDefinition,
  type CommandGroup,
} from '../../../../src/cli/command.ts';
import { auditCommand } from '../../../../src/cli/commands/sign/audit.ts';
import { imageCommand } from '../../../../src/cli/commands/image.ts';
import { impliedSigning } from '../../../../src/cli/commands/sign/implied.ts';
import { keyOptions, withSigning } from '../../../../src/cli/signing/session.ts';
import { writeFileAtomic } from '../../../../src/io/atomic-output.ts';
import type { ReviewSubject } from '../../../../src/signing/policy/release.ts';
import { signChecked, type SignatureOptions, type Signer } from '../../../../src/signing/signer.ts';
import type { RequestDocument } from '../../../../src/signing/two-phase/request.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

export interface Run {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a key of each type signs in these tests. */
const howToSign = ({ publicKey }: Signer): SignatureOptions => {
  if (publicKey.asymmetricKeyType === 'ec') return { scheme: 'ecdsa', hash: 'sha256' };
  if (publicKey.asymmetricKeyType === 'ed25519') return { scheme: 'ed25519', hash: 'sha512' };
  return { scheme: 'rsa-pkcs1', hash: 'sha256' };
};

/** What the command asks to have reviewed, besides its keys. */
export const reviewed: ReviewSubject[] = [];

/**
 * `sign thing FILE --key K [--second-key L] -o OUT`: two signatures over the file, and one over both of
 * them, which no round knows before the second.
 */
const thing: CommandDefinition = {
  name: 'thing',
  summary: 'Sign a thing',
  positionals: { file: { type: 'string', required: true } },
  options: {
    ...keyOptions,
    'second-key': { type: 'string', requiresArg: true },
    output: { type: 'string', alias: 'o', requiresArg: true },
  },
  examples: [],
  run(args, context) {
    const path = args.text('file');
    return withSigning({ inputs: [path] }, args, context, async (session) => {
      const name = basename(path);
      const first = await session.key(args.optionalText('key'), name, {
        certificate: args.optionalText('cert'),
        passphrase: args.optionalText('key-pass'),
      });
      const second = await session.key(args.optionalText('second-key') ?? args.text('key'), name, {
        passphrase: args.optionalText('key-pass'),
      });
      for (const subject of reviewed) await session.review(subject);
      const data = readFileSync(path);
      const make = (signer: Signer, bytes: Uint8Array, purpose: 'apk-v2' | 'apk-v3' | 'apk-v4') =>
        signChecked(signer, bytes, { ...howToSign(signer), purpose });
      const parts = await Promise.all([
        make(first.signer, Buffer.concat([Buffer.from('a'), data]), 'apk-v2'),
        make(second.signer, Buffer.concat([Buffer.from('b'), data]), 'apk-v3'),
      ]);
      const both = Buffer.concat(parts);
      const last = await make(first.signer, both, 'apk-v4');
      await writeFileAtomic(args.text('output'), Buffer.concat([both, last]));
      return { text: 'signed', json: { signed: true } };
    });
  },
};

/** Only reads its file. */
const nothing: CommandDefinition = {
  ...thing,
  name: 'nothing',
  run: (args, context) =>
    withSigning({ inputs: [args.text('file')] }, args, context, () =>
      Promise.resolve({ text: '', json: null }),
    ),
};

const group: CommandGroup = {
  name: 'sign',
  summary: 'Sign',
  commands: [thing, nothing, auditCommand],
  implied: impliedSigning([], () => Promise.resolve(group)),
};

/** Runs `microbuild WORDS` in this process. */
export async function microbuild(
  words: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Run> {
  let stdout = '';
  let stderr = '';
  const status = await runCommandLine(words, [group, imageCommand], {
    terminal: {
      interactive: false,
      out: (text) => (stdout += `${text}\n`),
      err: (text) => (stderr += `${text}\n`),
      style: (_style, text) => text,
    },
    // No workspace of the machine has a say.
    env: { MICROBUILD_KEYS: '/nonexistent/keys', ...env },
    signal: new AbortController().signal,
    version: '0',
  });
  return { status, stdout, stderr };
}

export type KeyKind = 'rsa' | 'ec' | 'ed25519';

const generate = (kind: KeyKind): { privateKey: KeyObject; publicKey: KeyObject } => {
  if (kind === 'ec') return generateKeyPairSync('ec', { namedCurve: 'P-256' });
  if (kind === 'ed25519') return generateKeyPairSync('ed25519');
  return generateKeyPairSync('rsa', { modulusLength: 2048 });
};

/** Made once: keys take long. */
export const keys = {
  one: generate('rsa'),
  two: generate('rsa'),
  ec: generate('ec'),
  ed: generate('ed25519'),
} as const;

/** A folder with a file to sign and all keys, public and private. */
export function openBench(): (name: string) => string {
  const folder = tmpDir();
  const at = (name: string): string => join(folder, name);
  writeFileSync(at('thing.bin'), 'a thing that is signed');
  for (const [name, { privateKey, publicKey }] of Object.entries(keys)) {
    writeFileSync(at(`${name}.pem`), privateKey.export({ type: 'pkcs8', format: 'pem' }), {
      mode: 0o600,
    });
    writeFileSync(at(`${name}.pub`), publicKey.export({ type: 'spki', format: 'pem' }));
  }
  return at;
}

export const readRequest = (folder: string): RequestDocument =>
  JSON.parse(readFileSync(join(folder, 'request.json'), 'utf8')) as RequestDocument;

/** Signs what a request asks for, as a program elsewhere would; `raw` makes ECDSA `r || s`. */
export function signElsewhere(folder: string, form: 'der' | 'raw' = 'der'): number {
  const { keys: known, requests } = readRequest(folder);
  let count = 0;
  for (const request of requests) {
    if (existsSync(join(folder, request.signature))) continue;
    const pem = known.find(({ id }) => id === request.key)?.publicKey;
    const pair = Object.values(keys).find(
      ({ publicKey }) => publicKey.export({ type: 'spki', format: 'pem' }) === pem,
    );
    if (pair === undefined) throw new Error(`Nobody has the key of ${request.id}`);
    const data = readFileSync(join(folder, request.data));
    const signature = sign(request.scheme === 'ed25519' ? null : request.hash, data, {
      key: pair.privateKey,
      ...(form === 'raw' && { dsaEncoding: 'ieee-p1363' as const }),
    });
    writeFileSync(join(folder, request.signature), signature);
    count += 1;
  }
  return count;
}
