/** Which entries of an APK a JAR signature is made of, and which ones it covers. */

import { META_INF } from '../../../formats/jar/manifest.ts';

const SIGNATURE_FILE = /^(?:manifest\.mf|sig-.*|.*\.(?:sf|rsa|dsa|ec))$/s;

/**
 * Whether a signed manifest lists an entry, by the JAR specification: all files but those of the
 * signature itself. Others of these names are left out when an APK is signed anew.
 */
export function isListedInManifest(name: string): boolean {
  if (name.endsWith('/')) return false;
  if (!name.startsWith(META_INF)) return true;
  const file = name.slice(META_INF.length);
  return file.includes('/') || !SIGNATURE_FILE.test(file.toLowerCase());
}

/** Whether Android wants an entry to be signed: nothing in META-INF is. */
export const mustBeSigned = (name: string): boolean =>
  !name.startsWith(META_INF) && !name.endsWith('/');
