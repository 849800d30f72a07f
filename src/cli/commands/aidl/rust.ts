import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../../core/errors.ts';
import { writeFileAtomic } from '../../../io/atomic-output.ts';
import { generateRust } from '../../../runner/aidl/generate/rust.ts';
import type { CommandDefinition } from '../../command.ts';
import { compileFiles, filePositional, includeOption } from './shared.ts';

export const aidlRustCommand: CommandDefinition = {
  name: 'rust',
  summary: 'Generate Rust: a trait, a server and a proxy for each interface',
  positionals: filePositional,
  options: {
    ...includeOption,
    out: { type: 'string', describe: 'Folder for aidl.rs; default: it goes to stdout' },
    runtime: {
      type: 'string',
      default: 'microbuild_aidl_runtime',
      describe: 'Path of the runtime crate, as the generated code names it',
    },
    'interface-version': {
      type: 'number',
      describe: 'Version of the frozen interfaces, which servers answer to getInterfaceVersion',
    },
    'interface-hash': {
      type: 'string',
      describe: 'Hash of the frozen interfaces, which servers answer to getInterfaceHash',
    },
  },
  examples: [['aidl rust aidl/dev/me/IFoo.aidl --out src', 'writes src/aidl.rs']],
  async run(args) {
    const version = args.optionalNumber('interface-version');
    if (version !== undefined && !(Number.isInteger(version) && version > 0 && version < 2 ** 31)) {
      throw new UsageError('usage', `Cannot use ${version} as the version: expected 1 or more`);
    }
    const runtime = args.text('runtime');
    if (!/^[A-Za-z_]\w*(?:::[A-Za-z_]\w*)*$/.test(runtime)) {
      throw new UsageError('usage', `Cannot use "${runtime}" as a path of Rust`, {
        hint: 'Write it as in vm_payload::aidl',
      });
    }
    const hash = args.optionalText('interface-hash');
    if (hash !== undefined && !/^[\w.-]{1,128}$/.test(hash)) {
      throw new UsageError('usage', `Cannot use "${hash}" as a hash: expected hexadecimal digits`);
    }
    const text = generateRust(compileFiles(args), {
      runtime,
      version,
      hash,
    });
    const folder = args.optionalText('out');
    if (folder === undefined) return { text: text.trimEnd(), json: { text } };
    const target = join(folder, 'aidl.rs');
    await mkdir(folder, { recursive: true });
    await writeFileAtomic(target, Buffer.from(text));
    return { text: target, json: { files: [target] } };
  },
};
