/** A DSSE envelope: who of the trusted keys signed what is in it. */

import { basename } from 'node:path';
import { sha256, toHex } from '../../../core/digest.ts';
import { UsageError, VerificationError } from '../../../core/errors.ts';
import { decodeEnvelope, DSSE_MAX_SIZE } from '../../../formats/dsse/envelope.ts';
import { openFileSource } from '../../../io/byte-source.ts';
import { readPublicKeyFile } from '../../../signing/keys/certificates.ts';
import { verifyDsse } from '../../../signing/verify-dsse.ts';
import { EXIT } from '../../exit-code.ts';
import { errorToJson } from '../../render/error.ts';
import { renderTree, type TreeLink } from '../../render/tree.ts';
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

export const verifyDsseTarget: VerifyTarget = async (path, args, { terminal }) => {
  const names = args.list('trust');
  if (names.length === 0) {
    throw new UsageError('key', `Cannot verify ${path}: no key is trusted`, {
      hint: 'Name those that may have signed it with --trust, as often as there are such',
    });
  }
  const keys = await Promise.all(names.map(readPublicKeyFile));
  const threshold = args.optionalNumber('threshold') ?? 1;
  const bytes = await readEnvelope(path);
  const { signatures } = decodeEnvelope(bytes);
  const head = `${basename(path)}: ${signatures.length} ${signatures.length === 1 ? 'signature' : 'signatures'}`;
  try {
    const found = verifyDsse(bytes, {
      keys,
      threshold,
      payloadType: args.optionalText('payload-type'),
    });
    const digest = toHex(sha256(found.payload));
    const links = names.map((name, index): TreeLink => {
      const signed = found.keys.some((key) => keys[index]?.equals(key) === true);
      return {
        title: `${name} → payload`,
        state: signed ? 'ok' : 'skipped',
        details: [
          signed
            ? `${found.payloadType}, ${found.payload.length} bytes, sha256 ${digest}`
            : 'has not signed it, and need not',
        ],
        children: [],
      };
    });
    return {
      text: `${head}\n${renderTree(links, terminal)}\nverified: ${found.keys.length} of ${threshold} needed`,
      json: {
        verified: true,
        payloadType: found.payloadType,
        payloadSha256: digest,
        payloadSize: found.payload.length,
        signedBy: names.filter((_name, index) =>
          found.keys.some((key) => keys[index]?.equals(key) === true),
        ),
        threshold,
      },
    };
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError('usage', error.message, { cause: error });
    if (!(error instanceof VerificationError)) throw error;
    terminal.err(`error: ${error.message}`);
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
