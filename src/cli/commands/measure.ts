/** `microbuild measure`: what a bundle measures, recomputed from its bytes, for those who attest machines that run it. */

import { readMeasurements, type StageMeasurement } from '../../bundle/measure.ts';
import { openBundle } from '../../bundle/open.ts';
import { requireWhole } from '../../bundle/resign-checks.ts';
import { fromHex } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import { readTrustedAvbKey } from '../../signing/keys/trusted-key.ts';
import type { CommandArguments, CommandDefinition } from '../command.ts';
import { bundleHasher } from '../engine.ts';

/** @throws {UsageError} when it is no SHA-512. */
function instanceHashOf(args: CommandArguments): Uint8Array | undefined {
  const given = args.optionalText('instance-hash');
  if (given === undefined) return undefined;
  if (/^[0-9a-f]{128}$/i.test(given)) return fromHex(given);
  throw new UsageError('usage', `Cannot use --instance-hash ${given}: it is no SHA-512`, {
    hint: 'Write the SHA-512 of the instance’s id in hexadecimal: sha512sum INSTANCE/id',
  });
}

const stageLines = (name: string, stage: StageMeasurement): readonly string[] => [
  `    ${name}`,
  `      code       ${stage.codeHash}`,
  ...(stage.configHash === undefined ? [] : [`      config     ${stage.configHash}`]),
  `      authority  ${stage.authorityHash}`,
];

export const measureCommand: CommandDefinition = {
  name: 'measure',
  summary: 'Verify a bundle by its own key, and tell what it and machines that run it measure',
  positionals: {
    bundle: { type: 'string', required: true, describe: 'Bundle: folder or .mbundle file' },
  },
  options: {
    trust: {
      type: 'string',
      requiresArg: true,
      describe: 'AVB key that must have signed the bundle; default: any, which is told',
    },
    'instance-hash': {
      type: 'string',
      requiresArg: true,
      describe:
        'SHA-512 of the id of an instance, in hexadecimal: the configuration of its system’s stage is told, too',
    },
  },
  examples: [
    ['measure out/hello', 'digests, and the stages of a machine’s DICE chain'],
    ['measure hello.mbundle --json', 'for a verifier of chains'],
  ],
  verifying: true,
  title: (args) => `Measure ${args.text('bundle')}`,
  async run(args, { signal }) {
    const path = args.text('bundle');
    const instanceHash = instanceHashOf(args);
    const trust = args.optionalText('trust');
    const trustedKey = trust === undefined ? undefined : await readTrustedAvbKey(trust);
    const bundle = await openBundle(path);
    try {
      await requireWhole(bundle, { trustedKey, hasher: await bundleHasher(), signal });
      const measured = await readMeasurements(bundle, instanceHash);
      const { dice, partitions, payload, payloads } = measured;
      const line = (name: string, value: string): string => `  ${name.padEnd(22)} ${value}`;
      const named = Object.entries(payloads);
      return {
        text: [
          `${path}: measured, and whole`,
          line('image key', `sha256:${measured.imageKey}`),
          line('rollback index', measured.rollbackIndex),
          line('kernel', measured.kernelDigest),
          line('initrd', measured.initrdNormalDigest),
          line('initrd, debuggable', measured.initrdDebuggableDigest),
          line('vbmeta', measured.vbmetaDigest),
          ...Object.entries(partitions).map(([name, root]) => line(`partition ${name}`, root)),
          ...[
            ['payload', payload] as const,
            ...named.map(([name, each]) => [`payload ${name}`, each] as const),
          ].map(([name, each]) =>
            line(name, `${each.apkRootDigest} (${each.package} ${each.versionCode})`),
          ),
          ...(['normal', 'debuggable'] as const).flatMap((boot) => [
            `  DICE, ${boot} boot (mode ${dice[boot].system.mode})`,
            ...stageLines('system', dice[boot].system),
            ...stageLines('payload', dice[boot].payload),
            ...Object.entries(dice[boot].payloads).flatMap(([name, stage]) =>
              stageLines(`payload ${name}`, stage),
            ),
          ]),
        ].join('\n'),
        json: { path, measurements: measured },
      };
    } finally {
      await bundle.close();
    }
  },
};
