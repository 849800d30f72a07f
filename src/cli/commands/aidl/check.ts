import type { CommandDefinition } from '../../command.ts';
import { compileFiles, filePositional, includeOption } from './shared.ts';

export const aidlCheckCommand: CommandDefinition = {
  name: 'check',
  summary: 'Check AIDL files and what they import: all problems at once',
  positionals: filePositional,
  options: includeOption,
  examples: [
    ['aidl check aidl/dev/me/IFoo.aidl', 'says nothing but how much is right'],
    ['aidl check IFoo.aidl -I interfaces', 'with imports from another folder'],
  ],
  async run(args) {
    const { types, files } = compileFiles(args);
    const names = types.map(({ fullName }) => fullName);
    return Promise.resolve({
      text: `${names.join('\n')}\nno problems in ${files.length} files`,
      json: { types: types.map(({ fullName, kind }) => ({ name: fullName, kind })), files },
    });
  },
};
