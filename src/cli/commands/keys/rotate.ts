/** `microbuild keys rotate`: lets the key of an app sign the certificate of its next key. */

import { basename } from 'node:path';
import { UsageError } from '../../../core/errors.ts';
import { changeCapabilities, DEFAULT_CAPABILITIES } from '../../../formats/apk/lineage.ts';
import {
  changeLineage,
  extendLineage,
  startLineage,
  type Lineage,
} from '../../../signing/apk/lineage-change.ts';
import { readLineageOf } from '../../../signing/apk/lineage-source.ts';
import { readCertificateKey } from '../../../signing/x509.ts';
import type { CommandDefinition } from '../../command.ts';
import { signingOptions, withSigning } from '../../signing/session.ts';
import { flagOption, lastText, requiredText, textOption } from '../avb/options.ts';
import { expectOutputs, isSameFile } from '../output-files.ts';
import {
  certificateOf,
  keyOptionsOf,
  lineageJson,
  lineageText,
  readSignerGroups,
  signerOptions,
  writeLineage,
  type SignerGroup,
} from './lineage-options.ts';

const OLD = 'old-signer';
const NEW = 'new-signer';

function groupsOf(argv: readonly string[]): { old: SignerGroup; new: SignerGroup } {
  const groups = readSignerGroups(argv, [OLD, NEW]);
  const only = (starter: string): SignerGroup => {
    const [group, ...others] = groups.filter((each) => each.starter === starter);
    if (group !== undefined && others.length === 0) return group;
    throw new UsageError('usage', `Cannot rotate: --${starter} is needed, once`, {
      hint: `Write --${OLD} --key OLD --cert OLD.pem --${NEW} --cert NEW.pem`,
    });
  };
  return { old: only(OLD), new: only(NEW) };
}

export const rotateCommand: CommandDefinition = {
  name: 'rotate',
  summary: 'Let the key of an app sign the certificate of its next key: start or extend a lineage',
  positionals: {},
  options: {
    in: textOption('Lineage so far, or an APK that is signed with it; default: start one'),
    out: textOption('File for the new lineage', { demandOption: true }),
    [OLD]: flagOption('Starts the options of the key until now'),
    [NEW]: flagOption('Starts the options of the next key, of which the certificate is enough'),
    ...signerOptions,
    ...signingOptions,
  },
  examples: [
    [
      'keys rotate --out app.lineage --old-signer --key a.pem --cert a.crt --new-signer --cert b.crt',
      'b follows a',
    ],
    [
      'keys rotate --in app.lineage --out app.lineage --old-signer --key b.pem --cert b.crt --new-signer --cert c.crt --set-rollback true',
      'c follows b, and apps may go back to it later',
    ],
  ],
  async run(args, context) {
    const groups = groupsOf(context.argv);
    const before = lastText(args, 'in');
    const out = requiredText(args, 'out');
    const inPlace = before !== undefined && (await isSameFile(before, out));
    await expectOutputs(
      [['--out', inPlace ? undefined : out]],
      [before, groups.old.key, groups.old.cert, groups.new.key, groups.new.cert],
    );
    const inputs = before === undefined ? [] : [before];
    return withSigning({ inputs }, args, context, async (session) => {
      const artefact = basename(out);
      const old = await session.key(groups.old.key, artefact, keyOptionsOf(groups.old));
      const [certificate] = old.certificates;
      if (certificate === undefined) {
        throw new UsageError('key', 'Cannot rotate: the old key has no certificate', {
          hint: 'Name it with --cert',
        });
      }
      const next = await certificateOf(session, groups.new, artefact);
      await session.review({
        kind: 'key',
        name: groups.new.cert ?? groups.new.key ?? 'the new key',
        publicKey: readCertificateKey(next),
        development: false,
      });
      const given: Lineage =
        before === undefined
          ? startLineage(certificate, DEFAULT_CAPABILITIES)
          : await readLineageOf(before);
      const lineage = await extendLineage(
        changeLineage(given, certificate, groups.old.capabilities),
        { signer: old.signer, certificate },
        {
          certificate: next,
          capabilities: changeCapabilities(DEFAULT_CAPABILITIES, groups.new.capabilities),
        },
      );
      await writeLineage(out, lineage);
      return {
        text: `${out}: ${lineage.length} certificates, oldest first\n${lineageText(lineage)}`,
        json: { lineage: out, certificates: lineageJson(lineage) },
      };
    });
  },
};
