/** An envelope for people: what was signed, and by whom it says. */

import { sha256, toHex } from '../../core/digest.ts';
import type { DumpNode } from '../../core/dump.ts';
import { decodeEnvelope } from './envelope.ts';

/** @throws {FormatError} when the bytes are no envelope. */
export function dumpEnvelope(bytes: Uint8Array): DumpNode {
  const { payloadType, payload, signatures } = decodeEnvelope(bytes);
  return {
    name: 'DSSE envelope',
    fields: [
      { name: 'payloadType', value: payloadType },
      { name: 'payload size', value: payload.length },
      { name: 'payload sha256', value: toHex(sha256(payload)) },
    ],
    children: signatures.map(({ keyid, signature }, index) => ({
      name: `signature ${index}`,
      fields: [
        { name: 'keyid', value: keyid },
        { name: 'sig', value: toHex(signature) },
      ],
      children: [],
    })),
  };
}
