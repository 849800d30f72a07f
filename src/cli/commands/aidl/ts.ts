import { dirname, join } from 'node:path';
import { mkdir } from 'node:fs/promises';
import { UsageError } from '../../../core/errors.ts';
import { writeFileAtomic } from '../../../io/atomic-output.ts';
import { generateTs } from '../../../runner/aidl/generate/ts.ts';
import type { CommandDefinition } from '../../command.ts';
import { compileFiles, filePositional, includeOption } from './shared.ts';

export const aidlTsCommand: CommandDefinition = {
  name: 'ts',
  summary: 'Generate TypeScript: types, proxies and stubs',
  positionals: filePositional,
  options: {
    ...includeOption,
    out: { type: 'string', describe: 'Folder for the files; default: one file goes to stdout' },
    runtime: {
      type: 'string',
      default: 'microbuild',
      describe: 'What generated files import the runtime from',
    },
    extension: {
      type: 'string',
      choices: ['.js', '.ts', ''],
      default: '.js',
      describe: 'How generated files name each other in imports',
    },
  },
  examples: [
    ['aidl ts aidl/dev/me/IFoo.aidl --out src/generated', 'with all types that it leads to'],
  ],
  async run(args) {
    const files = generateTs(compileFiles(args), {
      runtime: args.text('runtime'),
      extension: args.text('extension'),
    });
    const folder = args.optionalText('out');
    const [only] = files;
    if (folder === undefined) {
      if (files.length === 1 && only !== undefined) {
        return { text: only.text.trimEnd(), json: { files } };
      }
      throw new UsageError('usage', `Cannot print ${files.length} files: name a folder`, {
        hint: 'Add --out DIR',
      });
    }
    const written: string[] = [];
    for (const { path, text } of files) {
      const target = join(folder, path);
      await mkdir(dirname(target), { recursive: true });
      await writeFileAtomic(target, Buffer.from(text));
      written.push(target);
    }
    return { text: written.join('\n'), json: { files: written } };
  },
};
