/** `microbuild attest`: what a bundle that stands consists of and was made of, signed. */

import { basename, resolve } from 'node:path';
import { attestBundle, writeAttestations } from '../../builder/attest/attest.ts';
import { LOCAL_BUILDER } from '../../builder/attest/provenance.ts';
import { readAttestedBundle } from '../../builder/attest/read-bundle.ts';
import { attestationPath } from '../../bundle/attest/files.ts';
import { openBundle } from '../../bundle/open.ts';
import { requireWhole } from '../../bundle/resign-checks.ts';
import { readTrustedAvbKey } from '../../signing/keys/trusted-key.ts';
import type { CommandDefinition } from '../command.ts';
import { bundleHasher } from '../engine.ts';
import { builderIdOf } from '../image/builder-id.ts';
import { keyOptions, withSigning } from '../signing/session.ts';
import { lastText, textOption } from './avb/options.ts';

export const attestCommand: CommandDefinition = {
  name: 'attest',
  summary: 'Write the signed bill of materials and provenance of a bundle anew',
  positionals: {
    bundle: { type: 'string', required: true, describe: 'Bundle: folder or .mbundle file' },
  },
  options: {
    ...keyOptions,
    'store-pass': textOption('Pass phrase of the key store, where it is not that of the key'),
    trust: textOption('AVB key that must have signed the bundle; default: any'),
    'builder-id': textOption(`URI of who built it; default: ${LOCAL_BUILDER}`),
  },
  examples: [
    ['attest out/release --key image.pem', 'after it was signed with other keys'],
    [
      'attest hello.mbundle --key ci.pem --builder-id https://ci.example.com/builders/1',
      'beside the bundle: hello.mbundle.sbom.dsse.json, hello.mbundle.provenance.dsse.json',
    ],
  ],
  async run(args, context) {
    const path = resolve(args.text('bundle'));
    const builderId = builderIdOf(args);
    const trust = lastText(args, 'trust');
    const trustedKey = trust === undefined ? undefined : await readTrustedAvbKey(trust);
    return withSigning({ inputs: [path] }, args, context, async (session) => {
      const bundle = await openBundle(path);
      try {
        const { signal } = context;
        // A signature says nothing good about what was broken before.
        await requireWhole(bundle, { trustedKey, hasher: await bundleHasher(), signal });
        const attested = await readAttestedBundle(bundle);
        const { signer } = await session.key(lastText(args, 'key'), basename(path), {
          certificate: lastText(args, 'cert'),
          passphrase: lastText(args, 'key-pass'),
          storePassphrase: lastText(args, 'store-pass'),
        });
        const files = await attestBundle(attested, { builderId, options: {} }, signer);
        await writeAttestations(path, files, { isNew: false });
        const paths = files.map(({ name }) => attestationPath(path, name));
        return {
          text: [`${path}: attested by ${builderId}`, ...paths.map((each) => `  ${each}`)].join(
            '\n',
          ),
          json: { path, builderId, files: paths },
        };
      } finally {
        await bundle.close();
      }
    });
  },
};
