import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { signChecked, type SignatureOptions } from '../../../../src/signing/signer.ts';
import { openRequestFolder, writeRequestFolder } from '../../../../src/signing/two-phase/folder.ts';
import {
  attachingSigner,
  createRecorder,
  preparedSigner,
  requestId,
  SignaturesNeeded,
} from '../../../../src/signing/two-phase/signers.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const one = generateKeyPairSync('ed25519');
const two = generateKeyPairSync('ed25519');
const how: SignatureOptions = { scheme: 'ed25519', hash: 'sha512', purpose: 'dsse' };
const [a, b] = [Buffer.from('a'), Buffer.from('b')];

const refused = async (asked: Promise<unknown>): Promise<void> => {
  await expect(asked).rejects.toBeInstanceOf(SignaturesNeeded);
};

describe('what is recorded', () => {
  test('are the bytes as they were when they were asked for', async () => {
    const recorder = createRecorder(1);
    const buffer = Buffer.from('before');
    const asked = preparedSigner(one.publicKey, 'thing', recorder).sign(buffer, how);
    buffer.write('behind');
    await refused(asked);
    expect(recorder.needed().map(({ data }) => Buffer.from(data).toString())).toEqual(['before']);
  });

  test('is all that was asked for at the same time, also behind a check of the answer', async () => {
    const recorder = createRecorder(1);
    const signer = preparedSigner(one.publicKey, 'thing', recorder);
    await refused(Promise.all([signChecked(signer, a, how), signChecked(signer, b, how)]));
    expect(recorder.needed()).toHaveLength(2);
  });

  test('is asked for once for each key, bytes and way to sign', async () => {
    const recorder = createRecorder(1);
    const ask = (key: typeof one, data: Buffer, options: SignatureOptions): Promise<void> =>
      refused(preparedSigner(key.publicKey, 'thing', recorder).sign(data, options));
    for (let time = 0; time < 2; time += 1) {
      await ask(one, a, how);
      await ask(two, a, how);
      await ask(one, b, how);
      await ask(one, a, { ...how, purpose: 'apk-v3' });
    }
    expect(recorder.needed()).toHaveLength(4);
    expect(requestId(one.publicKey, a, how)).not.toBe(requestId(two.publicKey, a, how));
  });

  test('has an order of its own, whatever was asked for first', async () => {
    const orders = [
      [a, b],
      [b, a],
    ].map(async (data) => {
      const recorder = createRecorder(1);
      const signer = preparedSigner(one.publicKey, 'thing', recorder);
      for (const each of data) await refused(signer.sign(each, how));
      return recorder.needed();
    });
    const [forward, backward] = await Promise.all(orders);
    expect(forward).toEqual(backward);
  });
});

test('signatures are found by the bytes they are over; what is not there is asked for later', async () => {
  const folder = join(tmpDir(), 'request');
  const recorder = createRecorder(1);
  await refused(preparedSigner(one.publicKey, 'thing', recorder).sign(a, how));
  const needed = recorder.needed();
  const [first] = needed;
  if (first === undefined) throw new Error('nothing was recorded');
  const publicKey = one.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const key = { id: first.request.key, reference: null, certificate: null, certificates: [] };
  await writeRequestFolder(
    folder,
    {
      schemaVersion: 1,
      job: { command: ['sign', 'thing'], arguments: [], directory: '/', inputs: [] },
      keys: [{ ...key, publicKey }],
      requests: [first.request],
    },
    needed,
  );
  const signature = sign(null, a, one.privateKey);
  writeFileSync(join(folder, first.request.signature), signature);

  const opened = await openRequestFolder(folder);
  const later = createRecorder(2);
  const signer = attachingSigner(one.publicKey, 'thing', opened.find, later);
  expect(Buffer.compare(await signChecked(signer, a, how), signature)).toBe(0);
  await refused(signer.sign(b, how));
  await opened.add(later.needed(), []);
  await opened.finish();
  const { requests } = (await openRequestFolder(folder)).document;
  expect(requests.map(({ round, state }) => [round, state])).toEqual([
    [1, 'attached'],
    [2, 'needed'],
  ]);
  // Asked for again, it is not written again.
  const before = readdirSync(folder).map((name) => [
    name,
    readFileSync(join(folder, name), 'latin1'),
  ]);
  await opened.add(later.needed(), []);
  expect(
    readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'latin1')]),
  ).toEqual(before);
});

test('a folder with a directory in the place of a signature is told', async () => {
  const folder = join(tmpDir(), 'request');
  const recorder = createRecorder(1);
  await refused(preparedSigner(one.publicKey, 'thing', recorder).sign(a, how));
  const needed = recorder.needed();
  const request = needed[0]?.request;
  if (request === undefined) throw new Error('nothing was recorded');
  const publicKey = one.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  await writeRequestFolder(
    folder,
    {
      schemaVersion: 1,
      job: { command: ['sign', 'thing'], arguments: [], directory: '/', inputs: [] },
      keys: [{ id: request.key, reference: null, certificate: null, publicKey, certificates: [] }],
      requests: [request],
    },
    needed,
  );
  mkdirSync(join(folder, request.signature));
  const opened = await openRequestFolder(folder);
  await expect(opened.find(request.id, one.publicKey, a, how)).rejects.toThrow('it is no file');
});
