import { describe, expect, test } from 'vitest';
import { apkWarnings } from '../../../src/cli/commands/sign/apk-warnings.ts';
import type { SignaturePlan } from '../../../src/signing/apk/sign-plan.ts';

/** A plan in which these schemes have a signer. */
function plan(...schemes: readonly string[]): SignaturePlan {
  const signers = (scheme: string) => (schemes.includes(scheme) ? [{}] : []);
  return Object.fromEntries(
    ['v1', 'v2', 'v3', 'v31'].map((scheme) => [scheme, signers(scheme)]),
  ) as unknown as SignaturePlan;
}

const messages = (of: SignaturePlan, minSdk: number, targetSdk?: number): readonly string[] =>
  apkWarnings({ plan: of, minSdk }, targetSdk).map(({ message }) => message);

describe('apkWarnings', () => {
  test.each([
    [plan('v1', 'v2', 'v3'), 1, 35],
    [plan('v2', 'v3'), 24, 35],
    [plan('v3'), 28, 35],
    [plan('v1'), 21, 29],
    [plan('v1'), 21, undefined],
  ])('has nothing to say where all releases find a signature', (of, minSdk, targetSdk) => {
    expect(messages(of, minSdk, targetSdk)).toEqual([]);
  });

  test('names the releases that find no signature', () => {
    expect(messages(plan('v2', 'v3'), 21)).toEqual([
      'The APK is for SDK 21 and later, and releases before SDK 24 will find no signature',
    ]);
    expect(messages(plan('v3', 'v31'), 24)).toEqual([
      'The APK is for SDK 24 and later, and releases before SDK 28 will find no signature',
    ]);
  });

  test('names the releases that refuse v1 alone', () => {
    expect(messages(plan('v1'), 21, 34)).toEqual([
      'The APK targets SDK 34 and is signed with v1 alone: SDK 30 and later refuse it',
    ]);
  });
});
