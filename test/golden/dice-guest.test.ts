/**
 * One payload's secrets and keys, computed here by node:crypto; the guest's own tests compare with the
 * same file (guest/manager, guest/dice). Where either changes, secrets of everybody change.
 */

import { createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/core/digest.ts';
import {
  decodeHandover,
  encodeHandover,
  nextHandover,
  rootHandover,
} from '../../src/dice/chain.ts';
import { encodeConfigDescriptor, payloadDescriptor } from '../../src/dice/config-descriptor.ts';
import { sha512 } from '../../src/dice/derive.ts';
import { signEcdsa } from '../../src/signing/deterministic-ecdsa.ts';
import {
  instanceSecret,
  keyPair,
  keySeed,
  mac,
  openSealed,
  payloadSecret,
  sealSalt,
} from '../support/keystore.ts';

interface Fixture {
  readonly handover: string;
  readonly payload: {
    readonly library: string;
    readonly apks: readonly {
      readonly package: string;
      readonly versionCode: string;
      readonly rootHash: string;
      readonly certificate: string;
    }[];
  };
  readonly payloadStage: string;
  readonly authorityHash: string;
  readonly instanceSecrets: readonly {
    readonly identifier: string;
    readonly size: number;
    readonly secret: string;
  }[];
  readonly message: string;
  readonly aad: string;
  readonly fresh: string;
  readonly keys: readonly {
    readonly alias: string;
    readonly algorithm: number;
    readonly version: number;
    readonly publicKey?: string;
    readonly signature?: string;
    readonly mac?: string;
    readonly sealed?: string;
    readonly derived?: string;
  }[];
}

const fixture = JSON.parse(
  readFileSync(new URL('../fixtures/dice/guest.json', import.meta.url), 'utf8'),
) as Fixture;

const stage = decodeHandover(fromHex(fixture.payloadStage));
const authority = fromHex(fixture.authorityHash);

describe('secrets and keys of the guest', () => {
  it('handover of the system is the runner’s', () => {
    const instanceHash = sha512(Buffer.alloc(64, 0x11));
    const system = nextHandover(rootHandover(new Uint8Array(32).fill(0x22)), {
      codeHash: sha512(Buffer.from('code')),
      config: {
        descriptor: encodeConfigDescriptor({
          componentName: 'vm_entry',
          securityVersion: 7n,
          instanceHash,
        }),
      },
      authorityHash: sha512(Buffer.from('owner')),
      mode: 'normal',
      hidden: new Uint8Array(64),
    });
    expect(toHex(encodeHandover(system))).toBe(fixture.handover);
  });

  it('stage of the payload has Android’s formulas', () => {
    const { apks, library } = fixture.payload;
    const parts = apks.map((apk) => ({
      name: `apk:${apk.package}`,
      version: BigInt(apk.versionCode),
      codeHash: fromHex(apk.rootHash),
      authorityHash: sha512(fromHex(apk.certificate)),
    }));
    const authorityHash = sha512(...parts.map((part) => part.authorityHash));
    expect(toHex(authorityHash)).toBe(fixture.authorityHash);
    const payload = nextHandover(decodeHandover(fromHex(fixture.handover)), {
      codeHash: sha512(...parts.map(({ codeHash }) => codeHash)),
      config: {
        descriptor: encodeConfigDescriptor(payloadDescriptor({ binaryName: library }, parts)),
      },
      authorityHash,
      mode: 'normal',
      hidden: sha512(Buffer.alloc(64, 0x11)),
    });
    expect(toHex(encodeHandover(payload))).toBe(fixture.payloadStage);
  });

  it('instance secrets are HKDF of the sealing secret', () => {
    for (const { identifier, size, secret } of fixture.instanceSecrets) {
      expect(toHex(payloadSecret(stage.seal, identifier, size))).toBe(secret);
    }
    expect(instanceSecret(stage.seal)).toHaveLength(32);
  });

  it('keys, signatures and macs are those of OpenSSL', () => {
    const message = Buffer.from(fixture.message);
    for (const key of fixture.keys) {
      if (key.algorithm === 1 || key.algorithm === 2) {
        const { privateKey, publicKey } = keyPair(stage.seal, authority, key);
        expect(toHex(publicKey)).toBe(key.publicKey);
        const signature = fromHex(key.signature ?? '');
        const spki = createPublicKey({ key: publicKey, format: 'der', type: 'spki' });
        const hash = key.algorithm === 1 ? null : 'sha256';
        expect(verify(hash, message, spki, signature)).toBe(true);
        if (key.algorithm === 2) {
          expect(toHex(signEcdsa(privateKey, 'sha256', message))).toBe(key.signature);
        }
      } else if (key.algorithm === 3) {
        expect(toHex(mac(stage.seal, authority, key, fixture.message))).toBe(key.mac);
      } else if (key.algorithm === 4) {
        const sealed = fromHex(key.sealed ?? '');
        const { aad, fresh } = fixture;
        const opened = openSealed(stage.seal, authority, key, sealed, aad);
        expect(opened.toString()).toBe(fixture.message);
        const salt = sealSalt(stage.seal, authority, key, fromHex(fresh), fixture.message, aad);
        expect(toHex(sealed.subarray(1, 25))).toBe(toHex(salt));
        expect(() => openSealed(stage.seal, authority, key, sealed, `${aad}.`)).toThrow(/auth/);
      } else {
        expect(toHex(keySeed(stage.seal, authority, key, 64)).slice(0, key.version * 2)).toBe(
          key.derived,
        );
      }
    }
  });
});
