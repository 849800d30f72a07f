/** An idsig: it says nothing without the APK that it is of. */

import { stat } from 'node:fs/promises';
import { UsageError } from '../../../core/errors.ts';
import { verifyApkFile } from './apk.ts';
import type { VerifyTarget } from './target.ts';

const SUFFIX = '.idsig';

async function findApk(path: string): Promise<string> {
  if (path.endsWith(SUFFIX)) {
    const apk = path.slice(0, -SUFFIX.length);
    const stats = await stat(apk).catch(() => undefined);
    if (stats?.isFile() === true) return apk;
  }
  throw new UsageError('usage', `Cannot verify ${path}: no APK stands beside it`, {
    hint: 'Name the APK that it is of: --apk FILE',
  });
}

export const verifyIdsigTarget: VerifyTarget = async (path, args, context) =>
  verifyApkFile(args.optionalText('apk') ?? (await findApk(path)), path, args, context);
