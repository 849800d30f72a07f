import { describe, expect, test } from 'vitest';
import type { Descriptor } from '../../../../src/formats/avb/descriptor.ts';
import { infoText } from '../../../../src/formats/avb/info.ts';
import {
  decodeVbmeta,
  encodeUnsignedVbmeta,
  encodeVbmeta,
} from '../../../../src/formats/avb/vbmeta.ts';

function textOf(descriptors: readonly Descriptor[], releaseString = 'r'): string {
  const unsigned = encodeUnsignedVbmeta({
    algorithm: 'NONE',
    descriptors,
    publicKey: new Uint8Array(0),
    publicKeyMetadata: new Uint8Array(0),
    rollbackIndex: 0n,
    rollbackIndexLocation: 0,
    flags: 0,
    releaseString,
  });
  const vbmeta = decodeVbmeta(encodeVbmeta(unsigned, new Uint8Array(0), new Uint8Array(0)));
  return infoText({ vbmeta, footer: undefined, imageSize: vbmeta.size, isSparse: false });
}

const property = (value: string | Uint8Array): Descriptor => ({
  kind: 'property',
  key: 'k',
  value: typeof value === 'string' ? new TextEncoder().encode(value) : value,
});

describe('infoText', () => {
  test.each([
    ['plain', "'plain'"],
    ["it's", `b"it's"`],
    ['say "x"', `'say "x"'`],
    [`both ' and "`, `'both \\' and "'`],
    ['tab\tline\nreturn\r', "'tab\\tline\\nreturn\\r'"],
    ['back\\slash', "'back\\\\slash'"],
    ['é', "'\\xc3\\xa9'"],
    ['\u007f\u0000', "'\\x7f\\x00'"],
    ['', "''"],
  ])('writes the property value %j as Python does', (value, shown) => {
    expect(textOf([property(value)])).toContain(`    Prop: k -> ${shown}\n`);
  });

  test('shows the size of a long value', () => {
    expect(textOf([property(new Uint8Array(255).fill(97))])).toContain(`'${'a'.repeat(255)}'`);
    expect(textOf([property(new Uint8Array(256).fill(97))])).toContain('-> (256 bytes)\n');
  });

  test('never sends control characters to a terminal', () => {
    const evil = '\u001b]0;x\u0007\u009b';
    const text = textOf(
      [
        { kind: 'kernel-cmdline', flags: 0, kernelCmdline: evil },
        { kind: 'property', key: evil, value: new TextEncoder().encode(evil) },
        {
          kind: 'hash',
          imageSize: 1,
          hashAlgorithm: evil,
          partitionName: evil,
          salt: new Uint8Array(0),
          digest: new Uint8Array(0),
          flags: 0,
        },
      ],
      evil,
    );
    expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
    expect(text).toContain('\\x1b]0;x\\x07');
  });

  test('says so when there are no descriptors', () => {
    expect(textOf([])).toMatch(/^Descriptors:\n {4}\(none\)\n$/m);
  });
});
