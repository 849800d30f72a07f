/** Names of signature algorithms, and how other people's tools make a signature of each. */

import type { KeyObject } from 'node:crypto';
import type { SignatureOptions } from '../signer.ts';
import type { SignatureRequest } from './request.ts';

/** Size of a key in bits, by its modulus or its curve; 0 where it has none. */
function keyBits(key: KeyObject): number {
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
  if (modulusLength !== undefined) return modulusLength;
  return Number(/\d{3}/.exec(namedCurve === 'prime256v1' ? '256' : (namedCurve ?? ''))?.[0] ?? 0);
}

/** As avbtool names it for vbmeta, as Java does for everything else. */
export function algorithmName(key: KeyObject, options: SignatureOptions): string {
  const hash = options.hash.toUpperCase();
  switch (options.scheme) {
    case 'rsa-pkcs1':
      return options.purpose === 'vbmeta' ? `${hash}_RSA${keyBits(key)}` : `${hash}withRSA`;
    case 'rsa-pss':
      return `${hash}withRSA/PSS`;
    case 'ecdsa':
      return `${hash}withECDSA`;
    case 'dsa':
      return `${hash}withDSA`;
    case 'ed25519':
      return 'Ed25519';
  }
}

/** Command lines that make a signature, to be run in the folder of the request. */
export interface SigningCommands {
  /** With a key file, or a key of an engine or provider. */
  readonly openssl: string;
  /** With a token; undefined where pkcs11-tool has no way. */
  readonly pkcs11Tool: string | undefined;
}

/** pkcs11-tool 0.23 gives more than this in parts, which no token takes for EdDSA. */
const MAX_EDDSA_DATA = 1024;

/** One-liners for a request. `KEY.pem` and `ID` are the reader's to fill in. */
export function signingCommands(request: SignatureRequest): SigningCommands {
  const { scheme, hash, data, signature } = request;
  const files = `-out ${signature} ${data}`;
  // OpenSC 0.23 looks for what signs by its id only, and takes any key without one.
  const token = (mechanism: string, input: string): string =>
    `pkcs11-tool --login --sign --id ID --mechanism ${mechanism} -i ${input} -o ${signature}`;
  const HASH = hash.toUpperCase();
  switch (scheme) {
    case 'rsa-pkcs1':
      return {
        openssl: `openssl dgst -${hash} -sign KEY.pem ${files}`,
        pkcs11Tool: token(`${HASH}-RSA-PKCS`, data),
      };
    case 'rsa-pss':
      return {
        openssl: `openssl dgst -${hash} -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest -sign KEY.pem ${files}`,
        pkcs11Tool: token(`${HASH}-RSA-PKCS-PSS`, data),
      };
    case 'ecdsa':
      return {
        openssl: `openssl dgst -${hash} -sign KEY.pem ${files}`,
        // Tokens that hash for ECDSA are rare.
        pkcs11Tool:
          request.digestFile === null
            ? undefined
            : `${token('ECDSA', request.digestFile)} --signature-format openssl`,
      };
    case 'dsa':
      return { openssl: `openssl dgst -${hash} -sign KEY.pem ${files}`, pkcs11Tool: undefined };
    case 'ed25519':
      return {
        openssl: `openssl pkeyutl -sign -rawin -inkey KEY.pem -in ${data} -out ${signature}`,
        pkcs11Tool: request.dataSize <= MAX_EDDSA_DATA ? token('EDDSA', data) : undefined,
      };
  }
}
