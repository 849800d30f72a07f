/** DSSE signatures, held against OpenSSL: it verifies ours, and we verify its own. */

import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encodeEnvelope, preAuthenticationEncoding } from '../../src/formats/dsse/envelope.ts';
import { signDsse } from '../../src/signing/dsse.ts';
import { keySigner } from '../../src/signing/signer.ts';
import { verifyDsse } from '../../src/signing/verify-dsse.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

const content = {
  payloadType: 'application/vnd.example+json',
  payload: new TextEncoder().encode('{"what":"ä manifest"}'),
};
const data = preAuthenticationEncoding(content.payloadType, content.payload);

const PSS = ['rsa_padding_mode:pss', 'rsa_pss_saltlen:digest'];
const rsa = ['RSA', '-pkeyopt', 'rsa_keygen_bits:2048'];
const ec = (curve: string): string[] => ['EC', '-pkeyopt', `ec_paramgen_curve:${curve}`];

test.each([
  ['RSA', rsa, ['-digest', 'sha256'], true],
  ['RSA with PSS', rsa, ['-digest', 'sha256', ...PSS.flatMap((opt) => ['-pkeyopt', opt])], false],
  ['P-256', ec('P-256'), ['-digest', 'sha256'], true],
  ['P-384', ec('P-384'), ['-digest', 'sha384'], true],
  ['Ed25519', ['ED25519'], [], true],
])('%s', async (_name, algorithm, options, isOurs) => {
  const folder = tmpDir();
  const at = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): void => {
    const { status, stderr } = runTool('openssl', args);
    expect([args[0], status, stderr]).toEqual([args[0], 0, expect.anything()]);
  };
  openssl('genpkey', '-algorithm', ...algorithm, '-out', at('key.pem'));
  openssl('pkey', '-in', at('key.pem'), '-pubout', '-out', at('pub.pem'));
  writeFileSync(at('data'), data);
  const publicKey = createPublicKey(readFileSync(at('pub.pem')));

  const how = ['-rawin', ...options, '-in', at('data')];
  openssl('pkeyutl', '-sign', '-inkey', at('key.pem'), ...how, '-out', at('sig'));
  const signatures = [{ keyid: '', signature: new Uint8Array(readFileSync(at('sig'))) }];
  const theirs = new TextEncoder().encode(encodeEnvelope({ ...content, signatures }));
  expect(verifyDsse(theirs, { keys: [publicKey] })).toMatchObject(content);

  if (!isOurs) return;
  const signer = keySigner(createPrivateKey(readFileSync(at('key.pem'))));
  const { signatures: ours } = await signDsse(content, [signer]);
  writeFileSync(at('ours'), ours[0]?.signature ?? '');
  openssl('pkeyutl', '-verify', '-pubin', '-inkey', at('pub.pem'), ...how, '-sigfile', at('ours'));
});
