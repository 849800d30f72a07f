/**
 * What may be signed for a release. Pure: those who sign describe what they are about to sign, and are
 * told every reason against it at once.
 *
 * There is no way around a reason but to leave the profile: what is signed then is no release.
 */

import type { KeyObject } from 'node:crypto';
import { knownTestKey } from '../keys/known-test-keys.ts';
import { rollbackName, type LastReleases } from './last-releases.ts';

/** The profiles of `--profile`. `development` refuses nothing. */
export const SIGNING_PROFILES = ['development', 'release'] as const;
export type SigningProfile = (typeof SIGNING_PROFILES)[number];

/** A key that is about to sign. */
export interface KeySubject {
  readonly kind: 'key';
  /** How messages call it; without any secret. */
  readonly name: string;
  readonly publicKey: KeyObject;
  /** Whether microbuild made it for first steps. */
  readonly development: boolean;
}

/** An APK that is about to be signed. */
export interface ApkSubject {
  readonly kind: 'apk';
  readonly name: string;
  /** `android:debuggable` of its manifest. */
  readonly debuggable: boolean;
}

/** A vbmeta image, alone or in a footer, that is about to be signed. */
export interface VbmetaSubject {
  readonly kind: 'vbmeta';
  /**
   * What the rollback index counts releases of, the same for each release: the name of an image or
   * partition, in a bundle with the bundle's name before it (`hello/kernel`).
   */
  readonly name: string;
  /** As avbtool names it: `SHA256_RSA4096`, `NONE`. */
  readonly algorithm: string;
  readonly rollbackIndex: bigint;
  /** Default 0. */
  readonly rollbackIndexLocation?: number;
  /** `AvbVBMetaImageFlags`; default 0. */
  readonly flags?: number;
}

/** What a build takes from elsewhere. */
export interface InputsSubject {
  readonly kind: 'inputs';
  readonly name: string;
  /** Names of inputs whose bytes no digest pins. */
  readonly unpinned: readonly string[];
  /** The command that pins them. */
  readonly pinWith: string;
}

export type ReviewSubject = KeySubject | ApkSubject | VbmetaSubject | InputsSubject;

/** A reason not to sign. */
export interface Refusal {
  readonly code:
    | 'published-key'
    | 'development-key'
    | 'debuggable'
    | 'unsigned'
    | 'verification-disabled'
    | 'rollback'
    | 'unpinned-input';
  /** What is wrong, starting with the name of the subject. */
  readonly message: string;
  /** What to do about it. */
  readonly hint: string;
}

/** All reasons not to sign this for a release. */
export function reviewRelease(subject: ReviewSubject, last: LastReleases): readonly Refusal[] {
  switch (subject.kind) {
    case 'key':
      return reviewKey(subject);
    case 'apk':
      return reviewApk(subject);
    case 'vbmeta':
      return reviewVbmeta(subject, last);
    case 'inputs':
      return reviewInputs(subject);
  }
}

function reviewKey({ name, publicKey, development }: KeySubject): Refusal[] {
  const published = knownTestKey(publicKey);
  if (published !== undefined) {
    return [
      {
        code: 'published-key',
        message: `${name} is a published test key (${published}): anybody can sign with it`,
        hint: 'Make a key of your own: microbuild keys generate',
      },
    ];
  }
  if (!development) return [];
  return [
    {
      code: 'development-key',
      message: `${name} is a development key, which whoever builds may use`,
      hint: 'Make a release key with microbuild keys generate, or name the one of your token',
    },
  ];
}

const reviewApk = ({ name, debuggable }: ApkSubject): Refusal[] =>
  debuggable
    ? [
        {
          code: 'debuggable',
          message: `${name} is debuggable: its manifest says android:debuggable="true"`,
          hint: 'Build it without android:debuggable, which its release variant leaves out',
        },
      ]
    : [];

/** `HASHTREE_DISABLED` and `VERIFICATION_DISABLED` of `AvbVBMetaImageFlags`. */
const FLAGS_THAT_DISABLE = 0b11;

function reviewVbmeta(subject: VbmetaSubject, last: LastReleases): Refusal[] {
  const { name, algorithm, rollbackIndex, rollbackIndexLocation = 0, flags = 0 } = subject;
  const refusals: Refusal[] = [];
  if (algorithm === 'NONE') {
    refusals.push({
      code: 'unsigned',
      message: `${name} would not be signed: its algorithm is NONE`,
      hint: 'Choose an algorithm that signs, such as SHA256_RSA4096',
    });
  }
  if ((flags & FLAGS_THAT_DISABLE) !== 0) {
    refusals.push({
      code: 'verification-disabled',
      message: `${name} turns verification off: its flags are ${flags}`,
      hint: 'Sign it with flags 0',
    });
  }
  const released = last.get(rollbackName(name, rollbackIndexLocation));
  if (released !== undefined && rollbackIndex < released) {
    const at = rollbackIndexLocation === 0 ? '' : ` at location ${rollbackIndexLocation}`;
    refusals.push({
      code: 'rollback',
      message: `${name} has rollback index ${rollbackIndex}${at}, but ${released} was released before`,
      hint: `Use a rollback index of ${released} or more: devices refuse what is below the last they saw`,
    });
  }
  return refusals;
}

const reviewInputs = ({ name, unpinned, pinWith }: InputsSubject): Refusal[] =>
  unpinned.length === 0
    ? []
    : [
        {
          code: 'unpinned-input',
          message: `${name} takes inputs that nothing pins: ${unpinned.join(', ')}`,
          hint: `Pin them: ${pinWith}`,
        },
      ];
