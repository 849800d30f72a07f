/** What a build tells of its keys, and what it asks before it signs. */

import { BUNDLE_FILES, LABELS } from '../bundle/layout.ts';
import type { Reporter } from '../core/events.ts';
import type { Recipe } from '../recipe/parse.ts';
import type { ReviewSubject } from '../signing/policy/release.ts';
import type { BuildKeys } from './keys.ts';

/** Rejects what must not be signed. */
export type Review = (subject: ReviewSubject) => Promise<void>;

/**
 * Tells of everything that will be signed, by the names by which a bundle is signed anew, so that both
 * count the same releases.
 */
export async function reviewBuild(
  { data }: Recipe,
  keys: BuildKeys,
  review: Review | undefined,
): Promise<void> {
  if (review === undefined) return;
  const { name, signing, vm } = data;
  const { algorithm } = keys.image;
  const rollbackIndex = BigInt(signing.image.rollbackIndex);
  for (const image of [LABELS.vbmeta, LABELS.system, BUNDLE_FILES.kernel]) {
    await review({ kind: 'vbmeta', name: `${name}/${image}`, algorithm, rollbackIndex });
  }
  await review({ kind: 'apk', name: `${name}/payload`, debuggable: vm.debug === 'full' });
}

/** Warns of development keys, which are for first steps. */
export function reportKeys(
  keys: BuildKeys,
  { reporter, keyFolder }: { readonly reporter: Reporter; readonly keyFolder: string },
): void {
  if (!keys.image.development && !keys.payload.development) return;
  reporter.report({
    kind: 'warning',
    message: `${keys.created ? 'Made development keys in' : 'Signing with development keys of'} ${keyFolder}: do not ship this bundle`,
  });
}
