/** Opening images for `avb` verbs, and finding those of partitions beside them. */

import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import type { Options } from 'yargs';
import { openImage } from '../../../signing/avb/edit-image.ts';
import type { ImageFinder } from '../../../signing/avb/loaded-vbmeta.ts';
import type { CommandArguments, CommandContext } from '../../command.ts';
import { openEngine, type Engine } from '../../engine.ts';
import { largeStep } from '../../large-step.ts';
import { lastText, listOption, splitAtColons } from './options.ts';

export const openForReading: Pick<ImageFinder, 'open'> = {
  open: async (path) => (await openImage(path)).source,
};

export const partitionImageOptions = {
  partition_image: listOption(
    'Where the image of a partition is, as NAME:PATH; else NAME with the extension of --image, beside it',
  ),
};

/** Partitions of a vbmeta have their images beside it, named after them, unless the options say where. */
export function imageFinder(args: CommandArguments, path: string): ImageFinder {
  const named = new Map<string, string>();
  for (const text of args.list('partition_image')) {
    const [name = '', at = ''] = splitAtColons(text, 2, 'NAME:PATH');
    named.set(name, at);
  }
  return {
    ...openForReading,
    pathOf(partition) {
      // A name out of the image must not lead out of its folder.
      const safe = partition.replaceAll(/[/\\\0]/g, '_');
      const folder = path.slice(0, path.lastIndexOf('/') + 1);
      return named.get(partition) ?? `${folder}${safe}${extname(path)}`;
    },
  };
}

/** The system’s library has no AVB: there is no such engine here. */
export const avbEngineOption = {
  engine: {
    type: 'string',
    choices: ['native', 'js'],
    describe: 'Who hashes: the native library or JavaScript; default native where it is built',
  } satisfies Options,
};

/** Runs work with what hashes and makes parity. */
export async function withEngine<T>(
  args: CommandArguments,
  work: (engine: Engine) => Promise<T>,
): Promise<T> {
  const engine = await openEngine(lastText(args, 'engine'));
  try {
    return await work(engine);
  } finally {
    await engine.close();
  }
}

/** Reports a step on an image while it runs, when the image is large. */
export const step = async <T>(
  context: CommandContext,
  title: string,
  path: string,
  work: (onProgress: (done: number) => void) => Promise<T>,
): Promise<T> => largeStep(context, { name: 'avb', title, total: (await stat(path)).size }, work);
