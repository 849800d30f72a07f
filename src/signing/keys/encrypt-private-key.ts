/**
 * Encrypts private keys: PKCS#8 with PBES2, PBKDF2 with HMAC-SHA-256, AES-256-CBC.
 *
 * node:crypto can do the same, with 2048 iterations only: a pass phrase that a person can remember is
 * found too soon then.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5958, rfc8018
 */

import { createCipheriv, pbkdf2, randomBytes, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import {
  integer,
  nullValue,
  objectIdentifier,
  octetString,
  sequence,
} from '../../formats/der/write.ts';

const derive = promisify(pbkdf2);

/** What OWASP asked of PBKDF2 with SHA-256 in 2023: a quarter of a second for us. */
const ITERATIONS = 600_000;
const KEY_SIZE = 32;
const BLOCK_SIZE = 16;

const OID = {
  pbes2: '1.2.840.113549.1.5.13',
  pbkdf2: '1.2.840.113549.1.5.12',
  hmacWithSha256: '1.2.840.113549.2.9',
  aes256Cbc: '2.16.840.1.101.3.4.1.42',
} as const;

/**
 * @param passphrase UTF-8.
 * @returns PEM.
 */
export async function encryptPrivateKey(key: KeyObject, passphrase: Buffer): Promise<string> {
  const salt = randomBytes(BLOCK_SIZE);
  const iv = randomBytes(BLOCK_SIZE);
  const secret = await derive(passphrase, salt, ITERATIONS, KEY_SIZE, 'sha256');
  const plain = key.export({ type: 'pkcs8', format: 'der' });
  const cipher = createCipheriv('aes-256-cbc', secret, iv);
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
  for (const each of [secret, plain]) each.fill(0);
  const derivation = sequence(
    objectIdentifier(OID.pbkdf2),
    sequence(
      octetString(salt),
      integer(BigInt(ITERATIONS)),
      sequence(objectIdentifier(OID.hmacWithSha256), nullValue()),
    ),
  );
  const encryption = sequence(objectIdentifier(OID.aes256Cbc), octetString(iv));
  const algorithm = sequence(objectIdentifier(OID.pbes2), sequence(derivation, encryption));
  const der = sequence(algorithm, octetString(sealed));
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  const label = 'ENCRYPTED PRIVATE KEY';
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
