/**
 * Signing by an external program: it keeps the key, or knows who does.
 *
 * `digest`: `PROGRAM [ARG...] SCHEME HASH [KEY]` gets the digest on its standard input. SCHEME is
 * `rsa-pkcs1`, `rsa-pss`, `ecdsa`, `dsa` or `ed25519`; HASH is `sha1`, `sha256`, `sha384` or `sha512`.
 * Ed25519 hashes by itself: HASH is then `none`, and the input is what is to be signed.
 *
 * `raw`: `PROGRAM [ARG...] ALGORITHM KEY` gets the padded block of an RSA signature, as avbtool's
 * signing helpers do; ALGORITHM is `SHA256_RSA4096` and the like. With `raw-file` the block is in a file
 * behind KEY, and so is the answer.
 *
 * The answer is the signature and nothing else: as long as the modulus for RSA, DER for ECDSA and DSA, 64
 * bytes for Ed25519. It is verified before anybody uses it.
 */

import { createHash, type KeyObject } from 'node:crypto';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from '../../core/errors.ts';
import { inTheMaking } from '../../io/in-the-making.ts';
import {
  isSignatureOf,
  type Signer,
  type SignatureHash,
  type SignatureOptions,
} from '../signer.ts';
import { callHelper } from './helper-process.ts';

export interface HelperSignerOptions {
  readonly program: string;
  /** In front of those of the protocol. */
  readonly args: readonly string[];
  readonly mode: 'digest' | 'raw' | 'raw-file';
  /** What the program is told of which key it is: a name, or a path, whatever it makes of it. */
  readonly key: string | undefined;
  readonly publicKey: KeyObject;
  readonly timeoutSeconds: number;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
}

/** `DigestInfo` of RFC 8017, 9.2, up to the digest itself. */
const DIGEST_INFO: Readonly<Record<SignatureHash, string>> = {
  sha1: '3021300906052b0e03021a05000414',
  sha256: '3031300d060960864801650304020105000420',
  sha384: '3041300d060960864801650304020205000430',
  sha512: '3051300d060960864801650304020305000440',
};

/** The longest signature that a program may answer with: RSA-16384. */
const MAX_SIGNATURE = 2048;

/** EMSA-PKCS1-v1_5 of a digest: what a raw RSA operation turns into the signature. */
export function padDigest(
  hash: SignatureHash,
  digest: Uint8Array,
  modulusSize: number,
): Uint8Array {
  const info = Buffer.concat([Buffer.from(DIGEST_INFO[hash], 'hex'), digest]);
  // Eight bytes of padding and three around them are the least.
  if (modulusSize < info.length + 11) {
    throw new UsageError(
      'key',
      `Cannot sign with ${hash}: an RSA key of ${modulusSize * 8} bits is too short`,
    );
  }
  const padded = Buffer.alloc(modulusSize, 0xff);
  padded[0] = 0;
  padded[1] = 1;
  padded[modulusSize - info.length - 1] = 0;
  info.copy(padded, modulusSize - info.length);
  return new Uint8Array(padded);
}

const modulusBits = (key: KeyObject): number => key.asymmetricKeyDetails?.modulusLength ?? 0;

const digestOf = (hash: SignatureHash, data: Uint8Array): Uint8Array =>
  new Uint8Array(createHash(hash).update(data).digest());

/** What the program is given for a signature. */
function questionOf(
  options: HelperSignerOptions,
  data: Uint8Array,
  { hash, scheme }: SignatureOptions,
): { readonly args: readonly string[]; readonly input: Uint8Array } {
  const { publicKey, key } = options;
  if (options.mode === 'digest') {
    const last = key === undefined ? [] : [key];
    return scheme === 'ed25519'
      ? { args: [...options.args, scheme, 'none', ...last], input: data }
      : { args: [...options.args, scheme, hash, ...last], input: digestOf(hash, data) };
  }
  if (scheme !== 'rsa-pkcs1' || publicKey.asymmetricKeyType !== 'rsa') {
    throw new UsageError(
      'key',
      `Cannot ask ${options.program} for a ${scheme} signature: a raw helper pads for RSA PKCS#1 only`,
      { hint: 'Use a helper with mode=digest' },
    );
  }
  const bits = modulusBits(publicKey);
  return {
    args: [...options.args, `${hash.toUpperCase()}_RSA${bits}`, key ?? ''],
    input: padDigest(hash, digestOf(hash, data), Math.ceil(bits / 8)),
  };
}

async function answerInFile(
  options: HelperSignerOptions,
  args: readonly string[],
  padded: Uint8Array,
): Promise<Uint8Array> {
  const scratch = await inTheMaking(join(tmpdir(), 'microbuild-sign'));
  const folder = scratch.path;
  try {
    await mkdir(folder, { mode: 0o700 });
    const path = join(folder, 'digest');
    await writeFile(path, padded, { mode: 0o600 });
    const none = new Uint8Array(0);
    await callHelper({ ...options, args: [...args, path], input: none, maxOutput: MAX_SIGNATURE });
    const handle = await open(path, 'r');
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_SIGNATURE + 1), 0);
      return new Uint8Array(buffer.subarray(0, bytesRead));
    } finally {
      await handle.close();
    }
  } finally {
    await scratch.discard();
  }
}

/** What is wrong with an answer, as far as can be told. */
function complaint(
  answer: Uint8Array,
  publicKey: KeyObject,
  { scheme }: SignatureOptions,
): { readonly message: string; readonly hint: string } {
  const size =
    scheme === 'ed25519'
      ? 64
      : scheme.startsWith('rsa-')
        ? Math.ceil(modulusBits(publicKey) / 8)
        : undefined;
  if (answer.length === 0) {
    return {
      message: 'answered with nothing, although it says that it succeeded',
      hint: 'The signature must be written to its standard output',
    };
  }
  if (answer.every((byte) => (byte >= 0x20 && byte < 0x7f) || [0x09, 0x0a, 0x0d].includes(byte))) {
    return {
      message: `answered with ${answer.length} bytes of text, not with a signature`,
      hint: 'The bytes of the signature are needed: neither Base64 nor hexadecimal, and no messages, which belong to stderr',
    };
  }
  if (size !== undefined && answer.length !== size) {
    return {
      message: `answered with ${answer.length} bytes, a signature of this key has ${size}`,
      hint: 'Nothing but the signature may be written, no line end either; messages belong to stderr',
    };
  }
  return {
    message: `answered with ${answer.length} bytes that are no signature of the public key`,
    hint:
      scheme === 'ecdsa' && answer.length % 2 === 0 && answer[0] !== 0x30
        ? 'ECDSA signatures must be DER, SEQUENCE { r, s }; this may be r and s in a row'
        : 'It signs with another key than that of the certificate or public key, or in another way',
  };
}

/**
 * A signer that asks a program.
 *
 * Its `sign` rejects with {ToolError} when the program fails, and with {UsageError} `key` when what it
 * answers is no signature of the public key.
 */
export function helperSigner(options: HelperSignerOptions): Signer {
  const { program, publicKey } = options;
  return {
    publicKey,
    async sign(data, asked) {
      const { args, input } = questionOf(options, data, asked);
      const answer =
        options.mode === 'raw-file'
          ? await answerInFile(options, args, input)
          : await callHelper({ ...options, args, input, maxOutput: MAX_SIGNATURE });
      if (isSignatureOf(publicKey, data, asked, answer)) return answer;
      const { message, hint } = complaint(answer, publicKey, asked);
      throw new UsageError('key', `Cannot sign: ${program} ${message}`, { hint });
    },
  };
}
