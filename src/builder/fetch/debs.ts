/** Debian packages by their path below a repository, through apt's own configuration and transports. */

import { rm, stat } from 'node:fs/promises';
import { ToolError } from '../../core/errors.ts';
import type { LockedDeb } from '../../recipe/lockfile.ts';
import { aptTool, repositories, type AptContext } from '../sources/apt.ts';

const APT_HELPER = '/usr/lib/apt/apt-helper';
const POLL_MILLISECONDS = 200;

/**
 * Asks one configured repository after the other. No index is read.
 *
 * @returns what those said that did not have it.
 */
export async function downloadDeb(
  deb: LockedDeb,
  target: string,
  context: AptContext,
  onProgress: (done: number) => void,
): Promise<string[]> {
  const problems: string[] = [];
  const places = await repositories(context);
  if (places.length === 0) return ['apt: this machine has no repositories configured'];
  // apt tells nothing while it works; the file it writes does.
  const poll = setInterval(() => {
    stat(target).then(
      ({ size }) => onProgress(size),
      () => undefined,
    );
  }, POLL_MILLISECONDS);
  try {
    for (const repository of places) {
      const uri = `${repository.replace(/\/$/, '')}/${deb.path}`;
      try {
        await aptTool(context, APT_HELPER, [
          '-o',
          'APT::Sandbox::User=root',
          'download-file',
          uri,
          target,
          `SHA256:${deb.sha256}`,
        ]);
        return [];
      } catch (error) {
        if (!(error instanceof ToolError)) throw error;
        context.signal?.throwIfAborted();
        await rm(target, { force: true });
        const said = error.stderrTail.trim().split('\n').at(-1) ?? '';
        problems.push(`${uri}: ${said === '' ? error.message : said.replace(/^E: /, '')}`);
      }
    }
    return problems;
  } finally {
    clearInterval(poll);
  }
}
