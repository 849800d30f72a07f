/** `microbuild keys lineage`: shows the lineage of a file or APK, changes capabilities, writes it. */

import { UsageError } from '../../../core/errors.ts';
import { changeLineage } from '../../../signing/apk/lineage-change.ts';
import { readLineageOf } from '../../../signing/apk/lineage-source.ts';
import type { CommandDefinition } from '../../command.ts';
import { withSigning } from '../../signing/session.ts';
import { flagOption, lastText, textOption } from '../avb/options.ts';
import { expectOutputs, isSameFile } from '../output-files.ts';
import {
  certificateOf,
  lineageJson,
  lineageText,
  readSignerGroups,
  signerOptions,
  writeLineage,
} from './lineage-options.ts';

export const lineageCommand: CommandDefinition = {
  name: 'lineage',
  summary: 'Show the lineage of a file or a signed APK; change what its certificates are good for',
  positionals: {
    file: {
      type: 'string',
      required: true,
      describe: 'Lineage file, or APK whose key was rotated',
    },
  },
  options: {
    out: textOption('Write the lineage to this file, changed or not'),
    signer: flagOption('Starts the options of a certificate whose capabilities change'),
    ...signerOptions,
  },
  examples: [
    ['keys lineage app.lineage', 'its certificates, and their capabilities'],
    ['keys lineage app.apk --out app.lineage', 'the lineage that an APK is signed with, as a file'],
    [
      'keys lineage app.lineage --out app.lineage --signer --cert a.crt --set-installed-data false',
      'the key of a is no longer trusted with updates',
    ],
  ],
  async run(args, context) {
    const path = args.text('file');
    const out = lastText(args, 'out');
    const groups = readSignerGroups(context.argv, ['signer']);
    if (groups.length > 0 && out === undefined) {
      throw new UsageError('usage', 'Cannot change the lineage: --out is missing', {
        hint: 'Name the file for the changed lineage; it may be the same',
      });
    }
    const inPlace = out !== undefined && (await isSameFile(path, out));
    await expectOutputs(
      [['--out', inPlace ? undefined : out]],
      [path, ...groups.flatMap(({ key, cert }) => [key, cert])],
    );
    // No signature covers capabilities, so nothing is signed; keys only tell their certificates.
    return withSigning({ inputs: [path] }, args, context, async (session) => {
      let lineage = await readLineageOf(path);
      for (const group of groups) {
        const certificate = await certificateOf(session, group, path);
        lineage = changeLineage(lineage, certificate, group.capabilities);
      }
      if (out !== undefined) await writeLineage(out, lineage);
      return {
        text: `${out ?? path}: ${lineage.length} certificates, oldest first\n${lineageText(lineage)}`,
        json: { lineage: out ?? path, certificates: lineageJson(lineage) },
      };
    });
  },
};
