/** Key stores as bytes: intact ones, and hostile ones. Peers are asked in test/interop/key-stores.test.ts. */

import { createHash, createHmac, generateKeyPairSync, pbkdf2Sync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { FormatError, UsageError } from '../../../../src/core/errors.ts';
import {
  explicit,
  integer,
  nullValue,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
} from '../../../../src/formats/der/write.ts';
import {
  decodeJks,
  isIntactJks,
  unprotectJksKey,
  utf16,
} from '../../../../src/signing/keys/jks.ts';
import { openKey } from '../../../../src/signing/keys/open-key.ts';
import { openPkcs12 } from '../../../../src/signing/keys/pkcs12.ts';
import { keySigner } from '../../../../src/signing/signer.ts';
import { createSelfSignedCertificate } from '../../../../src/signing/x509.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
const PHRASE = Buffer.from('pässwörd');

let certificate: Uint8Array;
beforeAll(async () => {
  const subject = [{ name: 'CN', value: 'test' }] as const;
  certificate = await createSelfSignedCertificate(keySigner(privateKey), { subject });
});

const sha1 = (...parts: readonly Uint8Array[]): Buffer =>
  parts.reduce((hash, part) => hash.update(part), createHash('sha1')).digest();

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 0xff), bytes]);
};
const block = (bytes: Uint8Array): Buffer => Buffer.concat([u32(bytes.length), bytes]);

/** Sun's key protection, as OpenJDK's KeyProtector applies it. */
function protect(key: Uint8Array, phrase: Buffer): Uint8Array {
  const secret = utf16(phrase);
  const salt = Buffer.alloc(20, 7);
  const sealed = Buffer.from(key);
  let stream: Buffer = salt;
  for (let at = 0; at < sealed.length; at += 1) {
    if (at % 20 === 0) stream = sha1(secret, stream);
    sealed[at] = (sealed[at] ?? 0) ^ (stream[at % 20] ?? 0);
  }
  const data = Buffer.concat([salt, sealed, sha1(secret, key)]);
  return sequence(
    sequence(objectIdentifier('1.3.6.1.4.1.42.2.17.1.1'), nullValue()),
    octetString(data),
  );
}

function jks(entries: readonly Buffer[], phrase = PHRASE, version = 2): Buffer {
  const body = Buffer.concat([u32(0xfeedfeed), u32(version), u32(entries.length), ...entries]);
  return Buffer.concat([body, sha1(utf16(phrase), Buffer.from('Mighty Aphrodite'), body)]);
}

const jksKey = (alias: string, version = 2): Buffer =>
  Buffer.concat([
    u32(1),
    text(alias),
    Buffer.alloc(8),
    block(protect(pkcs8, PHRASE)),
    u32(1),
    ...(version === 2 ? [text('X.509')] : []),
    block(certificate),
  ]);

const trusted = (): Buffer =>
  Buffer.concat([u32(2), text('ca'), Buffer.alloc(8), text('X.509'), block(certificate)]);

describe('a JKS store', () => {
  test.each([1, 2])(
    'of version %i gives its keys, of which certificates are no part',
    (version) => {
      const entries = [...(version === 2 ? [trusted()] : []), jksKey('ä', version)];
      const store = jks(entries, PHRASE, version);
      const [key, ...others] = decodeJks(store);
      expect(others).toEqual([]);
      expect(key?.alias).toBe('ä');
      expect(key?.certificates).toEqual([certificate]);
      expect(isIntactJks(store, PHRASE)).toBe(true);
      expect(isIntactJks(store, Buffer.from('x'))).toBe(false);
      expect(unprotectJksKey(key?.protectedKey ?? Buffer.alloc(0), PHRASE)).toEqual(pkcs8);
      expect(
        unprotectJksKey(key?.protectedKey ?? Buffer.alloc(0), Buffer.from('x')),
      ).toBeUndefined();
    },
  );

  test('is opened by its reference', async () => {
    const path = join(tmpDir(), 'a.jks');
    writeFileSync(path, jks([trusted(), jksKey('a')]), { mode: 0o600 });
    const key = await openKey(`jks:${path}`, {
      passphrase: 'env:P',
      env: { P: PHRASE.toString() },
    });
    expect(key.signer.publicKey.equals(publicKey)).toBe(true);
    expect(key.certificates).toEqual([certificate]);
    writeFileSync(path, jks([trusted()]), { mode: 0o600 });
    await expect(
      openKey(`jks:${path}`, { passphrase: 'env:P', env: { P: PHRASE.toString() } }),
    ).rejects.toThrow(/no private key/);
  });

  test.each<[string, () => Buffer]>([
    [
      'counts that nothing can hold',
      () => Buffer.concat([u32(0xfeedfeed), u32(2), u32(2 ** 32 - 1), Buffer.alloc(40)]),
    ],
    [
      'more entries than there are',
      () => Buffer.concat([u32(0xfeedfeed), u32(2), u32(3), jksKey('a'), Buffer.alloc(20)]),
    ],
    [
      'bytes behind its entries',
      () => Buffer.concat([u32(0xfeedfeed), u32(2), u32(0), Buffer.alloc(21)]),
    ],
    ['a version of its own', () => jks([], PHRASE, 3)],
    ['entries of another kind', () => jks([Buffer.concat([u32(3), text('x'), Buffer.alloc(8)])])],
    [
      'an endless chain',
      () =>
        jks([
          Buffer.concat([u32(1), text('x'), Buffer.alloc(8), block(Buffer.alloc(3)), u32(2 ** 31)]),
        ]),
    ],
    ['nothing', () => Buffer.alloc(0)],
  ])('with %s is refused', (_, make) => {
    expect(() => decodeJks(make())).toThrow(FormatError);
  });

  test('with a changed byte is not intact', () => {
    const store = jks([jksKey('a')]);
    fc.assert(
      fc.property(fc.nat(store.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = Buffer.from(store);
        changed[at] = (changed[at] ?? 0) ^ change;
        expect(isIntactJks(changed, PHRASE)).toBe(false);
      }),
    );
  });

  test('of any bytes decodes or is refused as such', () => {
    const store = jks([trusted(), jksKey('a')]);
    const damaged = fc
      .tuple(fc.nat(store.length), fc.uint8Array({ maxLength: 12 }))
      .map(([at, bytes]) =>
        Buffer.concat([store.subarray(0, at), bytes, store.subarray(at + bytes.length)]),
      );
    const junk = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(damaged, junk), (bytes) => {
        try {
          for (const { protectedKey } of decodeJks(bytes)) unprotectJksKey(protectedKey, PHRASE);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

const OID = { data: '1.2.840.113549.1.7.1', bags: '1.2.840.113549.1.12.10.1' };

const bag = (kind: number, value: Uint8Array, id = 1): Uint8Array =>
  sequence(
    objectIdentifier(`${OID.bags}.${kind}`),
    explicit(0, value),
    setOf([
      sequence(objectIdentifier('1.2.840.113549.1.9.21'), setOf([octetString(Buffer.of(id))])),
    ]),
  );

const content = (bytes: Uint8Array): Uint8Array =>
  sequence(objectIdentifier(OID.data), explicit(0, octetString(bytes)));

/** A store without encryption and MAC. */
const pfx = (...bags: readonly Uint8Array[]): Buffer =>
  Buffer.from(sequence(integer(3n), content(sequence(content(sequence(...bags))))));

const certBag = (der: Uint8Array): Uint8Array =>
  bag(3, sequence(objectIdentifier('1.2.840.113549.1.9.22.1'), explicit(0, octetString(der))));

const passphrase = {
  get: () =>
    Promise.resolve({ utf8: PHRASE, bmp: Buffer.concat([utf16(PHRASE), Buffer.alloc(2)]) }),
};

describe('a PKCS#12 store', () => {
  test('gives keys and certificates of plain bags, also of bags in bags', async () => {
    const inner = bag(6, sequence(bag(1, pkcs8), certBag(certificate)));
    for (const store of [pfx(bag(1, pkcs8), certBag(certificate)), pfx(inner)]) {
      const opened = await openPkcs12(store, passphrase);
      expect(opened?.keys.map((key) => key.pkcs8)).toEqual([pkcs8]);
      expect(opened?.certificates.map(({ der }) => der)).toEqual([certificate]);
    }
  });

  test('in BER is read as in DER', async () => {
    // SEQUENCE without a length, and its text in two pieces.
    const safe = Buffer.from(sequence(content(sequence(bag(1, pkcs8)))));
    const pieces = Buffer.concat([
      Buffer.of(0x24, 0x80),
      octetString(safe.subarray(0, 50)),
      octetString(safe.subarray(50)),
      Buffer.of(0, 0),
    ]);
    const store = Buffer.concat([
      Buffer.of(0x30, 0x80),
      integer(3n),
      sequence(objectIdentifier(OID.data), explicit(0, pieces)),
      Buffer.of(0, 0),
    ]);
    const opened = await openPkcs12(store, passphrase);
    expect(opened?.keys.map((key) => key.pkcs8)).toEqual([pkcs8]);
  });

  test('with PBMAC1 opens with its pass phrase only', async () => {
    // OpenSSL 3.4 and JDK 24 write it; what Debian has does not.
    const salt = Buffer.alloc(8, 3);
    const oid = { kdf: '1.2.840.113549.1.5.12', hmac: '1.2.840.113549.2.11' };
    const hmac = sequence(objectIdentifier(oid.hmac), nullValue());
    const derivation = sequence(
      objectIdentifier(oid.kdf),
      sequence(octetString(salt), integer(100n), integer(64n), hmac),
    );
    const safe = sequence(content(sequence(bag(1, pkcs8))));
    const key = pbkdf2Sync(PHRASE, salt, 100, 64, 'sha512');
    const mac = createHmac('sha512', key).update(safe).digest();
    const algorithm = sequence(
      objectIdentifier('1.2.840.113549.1.5.14'),
      sequence(derivation, hmac),
    );
    const store = (digest: Uint8Array): Buffer =>
      Buffer.from(
        sequence(
          integer(3n),
          content(safe),
          sequence(
            sequence(algorithm, octetString(digest)),
            octetString(Buffer.alloc(0)),
            integer(1n),
          ),
        ),
      );
    const opened = await openPkcs12(store(mac), passphrase);
    expect(opened?.keys.map((each) => each.pkcs8)).toEqual([pkcs8]);
    mac[0] = (mac[0] ?? 0) ^ 1;
    expect(await openPkcs12(store(mac), passphrase)).toBeUndefined();
  });

  const encrypted = (iterations: bigint): Uint8Array =>
    bag(
      2,
      sequence(
        sequence(
          objectIdentifier('1.2.840.113549.1.12.1.3'),
          sequence(octetString(Buffer.alloc(8)), integer(iterations)),
        ),
        octetString(Buffer.alloc(64)),
      ),
    );

  test('that wants to be hashed for hours is refused at once', async () => {
    const started = performance.now();
    for (const iterations of [0n, 2_000_000n, 2n ** 31n - 1n, 2n ** 60n]) {
      await expect(openPkcs12(pfx(encrypted(iterations)), passphrase)).rejects.toThrow(FormatError);
    }
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test('with another pass phrase, or bags that nest without end, is refused', async () => {
    expect(await openPkcs12(pfx(encrypted(1n)), passphrase)).toBeUndefined();
    let nested = bag(1, pkcs8);
    for (let depth = 0; depth < 8; depth += 1) nested = bag(6, sequence(nested));
    await expect(openPkcs12(pfx(nested), passphrase)).rejects.toThrow(FormatError);
  });

  test('of any bytes opens or is refused as such', async () => {
    const store = pfx(bag(1, pkcs8), certBag(certificate), encrypted(2n));
    const damaged = fc
      .tuple(fc.nat(store.length), fc.uint8Array({ maxLength: 6 }))
      .map(([at, bytes]) =>
        Buffer.concat([store.subarray(0, at), bytes, store.subarray(at + bytes.length)]),
      );
    const junk = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
    await fc.assert(
      fc.asyncProperty(fc.oneof(damaged, junk), async (bytes) => {
        try {
          await openPkcs12(bytes, passphrase);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('that is damaged is a UsageError, by any reference', async () => {
    const path = join(tmpDir(), 'store');
    const store = pfx(bag(1, pkcs8), certBag(certificate));
    const other: unknown[] = [];
    const damage = fc.tuple(fc.nat(store.length - 1), fc.integer({ min: 1, max: 255 }));
    await fc.assert(
      fc.asyncProperty(damage, async ([at, change]) => {
        const changed = Buffer.from(store);
        changed[at] = (changed[at] ?? 0) ^ change;
        writeFileSync(path, changed, { mode: 0o600 });
        for (const kind of ['p12', 'jks']) {
          await openKey(`${kind}:${path}`, { env: {} }).catch((error: unknown) => {
            if (!(error instanceof UsageError)) other.push(error);
          });
        }
      }),
      { numRuns: 200 },
    );
    expect(other).toEqual([]);
  });
});
