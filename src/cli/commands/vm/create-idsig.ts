import { UsageError } from '../../../core/errors.ts';
import { toHex } from '../../../core/digest.ts';
import { openFileSource } from '../../../io/byte-source.ts';
import { createFileSink } from '../../../io/image-sink.ts';
import { replaceFiles } from '../../../io/replace-files.ts';
import { loadApkHasher } from '../../../native/load-apk-hasher.ts';
import { writeUnsignedIdsig } from '../../../signing/apk/write-idsig.ts';
import type { CommandDefinition } from '../../command.ts';
import { isSameFile } from '../output-files.ts';

export const createIdsigCommand: CommandDefinition = {
  name: 'create-idsig',
  summary: 'Make the idsig of an APK without its signer’s key, as Android’s vm create-idsig does',
  positionals: {
    apk: { type: 'string', describe: 'A signed APK' },
    idsig: { type: 'string', describe: 'File to write' },
  },
  options: {},
  examples: [['vm create-idsig app.apk app.apk.idsig', 'verifies the APK, and hashes all of it']],
  verifying: true,
  async run(args) {
    const [path, output] = [args.text('apk'), args.text('idsig')];
    if (await isSameFile(output, path)) {
      throw new UsageError('usage', `Cannot write the idsig to ${output}: the APK is there`);
    }
    const apk = await openFileSource(path);
    try {
      const hasher = await loadApkHasher(apk.size);
      const { rootHash, size } = await replaceFiles([output], async ([temporary = '']) => {
        const sink = await createFileSink(temporary);
        try {
          return await writeUnsignedIdsig(apk, sink, { hasher });
        } finally {
          await sink.close();
        }
      });
      const json = { idsig: output, size, rootHash: toHex(rootHash) };
      return { text: `${output}: ${size} bytes, root hash ${json.rootHash}`, json };
    } finally {
      await apk.close();
    }
  },
};
