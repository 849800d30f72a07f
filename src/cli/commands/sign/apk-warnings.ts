/** What a user should know of the signatures that an APK is about to get. */

import type { PlannedApk } from '../../../signing/apk/sign.ts';

export interface ApkWarning {
  readonly message: string;
  readonly hint: string;
}

/** The first releases that know v2 and v3. */
const SDK_V2 = 24;
const SDK_V3 = 28;
/** Android 11 refuses APKs for itself and later releases that are signed with v1 alone. */
const SDK_NEEDS_V2 = 30;

/** The first release that finds a signature. */
function firstSdk({ plan }: Pick<PlannedApk, 'plan'>): number {
  if (plan.v1.length > 0) return 1;
  return plan.v2.length > 0 ? SDK_V2 : SDK_V3;
}

/**
 * Releases that will not take the APK, although it is for them.
 *
 * @param targetSdk Undefined where the manifest does not tell.
 */
export function apkWarnings(
  apk: Pick<PlannedApk, 'plan' | 'minSdk'>,
  targetSdk: number | undefined,
): readonly ApkWarning[] {
  const warnings: ApkWarning[] = [];
  const first = firstSdk(apk);
  if (apk.minSdk < first) {
    warnings.push({
      message: `The APK is for SDK ${apk.minSdk} and later, and releases before SDK ${first} will find no signature`,
      hint: first === SDK_V2 ? 'Sign with v1 too: --v1 true' : 'Sign with v1 and v2 too',
    });
  }
  const isV1Only = apk.plan.v2.length === 0 && apk.plan.v3.length === 0;
  if (isV1Only && targetSdk !== undefined && targetSdk >= SDK_NEEDS_V2) {
    warnings.push({
      message: `The APK targets SDK ${targetSdk} and is signed with v1 alone: SDK ${SDK_NEEDS_V2} and later refuse it`,
      hint: 'Sign with v2 or v3 too',
    });
  }
  return warnings;
}
