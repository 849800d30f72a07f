import { expect, test } from 'vitest';
import { isArch, payloadCompiler } from '../../../src/core/arch.ts';

test.each([
  ['x86_64', 'musl', 'x64', 'musl-gcc'],
  ['x86_64', 'musl', 'arm64', 'x86_64-linux-musl-gcc'],
  ['aarch64', 'musl', 'x64', 'aarch64-linux-musl-gcc'],
  ['aarch64', 'glibc', 'x64', 'aarch64-linux-gnu-gcc'],
  ['aarch64', 'glibc', 'arm64', 'gcc'],
  ['aarch64', 'bionic', 'arm64', undefined],
] as const)(
  'payloads for %s and %s are compiled on %s with %s',
  (arch, runtime, host, compiler) => {
    expect(payloadCompiler(arch, runtime, host)).toBe(compiler);
  },
);

test('only names of ours are architectures', () => {
  expect(['x86_64', 'aarch64'].every(isArch)).toBe(true);
  expect(['amd64', 'toString', '', 1, undefined].some(isArch)).toBe(false);
});
