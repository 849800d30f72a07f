/** PKCS#11 modules for those who may never meet one: what loads them is loaded when a key is in a token. */

import type { LoadCryptoki } from '../formats/pkcs11/cryptoki.ts';

export const loadCryptoki: LoadCryptoki = async (path, options) =>
  (await import('./pkcs11.ts')).openCryptoki(path, options);
