/** What the commands on AIDL files share. */

import type { Options } from 'yargs';
import { type AidlProgram, compileAidl } from '../../../runner/aidl/compile.ts';
import { aidlSources, readAidlFiles } from '../../../runner/aidl/files.ts';
import type { CommandArguments, CommandDefinition } from '../../command.ts';

export const filePositional: CommandDefinition['positionals'] = {
  files: { type: 'string', array: true, describe: '.aidl files' },
};

export const includeOption: Readonly<Record<string, Options>> = {
  include: {
    alias: 'I',
    type: 'string',
    array: true,
    nargs: 1,
    describe: 'Folder below which imported files lie, by package; those of FILES are known',
  },
};

/** @throws {RecipeError} with every problem of the files and of those that they import. */
export function compileFiles(args: CommandArguments): AidlProgram {
  const files = readAidlFiles(args.list('files'));
  return compileAidl(files, {
    sources: aidlSources(args.list('include'), files),
    checkFileNames: true,
  });
}
