/** Where the folder `vendor/` beside a recipe holds its blobs: by digest, with a list of what they are. */

import { join } from 'node:path';

export const VENDOR_FOLDER = 'vendor';
/** Names what each blob is. */
export const VENDOR_LIST = 'manifest.json';

/** The folder of the blobs, beside the recipe. */
export const vendorBlobs = (directory: string): string => join(directory, VENDOR_FOLDER, 'sha256');

/** The path of one of them, whether it is there or not. */
export const vendoredBlob = (directory: string, sha256: string): string =>
  join(vendorBlobs(directory), sha256);
