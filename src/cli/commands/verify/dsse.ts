/** A DSSE envelope: who of the trusted keys signed what is in it. */

import type { KeyObject } from 'node:crypto';
import { basename } from 'node:path';
import { sha256, toHex } from '../../../core/digest.ts';
import { UsageError, VerificationError } from '../../../core/errors.ts';
import {
  decodeEnvelope,
  DSSE_MAX_SIZE,
  type DsseEnvelope,
} from '../../../formats/dsse/envelope.ts';
import { openFileSource } from '../../../io/byte-source.ts';
import { dsseKeyid } from '../../../signing/dsse.ts';
import type { TrustAnchor } from '../../../signing/keys/trust-anchor.ts';
import { verifyDsse, type DsseTrust, type VerifiedDsse } from '../../../signing/verify-dsse.ts';
import { EXIT } from '../../exit-code.ts';
import { errorToJson, renderError } from '../../render/error.ts';
import { renderTree, type TreeLink } from '../../render/tree.ts';
import { trustAnchors } from '../../trust-anchors.ts';
import type { VerifyTarget } from './target.ts';

async function readEnvelope(path: string): Promise<Uint8Array> {
  const source = await openFileSource(path);
  try {
    if (source.size > DSSE_MAX_SIZE) {
      throw new UsageError('input', `Cannot verify ${path}: it has ${source.size} bytes`);
    }
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}

/** The trusted keys, each with the name that it was given by. */
function trustedKeys(
  anchors: readonly TrustAnchor[],
): readonly (readonly [name: string, key: KeyObject])[] {
  for (const { name, digest } of anchors) {
    if (digest === undefined) continue;
    throw new UsageError('key', `Cannot trust ${name}: an envelope holds no keys to compare with`, {
      hint: 'Name the file of the public key or certificate',
    });
  }
  return anchors.flatMap(({ name, keys }) => keys.map((key) => [name, key] as const));
}

/** Who says to have signed; a key’s name in an envelope is a hint, no more. */
const claims = ({ signatures }: DsseEnvelope): string =>
  signatures.map(({ keyid }) => (keyid ? `a key called ${keyid}` : 'an unnamed key')).join(' and ');

function verifyTrusted(
  path: string,
  bytes: Uint8Array,
  trust: DsseTrust,
  envelope: DsseEnvelope,
): VerifiedDsse {
  const hint = `If you know from elsewhere whose signature it must be: --trust KEY-FILE`;
  if (trust.keys.length === 0) {
    throw new VerificationError(
      'dsse',
      'untrusted',
      `Cannot trust ${path}: it says to be signed by ${claims(envelope)}, and nothing here is trusted`,
      { hint },
    );
  }
  try {
    return verifyDsse(bytes, trust);
  } catch (cause) {
    if (!(cause instanceof VerificationError) || cause.code !== 'untrusted') throw cause;
    const { message, link, code, expected = '', actual = '' } = cause;
    const detail = { expected, actual: `${actual}: it says ${claims(envelope)}`, cause, hint };
    throw new VerificationError(link, code, message, detail);
  }
}

export const verifyDsseTarget: VerifyTarget = async (path, args, { env, terminal }) => {
  const keys = trustedKeys(await trustAnchors(args.list('trust'), path, env));
  const threshold = args.optionalNumber('threshold') ?? 1;
  const bytes = await readEnvelope(path);
  const envelope = decodeEnvelope(bytes);
  const count = envelope.signatures.length;
  const head = `${basename(path)}: ${count} ${count === 1 ? 'signature' : 'signatures'}`;
  try {
    const trust = {
      keys: keys.map(([, key]) => key),
      threshold,
      payloadType: args.optionalText('payload-type'),
    };
    const found = verifyTrusted(path, bytes, trust, envelope);
    const digest = toHex(sha256(found.payload));
    const hasSigned = (key: KeyObject): boolean => found.keys.some((each) => each.equals(key));
    const links = keys.map(([name, key]): TreeLink => ({
      title: `${name} → payload`,
      state: hasSigned(key) ? 'ok' : 'skipped',
      details: [
        hasSigned(key)
          ? `${found.payloadType}, ${found.payload.length} bytes, sha256 ${digest}`
          : 'has not signed it, and need not',
        `${key.asymmetricKeyType} key, SubjectPublicKeyInfo sha256 ${dsseKeyid(key)}`,
      ],
      children: [],
    }));
    return {
      text: `${head}\n${renderTree(links, terminal)}\nverified: ${found.keys.length} of ${threshold} needed`,
      json: {
        verified: true,
        payloadType: found.payloadType,
        payloadSha256: digest,
        payloadSize: found.payload.length,
        signedBy: keys.filter(([, key]) => hasSigned(key)).map(([name]) => name),
        threshold,
      },
    };
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError('usage', error.message, { cause: error });
    if (!(error instanceof VerificationError)) throw error;
    terminal.err(renderError(error, terminal, false));
    const broken: TreeLink = {
      title: 'trusted keys → payload',
      state: 'broken',
      details: [error.message],
      children: [],
    };
    return {
      text: `${head}\n${renderTree([broken], terminal)}\nNOT VERIFIED`,
      json: { verified: false, error: errorToJson(error, EXIT.verification) },
      exitCode: EXIT.verification,
    };
  }
};
