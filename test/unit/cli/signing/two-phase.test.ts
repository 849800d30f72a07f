/** `--prepare` and `--attach` around a command that signs in two rounds. */

import { createHash, sign, verify } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { keySigner } from '../../../../src/signing/signer.ts';
import { createSelfSignedCertificate, encodeCertificatePem } from '../../../../src/signing/x509.ts';
import { keys, microbuild, openBench, readRequest, signElsewhere, type Run } from './bench.ts';

let at: (name: string) => string;
beforeEach(() => {
  at = openBench();
});

const line = (output: string, key = 'one.pub', second = 'two.pub'): string[] => [
  'sign',
  'thing',
  at('thing.bin'),
  '--key',
  at(key),
  '--second-key',
  at(second),
  '-o',
  at(output),
];

const attach = (...more: string[]): Promise<Run> =>
  microbuild(['sign', '--attach', at('request'), ...more]);

async function prepare(...words: string[]): Promise<void> {
  const run = await microbuild([...words, '--prepare', at('request')]);
  expect([run.status, run.stderr]).toEqual([0, '']);
}

async function direct(output: string, key: string, second: string): Promise<Uint8Array> {
  const run = await microbuild(line(output, key, second));
  expect([run.status, run.stderr]).toEqual([0, '']);
  return readFileSync(at(output));
}

describe('in two phases', () => {
  test('the output has the bytes of signing at once, in as many rounds as it takes', async () => {
    const expected = await direct('direct', 'one.pem', 'two.pem');
    await prepare(...line('out'));
    expect(existsSync(at('out'))).toBe(false);
    expect(readRequest(at('request')).requests.map(({ purpose }) => purpose)).toEqual([
      'apk-v2',
      'apk-v3',
    ]);
    expect(signElsewhere(at('request'))).toBe(2);

    const second = await attach();
    expect([second.status, second.stderr]).toEqual([5, '']);
    expect(second.stdout).toContain('1 signature is needed');
    expect(existsSync(at('out'))).toBe(false);
    const { requests } = readRequest(at('request'));
    expect(requests.map(({ purpose, round }) => [purpose, round])).toEqual([
      ['apk-v2', 1],
      ['apk-v3', 1],
      ['apk-v4', 2],
    ]);
    expect(signElsewhere(at('request'))).toBe(1);

    const third = await attach();
    expect([third.status, third.stdout, third.stderr]).toEqual([0, 'signed\n', '']);
    expect(readFileSync(at('out'))).toEqual(expected);
    expect(readRequest(at('request')).requests.every(({ state }) => state === 'attached')).toBe(
      true,
    );
  });

  test('Ed25519 signs the bytes themselves, and gives the same output, too', async () => {
    const expected = await direct('direct', 'ed.pem', 'ed.pem');
    await prepare(...line('out', 'ed.pub', 'ed.pub'));
    expect(readRequest(at('request')).requests[0]).toMatchObject({
      algorithm: 'Ed25519',
      digest: null,
      digestFile: null,
    });
    signElsewhere(at('request'));
    expect((await attach()).status).toBe(5);
    signElsewhere(at('request'));
    expect((await attach()).status).toBe(0);
    expect(readFileSync(at('out'))).toEqual(expected);
  });

  test('ECDSA signatures in DER are attached as they came', async () => {
    await prepare(...line('out', 'ec.pub', 'ec.pub'));
    signElsewhere(at('request'));
    expect((await attach()).status).toBe(5);
    signElsewhere(at('request'));
    expect((await attach()).status).toBe(0);
    const { requests } = readRequest(at('request'));
    const came = requests.map(({ signature }) => readFileSync(join(at('request'), signature)));
    expect(readFileSync(at('out'))).toEqual(Buffer.concat(came));
  });

  test('ECDSA signatures as r || s, from tokens and key services, become DER', async () => {
    await prepare(...line('out', 'ec.pub', 'ec.pub'));
    signElsewhere(at('request'), 'raw');
    expect((await attach()).status).toBe(5);
    signElsewhere(at('request'), 'raw');
    expect((await attach()).status).toBe(0);
    const { requests } = readRequest(at('request'));
    let rest = readFileSync(at('out'));
    for (const request of requests) {
      expect(rest[0]).toBe(0x30);
      const size = 2 + (rest[1] ?? 0);
      const data = readFileSync(join(at('request'), request.data));
      expect(verify('sha256', data, keys.ec.publicKey, rest.subarray(0, size))).toBe(true);
      rest = rest.subarray(size);
    }
    expect(rest).toHaveLength(0);
  });

  test('the whole command line with --attach does the same as --attach alone', async () => {
    await prepare(...line('out'));
    signElsewhere(at('request'));
    expect((await microbuild([...line('out'), '--attach', at('request')])).status).toBe(5);
    signElsewhere(at('request'));
    expect((await microbuild([...line('out'), `--attach=${at('request')}`])).status).toBe(0);
    expect(readFileSync(at('out'))).toEqual(await direct('direct', 'one.pem', 'two.pem'));
  });

  test('a private key prepares what its public half would', async () => {
    await prepare(...line('out', 'one.pem', 'two.pem'));
    const { requests } = readRequest(at('request'));
    rmSync(at('request'), { recursive: true });
    await prepare(...line('out'));
    expect(readRequest(at('request')).requests).toEqual(requests);
  });

  test('a certificate in the place of the key is key and certificate', async () => {
    const signer = keySigner(keys.one.privateKey);
    const subject = [{ name: 'CN', value: 'one' }] as const;
    const certificate = encodeCertificatePem(
      await createSelfSignedCertificate(signer, { subject }),
    );
    writeFileSync(at('one.crt'), certificate);
    await prepare(...line('out', 'one.crt', 'two.pub'));
    const { keys: known } = readRequest(at('request'));
    expect(known.map(({ certificates }) => certificates)).toEqual([[certificate], []]);
    signElsewhere(at('request'));
    expect((await attach()).status).toBe(5);
    signElsewhere(at('request'));
    expect((await attach()).status).toBe(0);
  });

  test('only what is no key at all is refused', async () => {
    const run = await microbuild([...line('out', 'thing.bin'), '--prepare', at('request')]);
    expect([run.status, existsSync(at('request'))]).toEqual([2, false]);
    const none = ['sign', 'thing', at('thing.bin'), '-o', at('out'), '--prepare', at('request')];
    expect((await microbuild(none)).stderr).toContain('neither a key nor a certificate');
  });

  test('preparing twice asks for the same in the same words', async () => {
    await prepare(...line('out', 'one.pub', 'one.pub'));
    const before = readFileSync(join(at('request'), 'request.json'));
    rmSync(at('request'), { recursive: true });
    await prepare(...line('out', 'one.pub', 'one.pub'));
    expect(readFileSync(join(at('request'), 'request.json'))).toEqual(before);
  });

  test('a signature that is missing is asked for again, and counts as needed', async () => {
    await prepare(...line('out'));
    signElsewhere(at('request'));
    const [first] = readRequest(at('request')).requests;
    rmSync(join(at('request'), first?.signature ?? ''));
    const run = await attach('--json');
    expect(run.status).toBe(5);
    const { state, requests } = JSON.parse(run.stdout) as {
      state: string;
      requests: { id: string }[];
    };
    expect([state, requests.map(({ id }) => id)]).toEqual(['signatures-needed', [first?.id]]);
  });
});

describe('the folder', () => {
  test('is only for its owner, and holds data, hashes and the request', async () => {
    await prepare(...line('out'));
    expect(statSync(at('request')).mode & 0o777).toBe(0o700);
    const { requests } = readRequest(at('request'));
    const names = requests.flatMap(({ data, digestFile }) => [data, digestFile ?? '']);
    expect(readdirSync(at('request')).sort()).toEqual([...names, 'request.json'].sort());
    for (const name of readdirSync(at('request'))) {
      expect(statSync(join(at('request'), name)).mode & 0o777).toBe(0o600);
    }
    for (const { data, dataSha256, digest, digestFile } of requests) {
      const bytes = readFileSync(join(at('request'), data));
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(dataSha256);
      expect(readFileSync(join(at('request'), digestFile ?? '')).toString('hex')).toBe(digest);
    }
  });

  test('is never written over', async () => {
    await prepare(...line('out'));
    const again = await microbuild([...line('out'), '--prepare', at('request')]);
    expect([again.status, again.stderr]).toEqual([2, expect.stringContaining('another job')]);
    mkdirSync(at('mine'));
    writeFileSync(join(at('mine'), 'notes'), 'mine');
    const other = await microbuild([...line('out'), '--prepare', at('mine')]);
    expect([other.status, other.stderr]).toEqual([2, expect.stringContaining('not empty')]);
    expect(readdirSync(at('mine'))).toEqual(['notes']);
    const file = await microbuild([...line('out'), '--prepare', at('thing.bin')]);
    expect([file.status, file.stderr]).toEqual([2, expect.stringContaining('not a folder')]);
  });

  test('that others may write to is not believed', async () => {
    await prepare(...line('out'));
    chmodSync(at('request'), 0o770);
    const run = await attach();
    expect([run.status, run.stderr]).toEqual([2, expect.stringContaining('chmod go-w')]);
  });

  test('holds no secret, whatever the command line holds', async () => {
    const encrypted = keys.one.privateKey.export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-256-cbc',
      passphrase: 'CANARY-IN-ENV',
    });
    writeFileSync(at('encrypted.pem'), encrypted, { mode: 0o600 });
    const run = await microbuild(
      [
        ...line('out', 'encrypted.pem', 'encrypted.pem'),
        '--key-pass',
        'env:SECRET',
        '--prepare',
        at('request'),
        '--audit-log',
        at('log'),
      ],
      { SECRET: 'CANARY-IN-ENV' },
    );
    expect([run.status, run.stderr]).toEqual([0, '']);
    const written = [
      ...readdirSync(at('request')).map((name) =>
        readFileSync(join(at('request'), name), 'latin1'),
      ),
      readFileSync(at('log'), 'latin1'),
      run.stdout,
    ].join('\n');
    expect(written).not.toContain('CANARY');
    expect(written).not.toContain('PRIVATE');
  });
});

describe('a signature is refused, by name and with the reason, when it', () => {
  /** The first of the request, whose file each test replaces. */
  async function refused(
    make: (
      request: ReturnType<typeof readRequest>['requests'][number],
      folder: string,
    ) => Uint8Array,
    ...words: string[]
  ): Promise<string> {
    await prepare(...(words.length === 0 ? line('out') : words));
    signElsewhere(at('request'));
    const [first] = readRequest(at('request')).requests;
    if (first === undefined) throw new Error('nothing was requested');
    writeFileSync(join(at('request'), first.signature), make(first, at('request')));
    const run = await attach();
    expect(run.status).toBe(3);
    expect(run.stderr).toContain(first.signature);
    expect(existsSync(at('out'))).toBe(false);
    return run.stderr;
  }
  const signed = (data: Uint8Array, name: 'one' | 'two' = 'one'): Buffer =>
    sign('sha256', data, keys[name].privateKey);

  test('is empty', async () => {
    expect(await refused(() => Buffer.alloc(0))).toContain('it is empty');
  });
  test('is zeros', async () => {
    expect(await refused(() => Buffer.alloc(256))).toContain('it is no SHA256withRSA signature');
  });
  test('is too short', async () => {
    expect(await refused(() => Buffer.alloc(255))).toContain('has 255 bytes');
  });
  test('is text', async () => {
    const text = await refused(({ data }, folder) =>
      Buffer.from(signed(readFileSync(join(folder, data))).toString('base64')),
    );
    expect(text).toContain('it is text');
    expect(text).toContain('base64 -d');
  });
  test('is of another key of the job', async () => {
    const text = await refused(({ data }, folder) =>
      signed(readFileSync(join(folder, data)), 'two'),
    );
    expect(text).toContain(`it was made with key ${at('two.pub')}`);
  });
  test('is that of another request', async () => {
    const text = await refused(
      (_first, folder) => {
        const [, second] = readRequest(folder).requests;
        return readFileSync(join(folder, second?.signature ?? ''));
      },
      ...line('out', 'one.pub', 'one.pub'),
    );
    expect(text).toMatch(/it is the signature of apk-v3-[0-9a-f]+\.tbs/);
  });
  test('signs the hash as data', async () => {
    const text = await refused(({ digestFile }, folder) =>
      signed(readFileSync(join(folder, digestFile ?? ''))),
    );
    expect(text).toContain('hashed twice');
  });
  test('signs bytes that were changed', async () => {
    const text = await refused(({ data }, folder) => {
      appendFileSync(join(folder, data), 'x');
      return signed(readFileSync(join(folder, data)));
    });
    expect(text).toContain('was changed after it was prepared');
  });
  test('has an extra byte', async () => {
    const text = await refused(({ data }, folder) =>
      Buffer.concat([signed(readFileSync(join(folder, data))), Buffer.from('\n')]),
    );
    expect(text).toContain('has 257 bytes');
  });
  test('was not asked for', async () => {
    await prepare(...line('out'));
    writeFileSync(join(at('request'), 'other.sig'), 'x');
    const run = await attach();
    expect([run.status, run.stderr]).toEqual([3, expect.stringContaining('other.sig')]);
  });
});

describe('another job is refused', () => {
  test('when an input has other bytes', async () => {
    await prepare(...line('out'));
    signElsewhere(at('request'));
    writeFileSync(at('thing.bin'), 'another thing');
    const run = await attach();
    expect([run.status, run.stderr]).toEqual([2, expect.stringContaining('was changed')]);
    rmSync(at('thing.bin'));
    expect((await attach()).stderr).toContain('ENOENT');
  });

  test('when the command line is another', async () => {
    await prepare(...line('out'));
    const run = await microbuild([...line('elsewhere'), '--attach', at('request')]);
    expect([run.status, run.stderr]).toEqual([2, expect.stringContaining('another job')]);
    expect((await attach('--key', at('one.pub'))).status).toBe(2);
  });

  test('when the request was damaged', async () => {
    await prepare(...line('out'));
    const file = join(at('request'), 'request.json');
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replace('"schemaVersion": 1', '"schemaVersion": 2'));
    expect((await attach()).stderr).toContain('schemaVersion is not 1');
    writeFileSync(file, text.replace('.sig"', '/../../x.sig"'));
    expect((await attach()).stderr).toContain('requests[0].signature is not');
  });

  test('when there is no folder, or no request in it', async () => {
    expect((await attach()).stderr).toContain('no such folder');
    mkdirSync(at('request'));
    expect((await attach()).stderr).toContain('has no request.json');
  });
});

test('both phases at once, and a job without signatures, are refused', async () => {
  const both = await microbuild([...line('out'), '--prepare', at('a'), '--attach', at('b')]);
  expect(both.status).toBe(2);
  const none = await microbuild(['sign', 'nothing', at('thing.bin'), '--prepare', at('a')]);
  expect([none.status, none.stderr]).toEqual([
    2,
    expect.stringContaining('nothing that is signed'),
  ]);
  expect(existsSync(at('a'))).toBe(false);
});

test('a request moves with its folder, and needs no file of a key any more', async () => {
  await prepare(...line('out'));
  signElsewhere(at('request'));
  for (const name of ['one.pub', 'two.pub']) rmSync(at(name));
  cpSync(at('request'), at('moved'), { recursive: true });
  const run = await microbuild(['sign', '--attach', at('moved')]);
  expect(run.status).toBe(5);
  expect(readRequest(at('moved')).requests).toHaveLength(3);
  expect(readRequest(at('request')).requests).toHaveLength(2);
});
