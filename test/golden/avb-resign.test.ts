/**
 * Signing anew gives what avbtool's arguments would have given with the other key: each recorded run is
 * played with its own keys and with others, and the images of the first are then signed with the others.
 */

import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../src/core/errors.ts';
import { readVbmeta } from '../../src/formats/avb/footer.ts';
import { decodeVbmeta, type Vbmeta } from '../../src/formats/avb/vbmeta.ts';
import { openImage } from '../../src/signing/avb/edit-image.ts';
import { avbPublicKey } from '../../src/signing/avb/public-key.ts';
import { resignImageFile } from '../../src/signing/avb/resign-image.ts';
import { verifySignature } from '../../src/signing/avb/verify.ts';
import { keySigner } from '../../src/signing/signer.ts';
import { corpus, corpusPath } from '../support/corpus.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { goldenCases, runStep, writeInputs, type GoldenCase } from './support/avb-cases.ts';

/** Keys of the recorded runs, and others of the same size. */
const OTHERS: ReadonlyMap<string, KeyObject> =
  corpus === undefined
    ? new Map()
    : new Map([
        ['testkey_rsa2048.pem', generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey],
        ['testkey_rsa4096.pem', createPrivateKey(readFileSync(keyFile('com.android.virt.pem')))],
      ]);

function keyFile(name: string): string {
  return corpusPath('avb/keys', name);
}

/** Plays a case in a new folder, with other keys under the names of its own where that is asked for. */
async function play(golden: GoldenCase, folder: string, withOthers: boolean): Promise<void> {
  mkdirSync(folder);
  writeInputs(golden, folder);
  for (const [name, other] of OTHERS) {
    const pem = withOthers
      ? other.export({ format: 'pem', type: 'pkcs8' })
      : readFileSync(keyFile(name));
    writeFileSync(join(folder, name), pem, { mode: 0o600 });
    // What runs that extract public keys leave for others.
    const blob = avbPublicKey(createPublicKey(createPrivateKey(pem)));
    writeFileSync(join(folder, `pk_${name}.bin`), blob);
  }
  for (const { argv } of golden.steps) await runStep(argv, folder, folder);
}

async function vbmetaIn(path: string): Promise<Vbmeta | undefined> {
  const { source } = await openImage(path);
  try {
    return decodeVbmeta((await readVbmeta(source)).bytes);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  } finally {
    await source.close();
  }
}

describe.skipIf(corpus === undefined)('avbtool’s recorded images, signed with another key', () => {
  const cases = corpus === undefined ? [] : goldenCases();
  const signed = cases.filter(({ steps }) =>
    steps.some(
      ({ argv: [verb = '', ...rest], rc }) =>
        rc === 0 &&
        /^(?:add|make_vbmeta)_/.test(verb) &&
        !rest.includes('--print_required_libavb_version') &&
        [...OTHERS.keys()].some((key) => rest.includes(key)),
    ),
  );

  test('there are enough of them', () => expect(signed.length).toBeGreaterThan(15));

  test.each(signed)('$name: the bytes of making it with that key', async (golden) => {
    const own = join(tmpDir(), 'own');
    const other = join(tmpDir(), 'other');
    await play(golden, own, false);
    await play(golden, other, true);
    let compared = 0;
    for (const name of readdirSync(own)) {
      const before = await vbmetaIn(join(own, name));
      const made = existsSync(join(other, name)) ? await vbmetaIn(join(other, name)) : undefined;
      if (before === undefined || made === undefined || before.algorithm === 'NONE') continue;
      // The top of a chain holds the keys of those below.
      const chainKeys = new Map(
        made.descriptors.flatMap((each) =>
          each.kind === 'chain-partition' ? [[each.partitionName, each.publicKey] as const] : [],
        ),
      );
      const key = [...OTHERS].find(([file]) => {
        const old = createPrivateKey(readFileSync(keyFile(file)));
        return Buffer.from(before.publicKey).equals(avbPublicKey(old));
      });
      if (key === undefined) continue;
      const { publicKeyMetadata } = made;
      const options = { signer: keySigner(key[1]), chainKeys, publicKeyMetadata };
      const { after } = await resignImageFile(join(own, name), options);
      expect(() => verifySignature(after, name)).not.toThrow();
      const same = readFileSync(join(own, name)).equals(readFileSync(join(other, name)));
      expect([name, same]).toEqual([name, true]);
      compared += 1;
    }
    // Some runs end with what was signed taken away again.
    const endsUnsigned = golden.steps.some(({ argv }) => argv[0] === 'erase_footer');
    expect(compared > 0 || endsUnsigned).toBe(true);
  });
});
