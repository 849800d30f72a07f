/**
 * What `microbuild explain` says of the findings of the APK verifier. The meaning is the finding's own message
 * with placeholders, so that no finding lacks one; what to do depends on the scheme that it is about.
 */

import { page, type ErrorPage } from '../../../core/error-page.ts';
import { issueMessages } from './issue-messages.ts';
import type { IssueName } from './issue.ts';

/** By the start of the name, the longest first where one could hide another. */
const REMEDIES: readonly (readonly [start: string, remedy: string])[] = [
  [
    'JAR_SIG_',
    'Sign the APK again: microbuild sign app.apk --key KEY --v1. Who has not changed an APK and meets this has one that somebody else changed',
  ],
  ['SOURCE_STAMP_', 'Make the stamp anew: microbuild sign app.apk --stamp-key KEY'],
  ['V4_', 'Make the idsig from this APK: microbuild sign app.apk --key KEY --v4'],
  ['V3_', 'Sign the APK again: microbuild sign app.apk --key KEY'],
  ['V31_', 'Sign the APK again: microbuild sign app.apk --key KEY'],
  ['V2_', 'Sign the APK again: microbuild sign app.apk --key KEY'],
  [
    'ZIP_',
    'Make the archive anew with a tool that keeps to the format; readers differ on this one',
  ],
];
const OTHERWISE =
  'Sign the APK again from the release that was meant: microbuild sign app.apk --key KEY';

/** Stands for any parameter, in words. */
const placeholders = new Proxy<Record<string, string>>(
  {},
  { get: (_target, name) => (typeof name === 'string' ? `<${name}>` : undefined) },
);

const namesOf = Object.keys(issueMessages) as IssueName[];

export const issuePages: Readonly<Record<string, ErrorPage>> = Object.fromEntries(
  namesOf.map((name) => {
    const text = issueMessages[name] as (parameters: object) => string;
    const [, remedy = OTHERWISE] = REMEDIES.find(([start]) => name.startsWith(start)) ?? [];
    return [name, page(text(placeholders), remedy, 'microbuild verify app.apk --verbose')];
  }),
);
