import { basename } from 'node:path';
import { UsageError } from '../../core/errors.ts';
import type { CommandDefinition } from '../command.ts';
import { completionScript, SHELLS } from '../completion/scripts.ts';

export const completionCommand: CommandDefinition = {
  name: 'completion',
  summary: 'Print a completion script for bash, zsh or fish',
  positionals: {
    shell: {
      type: 'string',
      choices: [...SHELLS],
      required: false,
      describe: 'The shell; default: the one that SHELL names',
    },
  },
  options: {},
  examples: [
    ['completion bash > ~/.local/share/bash-completion/completions/microbuild', 'for every bash'],
    ['completion zsh > ~/.zfunc/_microbuild', 'for every zsh that has ~/.zfunc in its fpath'],
    ['completion fish > ~/.config/fish/completions/microbuild.fish', 'for every fish'],
  ],
  run(args, { env }) {
    const named = args.optionalText('shell') ?? basename(env['SHELL'] ?? '');
    const shell = SHELLS.find((each) => each === named);
    if (shell === undefined) {
      throw new UsageError(
        'usage',
        `Cannot tell which shell is used from SHELL=${env['SHELL'] ?? ''}`,
        {
          hint: `Name it: microbuild completion ${SHELLS.join('|')}`,
        },
      );
    }
    const script = completionScript(shell);
    return Promise.resolve({ text: script, json: { shell, script } });
  },
};
