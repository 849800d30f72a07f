/** The options of `microbuild sign apk`: apksigner's names where it has them. */

import type { Options } from 'yargs';
import { keyOptions } from '../../signing/session.ts';
import { flagOption, listOption, textOption } from '../avb/options.ts';

const BOOLEAN = ['true', 'false'];

const schemeOption = (describe: string): Options => textOption(describe, { choices: BOOLEAN });

export const apkOptions: Readonly<Record<string, Options>> = {
  ...keyOptions,
  key: listOption(`${keyOptions.key.describe}; several signers: --key A --cert A --key B --cert B`),
  cert: listOption(keyOptions.cert.describe),
  'key-pass': listOption(keyOptions['key-pass'].describe),
  'store-pass': listOption('Pass phrase of a key store, where it is not that of the key'),
  in: textOption('APK, as apksigner names it'),
  output: textOption('Leave APK as it is and write to this file; default: sign in place', {
    alias: 'o',
  }),
  out: textOption('--output, as apksigner calls it'),
  idsig: textOption('File for the v4 signature; default: the output with .idsig behind it'),
  v1: schemeOption('JAR signature; default true'),
  v2: schemeOption('APK Signature Scheme v2; default true'),
  v3: schemeOption(
    'APK Signature Scheme v3, and v3.1 with a lineage; default: where there is one signer per release',
  ),
  v4: schemeOption(
    'APK Signature Scheme v4, in a file of its own; default: where v2 or v3 has one signer',
  ),
  'v1-signing-enabled': schemeOption('--v1, as apksigner calls it'),
  'v2-signing-enabled': schemeOption('--v2, as apksigner calls it'),
  'v3-signing-enabled': schemeOption('--v3, as apksigner calls it'),
  'v4-signing-enabled': schemeOption('--v4, as apksigner calls it'),
  'min-sdk-version': textOption(
    'Oldest release that the APK is for; default: what its manifest says',
  ),
  'max-sdk-version': textOption(
    'Newest release that the APK is for; only compared with the oldest',
  ),
  lineage: textOption(
    'Lineage of the signers, from keys rotate; the oldest signer signs v1 and v2',
  ),
  'rotation-min-sdk-version': textOption(
    'First release that takes the newest key of the lineage; default 33, below it all of v3',
  ),
  'rotation-targets-dev-release': flagOption('That release is in development'),
  'next-signer': flagOption('Starts the options of another signer'),
  'signer-for-min-sdk-version': listOption(
    'Starts the options of another signer, who signs for this release and later ones',
  ),
  'signer-lineage': listOption('Lineage of that signer'),
  'v1-signer-name': listOption(
    'Name of the files of a JAR signature; default: the name of the key file, or CERT',
  ),
  'append-signature': flagOption(
    'Keep the signatures of others, which must stay valid: for v2, with all entries as they are',
  ),
  'verity-enabled': flagOption('Sign the Merkle tree of fs-verity in v2 and v3 too'),
  'align-file-size': flagOption('Add zeros until the APK fills blocks of 4096 bytes'),
  'alignment-preserved': flagOption('Leave data where it is, aligned or not, as apksigner does'),
  'lib-page-alignment': textOption('What uncompressed libraries are aligned to; default 4096', {
    choices: ['4096', '16384'],
  }),
  'keep-entry-comments': flagOption('Keep comments of entries, which strict readers refuse'),
  'drop-gaps': flagOption('Leave out bytes that belong to no entry, instead of refusing the APK'),
  'debuggable-apk-permitted': textOption('false refuses APKs that are debuggable; default true', {
    choices: BOOLEAN,
  }),
  'stamp-key': textOption('Key of a source stamp, which says who distributes the APK'),
  'stamp-cert': textOption('Certificate of that key'),
  'stamp-key-pass': textOption('Pass phrase of that key: env:NAME, file:PATH, stdin or prompt'),
  'stamp-lineage': textOption('Lineage of that key'),
  'stamp-timestamp': textOption('Time that the stamp tells, in seconds since 1970; default: none'),
  'force-stamp-overwrite': flagOption('Replace the stamp of another key'),
};
