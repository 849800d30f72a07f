/** Images of partitions stand beside the image that describes them, named after them. */

import { extname } from 'node:path';
import type { ImageFinder } from '../../../signing/avb/loaded-vbmeta.ts';
import { openForReading } from '../avb/images.ts';

export function besideFinder(path: string): ImageFinder {
  const folder = path.slice(0, path.lastIndexOf('/') + 1);
  return {
    ...openForReading,
    pathOf(partition) {
      // A name out of the image must not lead out of its folder.
      const safe = partition.replaceAll(/[/\\\0]/g, '_');
      return `${folder}${safe}${extname(path)}`;
    },
  };
}
