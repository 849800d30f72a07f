/** OpenSSL and veritysetup judge what we sign, without any code of ours. */

import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { avbCommands } from '../../src/cli/commands/avb/group.ts';
import { loadSignGroup } from '../../src/cli/commands/sign/group.ts';
import { runCommandLine } from '../../src/cli/command.ts';
import { toHex } from '../../src/core/digest.ts';
import { readVbmeta } from '../../src/formats/avb/footer.ts';
import { decodeVbmeta } from '../../src/formats/avb/vbmeta.ts';
import { openFileSource } from '../../src/io/byte-source.ts';
import { createFileSink } from '../../src/io/image-sink.ts';
import { addHashtreeFooterToFile } from '../../src/signing/avb/hashtree-footer.ts';
import { addHashtreeFooter, signVbmeta } from '../../src/signing/avb/sign.ts';
import { generateKeyFile } from '../../src/signing/keys/generate.ts';
import { readPrivateKey } from '../../src/signing/keys/private-key-file.ts';
import { keySigner } from '../../src/signing/signer.ts';
import { createHashTreeSink } from '../../src/verity/hash-tree.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

async function microbuild(...argv: string[]): Promise<number> {
  const terminal = {
    interactive: false,
    out: () => undefined,
    err: (text: string) => void process.stderr.write(`${text}\n`),
    style: (_style: unknown, text: string) => text,
  };
  const signal = new AbortController().signal;
  const world = { terminal, signal, env: {}, version: '0' };
  return runCommandLine(argv, [avbCommands, await loadSignGroup()], world);
}

describe('OpenSSL', () => {
  test.each([
    ['SHA256_RSA2048', 2048, '-sha256'],
    ['SHA512_RSA4096', 4096, '-sha512'],
  ] as const)('verifies the signature of a vbmeta with %s', async (algorithm, bits, hash) => {
    const folder = tmpDir();
    const keyPath = join(folder, 'key.pem');
    await generateKeyFile(keyPath, bits);
    const signer = keySigner(await readPrivateKey(keyPath));
    const vbmeta = decodeVbmeta(
      await signVbmeta({
        algorithm,
        signer,
        rollbackIndex: 7n,
        descriptors: [{ kind: 'property', key: 'k', value: new Uint8Array([1]) }],
      }),
    );
    const [data, signature] = [join(folder, 'data'), join(folder, 'signature')];
    writeFileSync(data, Buffer.concat([vbmeta.header, vbmeta.auxiliaryBlock]));
    writeFileSync(signature, vbmeta.signature);
    const prepared = runTool('openssl', ['pkey', '-in', keyPath, '-pubout']);
    writeFileSync(join(folder, 'public.pem'), prepared.stdout);
    const args = ['dgst', hash, '-verify', join(folder, 'public.pem'), '-signature', signature];
    expect(runTool('openssl', [...args, data]).stdout).toBe('Verified OK\n');
    const digest = runTool('openssl', ['dgst', hash, '-r', data]).stdout.split(' ')[0];
    expect(toHex(vbmeta.hash)).toBe(digest);
  });

  test('makes the key store that avb and sign image sign from, too', async () => {
    const folder = tmpDir();
    const [pem, store, word] = ['key.pem', 'key.p12', 'word'].map((name) => join(folder, name));
    if (pem === undefined || store === undefined || word === undefined) throw new Error(folder);
    await generateKeyFile(pem, 2048);
    writeFileSync(word, 'open sesame\n', { mode: 0o600 });
    const certificate = `${pem}.crt`;
    const request = runTool(
      'openssl',
      `req -x509 -new -subj /CN=x -key ${pem} -out ${certificate}`.split(' '),
    );
    expect(request.status).toBe(0);
    const made = runTool(
      'openssl',
      `pkcs12 -export -inkey ${pem} -in ${certificate} -out ${store} -passout file:${word}`.split(
        ' ',
      ),
    );
    expect([made.status, made.stderr]).toEqual([0, '']);
    runTool('chmod', ['600', store]);
    const vbmeta = async (name: string, ...key: string[]): Promise<Buffer> => {
      const output = join(folder, name);
      const how = ['--algorithm', 'SHA256_RSA2048', '--prop', 'a:b', '--output', output];
      expect(await microbuild('avb', 'make_vbmeta_image', ...how, ...key)).toBe(0);
      return readFileSync(output);
    };
    const fromStore = ['--key', `p12:${store}`, '--key-pass', `file:${word}`];
    const direct = await vbmeta('direct', '--key', pem);
    expect((await vbmeta('stored', ...fromStore)).equals(direct)).toBe(true);
    const image = join(folder, 'stored');
    expect(await microbuild('sign', 'image', image, ...fromStore)).toBe(0);
    expect(readFileSync(image).equals(direct)).toBe(true);
  });

  test('reads the keys that we write, and we read those that it writes', async () => {
    const folder = tmpDir();
    const [ours, theirs] = [join(folder, 'ours.pem'), join(folder, 'theirs.pem')];
    await generateKeyFile(ours, 2048);
    expect(runTool('openssl', ['rsa', '-in', ours, '-check', '-noout']).stdout).toContain('ok');
    for (const form of [[], ['-traditional']]) {
      const made = runTool('openssl', ['genrsa', ...form, '2048']);
      writeFileSync(theirs, made.stdout, { mode: 0o600 });
      const key = await readPrivateKey(theirs);
      expect(key.asymmetricKeyDetails?.modulusLength).toBe(2048);
    }
  });
});

describe('veritysetup and add_hashtree_footer agree', () => {
  const dataSize = 700 * 4096;

  test.each([
    ['sha256', 2],
    ['sha512', 5],
    ['sha1', 24],
  ] as const)('on tree and parity: %s, %i roots', async (hashAlgorithm, fecRoots) => {
    const folder = tmpDir();
    const path = join(folder, 'system.img');
    const data = randomBytes(dataSize);
    writeFileSync(path, data);
    const { descriptor } = await addHashtreeFooterToFile(path, {
      partitionName: 'system',
      hashAlgorithm,
      fecRoots,
      vbmeta: {},
    });
    const [copy, parity] = [join(folder, 'copy'), join(folder, 'parity')];
    writeFileSync(copy, data);
    writeFileSync(parity, '');
    const format = `format --no-superblock --format=1 --hash=${hashAlgorithm} --data-block-size=4096 --hash-block-size=4096`;
    const where = `--data-blocks=${dataSize / 4096} --hash-offset=${dataSize} --fec-roots=${fecRoots}`;
    const { status, stdout, stderr } = runTool('veritysetup', [
      ...`${format} ${where}`.split(' '),
      `--salt=${toHex(descriptor.salt)}`,
      `--fec-device=${parity}`,
      copy,
      copy,
    ]);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout.replaceAll(/\s/g, '')).toContain(`Roothash:${toHex(descriptor.rootDigest)}`);
    const image = readFileSync(path);
    const { treeOffset, treeSize, fecOffset, fecSize } = descriptor;
    const tree = image.subarray(treeOffset, treeOffset + treeSize);
    expect(Buffer.compare(readFileSync(copy).subarray(dataSize), tree)).toBe(0);
    const ours = image.subarray(fecOffset, fecOffset + fecSize);
    expect(Buffer.compare(readFileSync(parity), ours)).toBe(0);
  });
});

test('veritysetup proves an image by the descriptor behind its footer', async () => {
  const path = join(tmpDir(), 'system.img');
  const sink = await createFileSink(path);
  const dataSize = 300 * 4096;
  const salt = new Uint8Array(32).fill(0x5a);
  const hashing = createHashTreeSink(sink, { algorithm: 'sha256', salt, dataSize });
  await hashing.write(0, randomBytes(dataSize));
  const tree = await hashing.finish();
  await addHashtreeFooter(sink, {
    tree: { partitionName: 'system', imageSize: dataSize, salt, ...tree },
    vbmeta: {},
    partitionSize: 'minimal',
  });
  await sink.close();

  const source = await openFileSource(path);
  const [descriptor] = decodeVbmeta((await readVbmeta(source)).bytes).descriptors;
  await source.close();
  if (descriptor?.kind !== 'hashtree') throw new Error('No hashtree descriptor');
  const verify = (): number =>
    runTool('veritysetup', [
      'verify',
      path,
      path,
      toHex(descriptor.rootDigest),
      '--no-superblock',
      '--format=1',
      `--hash=${descriptor.hashAlgorithm}`,
      `--data-block-size=${descriptor.dataBlockSize}`,
      `--hash-block-size=${descriptor.hashBlockSize}`,
      `--data-blocks=${descriptor.imageSize / descriptor.dataBlockSize}`,
      `--hash-offset=${descriptor.treeOffset}`,
      `--salt=${toHex(descriptor.salt)}`,
    ]).status;
  expect(verify()).toBe(0);
  const damaged = readFileSync(path);
  damaged[100 * 4096] = (damaged[100 * 4096] ?? 0) ^ 1;
  writeFileSync(path, damaged);
  expect(verify()).not.toBe(0);
});
