/** DICE as others compute it: open-dice's own known answers, and the chain of Android's sample values. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/core/digest.ts';
import { issueCertificate } from '../../src/dice/certificate.ts';
import {
  decodeChain,
  decodeHandover,
  encodeHandover,
  nextHandover,
  rootHandover,
  verifyChain,
} from '../../src/dice/chain.ts';
import {
  type ConfigDescriptor,
  decodeConfigDescriptor,
  encodeConfigDescriptor,
  payloadDescriptor,
} from '../../src/dice/config-descriptor.ts';
import {
  type Cdis,
  type DiceInput,
  certificateId,
  deriveCdis,
  deriveKey,
  diceKdf,
  sha512,
} from '../../src/dice/derive.ts';
import { corpus, corpusPath } from '../support/corpus.ts';

interface KnownAnswer {
  readonly cdiAttest: string;
  readonly cdiSeal: string;
  readonly certificate: string;
}
type Known = Record<'zeroInput' | 'hashOnlyInput' | 'descriptorInput', KnownAnswer>;

const openDice = JSON.parse(
  readFileSync(new URL('../fixtures/dice/open-dice.json', import.meta.url), 'utf8'),
) as Known;

/** How open-dice's tests make up inputs: hashes of a growing hash of a name. */
function fakeInput(name: string, size: number): Uint8Array {
  const state = createHash('sha512').update(name).digest();
  const output = Buffer.alloc(size);
  for (let at = 0; at < size; at += 64) {
    createHash('sha512').update(state).digest().copy(output, at);
    state.writeBigUInt64LE(BigInt.asUintN(64, state.readBigUInt64LE() + 1n));
  }
  return new Uint8Array(output);
}

const zeros = (size: number): Uint8Array => new Uint8Array(size);
const fakeCdis: Cdis = { attest: fakeInput('cdi_attest', 32), seal: fakeInput('cdi_seal', 32) };
const fakeHashes = {
  codeHash: fakeInput('code_hash', 64),
  authorityHash: fakeInput('authority_hash', 64),
  mode: 'not-configured',
  hidden: zeros(64),
} as const;

describe('open-dice’s known answers', () => {
  const compute = (
    current: Cdis,
    input: DiceInput,
    extras: Parameters<typeof issueCertificate>[3] = {},
  ): KnownAnswer => {
    const next = deriveCdis(current, input);
    const subject = deriveKey(next.attest).publicKey;
    const certificate = issueCertificate(deriveKey(current.attest), subject, input, {
      profileName: 'android.18',
      ...extras,
    });
    return {
      cdiAttest: toHex(next.attest),
      cdiSeal: toHex(next.seal),
      certificate: toHex(certificate),
    };
  };

  it('zero input', () => {
    const input: DiceInput = {
      codeHash: zeros(64),
      config: { inline: zeros(64) },
      authorityHash: zeros(64),
      mode: 'not-configured',
      hidden: zeros(64),
    };
    expect(compute({ attest: zeros(32), seal: zeros(32) }, input)).toEqual(openDice.zeroInput);
  });

  it('hashes and an inline configuration', () => {
    const config = { inline: fakeInput('inline_config', 64) };
    expect(compute(fakeCdis, { ...fakeHashes, config })).toEqual(openDice.hashOnlyInput);
  });

  it('descriptors', () => {
    const config = { descriptor: fakeInput('config_desc', 40) };
    const extras = {
      codeDescriptor: fakeInput('code_desc', 100),
      authorityDescriptor: fakeInput('authority_desc', 65),
    };
    expect(compute(fakeCdis, { ...fakeHashes, config }, extras)).toEqual(openDice.descriptorInput);
  });
});

interface Golden {
  readonly sample_chain: {
    readonly inputs: Record<string, string>;
    readonly expected: Record<string, string>;
    readonly stages: readonly { readonly name: string; readonly version: number }[];
  };
  readonly open_dice: Record<string, string>;
  readonly payload_config_descriptor: readonly {
    readonly config_path?: string;
    readonly payload_binary_name?: string;
    readonly subcomponents: readonly {
      readonly name: string;
      readonly version: number;
      readonly code_hash: string;
      readonly authority_hash: string;
    }[];
    readonly cbor: string;
  }[];
}

describe.skipIf(corpus === undefined)('AVF’s sample values', () => {
  const golden = JSON.parse(readFileSync(corpusPath('dice', 'golden.json'), 'utf8')) as Golden;
  const { inputs, expected, stages } = golden.sample_chain;
  const input = (name: string): Uint8Array => fromHex(inputs[name] ?? '');

  it('derive the same secrets and the same chain, stage by stage', () => {
    let handover = rootHandover(input('UDS'));
    for (const { name, version } of stages) {
      const suffix = name.toUpperCase();
      const descriptor: ConfigDescriptor = {
        componentName: name,
        componentVersion: version,
        resettable: true,
      };
      handover = nextHandover(handover, {
        codeHash: suffix === 'ANDROID' ? zeros(64) : input(`CODE_HASH_${suffix}`),
        config: { descriptor: encodeConfigDescriptor(descriptor) },
        authorityHash: input(`AUTHORITY_HASH_${suffix}`),
        mode: 'normal',
        hidden: suffix === 'ANDROID' ? zeros(64) : input(`HIDDEN_${suffix}`),
      });
    }
    expect(toHex(handover.attest)).toBe(expected['EXPECTED_SAMPLE_CDI_ATTEST']);
    expect(toHex(handover.seal)).toBe(expected['EXPECTED_SAMPLE_CDI_SEAL']);
    expect(toHex(handover.chain ?? zeros(0))).toBe(expected['EXPECTED_SAMPLE_BCC']);
    const { certificates } = verifyChain(handover.chain ?? zeros(0));
    const names = certificates.map(({ config }) => decodeConfigDescriptor(config).componentName);
    expect(names).toEqual(stages.map(({ name }) => name));
  });

  it('hash, derive, name and sign the same', () => {
    const known = golden.open_dice;
    const seed = sha512(Buffer.from('MySeedString'));
    const kdf = diceKdf(Buffer.from('myInitialKeyMaterial'), Buffer.from('mySalt'), 'myInfo', 32);
    expect(toHex(sha512(Buffer.from('hello world')))).toBe(known['hash(hello world)']);
    expect(toHex(kdf)).toBe(known['kdf(ikm=myInitialKeyMaterial,salt=mySalt,info=myInfo,32)']);
    expect(certificateId(Buffer.from('MyPubKey'))).toBe(known['certificate_id(MyPubKey)']);
    expect(toHex(deriveKey(seed.subarray(0, 32)).publicKey)).toBe(known['ed25519_public']);
  });

  it('describe the payload in the same bytes', () => {
    for (const each of golden.payload_config_descriptor) {
      const payload =
        each.config_path === undefined
          ? { binaryName: each.payload_binary_name ?? '' }
          : { configPath: each.config_path };
      const subcomponents = each.subcomponents.map((part) => ({
        name: part.name,
        version: BigInt(part.version),
        codeHash: fromHex(part.code_hash),
        authorityHash: fromHex(part.authority_hash),
      }));
      const descriptor = payloadDescriptor(payload, subcomponents);
      const bytes = encodeConfigDescriptor(descriptor);
      expect(toHex(bytes)).toBe(each.cbor);
      const { subcomponents: some = [], ...rest } = decodeConfigDescriptor(bytes);
      expect({ ...rest, subcomponents: some }).toEqual(descriptor);
    }
  });

  it('read a handover of Android’s, and refuse it with any bit changed in the chain', () => {
    const bytes = new Uint8Array(readFileSync(corpusPath('dice', 'bcc.dat')));
    const handover = decodeHandover(bytes);
    expect(toHex(encodeHandover(handover))).toBe(toHex(bytes));
    const chain = handover.chain ?? zeros(0);
    const { certificates } = verifyChain(chain);
    expect(certificates.length).toBeGreaterThan(0);
    expect(certificates[0]?.mode).toBe('debug');
    for (let at = 40; at < chain.length; at += 7) {
      const changed = chain.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => verifyChain(changed), `byte ${at}`).toThrow(/^Cannot/);
    }
    expect(decodeChain(chain).rootKey).toHaveLength(32);
  });
});
