/** `microbuild sign apk`: what apksigner signs, with its options. */

import { lstat } from 'node:fs/promises';
import { basename } from 'node:path';
import { UsageError } from '../../../core/errors.ts';
import { openFileSource } from '../../../io/byte-source.ts';
import { createFileSink } from '../../../io/image-sink.ts';
import { replaceFiles } from '../../../io/replace-files.ts';
import type { PlannedApk, SignedApk } from '../../../signing/apk/sign.ts';
import type { CommandArguments, CommandContext, CommandDefinition } from '../../command.ts';
import { withSigning } from '../../signing/session.ts';
import { lastText } from '../avb/options.ts';
import { expectOutputs, isSameFile } from '../output-files.ts';
import { apkOptions } from './apk-options.ts';
import { checkSdkRange, inputsOf, planFrom, reviewApk, wantsIdsig } from './apk-plan.ts';
import { reportSigned } from './apk-report.ts';
import { readSigners } from './apk-signers.ts';
import { apkWarnings } from './apk-warnings.ts';

/** Signs into new files, which the caller puts in their places. */
async function signInto(
  apk: PlannedApk,
  temporaries: readonly string[],
  { signal }: CommandContext,
): Promise<SignedApk> {
  const sinks = await Promise.all(temporaries.map((path) => createFileSink(path)));
  try {
    const [output, idsig] = sinks;
    if (output === undefined) throw new RangeError('There is no output');
    const signed = await apk.sign({ output, idsig });
    signal.throwIfAborted();
    return signed;
  } finally {
    await Promise.all(sinks.map((sink) => sink.close()));
  }
}

/** The APK that is to be signed: a word of its own, or behind --in. */
function inputOf(args: CommandArguments): string {
  const [path, ...others] = [args.optionalText('apk'), lastText(args, 'in')].filter(
    (each) => each !== undefined,
  );
  if (path !== undefined && others.length === 0) return path;
  throw new UsageError(
    'usage',
    path === undefined ? 'Cannot sign: no APK is named' : 'Cannot sign: two APKs are named',
    { hint: 'Name one: microbuild sign apk APK' },
  );
}

export const signApkCommand: CommandDefinition = {
  name: 'apk',
  summary: 'Sign an APK: JAR signature (v1), APK Signature Schemes v2, v3 and v3.1, and idsig (v4)',
  positionals: {
    apk: { type: 'string', required: false, describe: 'APK, unsigned or to be signed anew' },
  },
  options: apkOptions,
  examples: [
    ['sign apk app.apk --key release.pem --cert release.crt', 'v1, v2, v3 and app.apk.idsig'],
    [
      'sign apk app.apk --key release.pem --cert release.crt -o signed.apk --v1 false',
      'a new file',
    ],
    [
      'sign apk app.apk --lineage app.lineage --key old.pem --cert old.crt --key new.pem --cert new.crt',
      'the new key for Android 13 and later, the old one before',
    ],
  ],
  async run(args, context) {
    const path = inputOf(args);
    const output = lastText(args, 'output') ?? lastText(args, 'out') ?? path;
    const inPlace = await isSameFile(output, path);
    const idsig = lastText(args, 'idsig') ?? `${output}.idsig`;
    const given = readSigners(context.argv);
    checkSdkRange(args);
    const inputs = inputsOf(args, path, given);
    const secrets = given.flatMap(({ key, cert }) => [key, cert]);
    await expectOutputs(
      [
        ['--output', inPlace ? undefined : output],
        ['--idsig', idsig],
      ],
      [...inputs, ...secrets, lastText(args, 'stamp-key'), lastText(args, 'stamp-cert')],
    );
    return withSigning({ inputs }, args, context, async (session) => {
      const input = await openFileSource(path);
      try {
        const apk = await planFrom(session, args, path, given, input, context.signal);
        await reviewApk(session, args, apk, basename(path));
        for (const warning of apkWarnings(apk, await apk.targetSdk())) {
          context.reporter.report({ kind: 'warning', ...warning });
        }
        const withIdsig = wantsIdsig(args, apk.plan);
        const outputs = withIdsig ? [output, idsig] : [output];
        const signed = await replaceFiles(outputs, (temporaries) =>
          signInto(apk, temporaries, context),
        );
        if (!withIdsig && (await lstat(idsig).catch(() => undefined)) !== undefined) {
          context.reporter.report({
            kind: 'warning',
            message: `${idsig} is not of this APK: it was there before`,
            hint: 'Remove it, or sign with v4 too',
          });
        }
        return reportSigned({ apk, signed, output, idsig: withIdsig ? idsig : undefined, inPlace });
      } finally {
        await input.close();
      }
    });
  },
};
