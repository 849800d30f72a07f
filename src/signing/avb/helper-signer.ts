/**
 * Signing by an external program, as avbtool calls it: the program keeps the key, or knows who does.
 *
 * `APP ALGORITHM KEY` gets the padded digest on its standard input and answers with the raw signature
 * on its standard output; `APP ALGORITHM KEY FILE` gets it in a file and leaves the signature there.
 * What comes back is verified before it is used.
 */

import { spawn } from 'node:child_process';
import { constants, createHash, verify, type KeyObject } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ToolError, UsageError } from '../../core/errors.ts';
import type { Signer, SignatureHash } from '../signer.ts';

export interface HelperSignerOptions {
  readonly program: string;
  /** Whether the program works on a file instead of its standard input and output. */
  readonly withFiles: boolean;
  /** First argument: the AVB name of the algorithm. */
  readonly algorithm: string;
  /** Second argument: the path of the key, whatever the program makes of it. */
  readonly keyPath: string;
  readonly publicKey: KeyObject;
  readonly env: NodeJS.ProcessEnv;
}

/** `DigestInfo` of RFC 8017, 9.2, up to the digest itself. */
const DIGEST_INFO: Readonly<Record<'sha256' | 'sha512', string>> = {
  sha256: '3031300d060960864801650304020105000420',
  sha512: '3051300d060960864801650304020305000440',
};

/** How much of what the program says on stderr goes into an error. */
const STDERR_TAIL = 4096;

/** EMSA-PKCS1-v1_5 of a digest: what a raw RSA operation turns into the signature. */
export function padDigest(
  hash: 'sha256' | 'sha512',
  digest: Uint8Array,
  modulusSize: number,
): Uint8Array {
  const info = Buffer.concat([Buffer.from(DIGEST_INFO[hash], 'hex'), digest]);
  const padded = Buffer.alloc(modulusSize, 0xff);
  padded[0] = 0;
  padded[1] = 1;
  padded[modulusSize - info.length - 1] = 0;
  info.copy(padded, modulusSize - info.length);
  return new Uint8Array(padded);
}

function run(
  program: string,
  args: readonly string[],
  input: Uint8Array,
  env: NodeJS.ProcessEnv,
  maxOutput: number,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    const output: Buffer[] = [];
    let size = 0;
    let stderrTail = '';
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      // One byte too many is enough to know that it is no signature.
      if (size <= maxOutput + 1) output.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderrTail = (stderrTail + chunk.toString('utf8')).slice(-STDERR_TAIL);
    });
    // A program that does not read its input closes the pipe: its exit code says the rest.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.on('error', (cause) => {
      reject(
        new UsageError('key', `Cannot run signing helper ${program}: ${cause.message}`, { cause }),
      );
    });
    child.on('close', (exitCode, signal) => {
      if (exitCode === 0) return resolve(new Uint8Array(Buffer.concat(output)));
      return reject(
        new ToolError(`Cannot sign: ${program} failed`, {
          argv: [program, ...args],
          exitCode,
          signal,
          stderrTail,
        }),
      );
    });
  });
}

async function signInFile(options: HelperSignerOptions, padded: Uint8Array): Promise<Uint8Array> {
  const { program, algorithm, keyPath, env } = options;
  const folder = await mkdtemp(join(tmpdir(), 'microbuild-sign-'));
  try {
    const path = join(folder, 'digest');
    await writeFile(path, padded, { mode: 0o600 });
    await run(program, [algorithm, keyPath, path], new Uint8Array(0), env, 0);
    return new Uint8Array(await readFile(path));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * A signer that asks a program.
 *
 * Its `sign` rejects with {ToolError} when the program fails, and {UsageError} `key` when what it
 * answers is no signature of the public key.
 */
export function helperSigner(options: HelperSignerOptions): Signer {
  const { program, algorithm, keyPath, publicKey, env } = options;
  const modulusSize = (publicKey.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
  const digestInfoOf = (hash: SignatureHash): 'sha256' | 'sha512' => {
    if (hash === 'sha256' || hash === 'sha512') return hash;
    throw new TypeError(`Cannot ask a signing helper for a signature with ${hash}`);
  };
  return {
    publicKey,
    async sign(data, { hash: asked, scheme }) {
      if (scheme !== 'rsa-pkcs1' || publicKey.asymmetricKeyType !== 'rsa') {
        throw new TypeError(`Cannot ask a signing helper for a ${scheme} signature`);
      }
      const hash = digestInfoOf(asked);
      const digest = new Uint8Array(createHash(hash).update(data).digest());
      const padded = padDigest(hash, digest, modulusSize);
      const signature = options.withFiles
        ? await signInFile(options, padded)
        : await run(program, [algorithm, keyPath], padded, env, modulusSize);
      const padding = constants.RSA_PKCS1_PADDING;
      if (
        signature.length !== modulusSize ||
        !verify(hash, data, { key: publicKey, padding }, signature)
      ) {
        throw new UsageError(
          'key',
          `Cannot sign: ${program} answered with ${signature.length} bytes that are no signature of ${keyPath}`,
          { hint: 'The helper must do a raw RSA operation with the private half of that key' },
        );
      }
      return signature;
    },
  };
}
