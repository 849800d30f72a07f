/** Reading the contents of files for an image: exactly as many bytes as planned, early where it pays. */

import { UsageError } from '../../core/errors.ts';
import type { PlannedInode } from './plan.ts';

/**
 * The bytes of a regular file.
 *
 * @throws {UsageError} `input` when there are more or fewer than planned.
 */
async function* contentOf(planned: PlannedInode): AsyncGenerator<Uint8Array> {
  if (planned.inode.kind !== 'file') return;
  let count = 0;
  for await (const chunk of planned.inode.content.stream()) {
    count += chunk.length;
    if (count > planned.size) break;
    yield chunk;
  }
  if (count !== planned.size) {
    const found = count > planned.size ? 'more' : `only ${count}`;
    throw new UsageError(
      'input',
      `Cannot store ${planned.path} in EROFS: it was planned with ${planned.size} bytes but has ${found}`,
      { hint: 'Do not change the inputs while an image is built' },
    );
  }
}

/** Larger files are read at their turn, in chunks. */
const SMALL = 1 << 16;
/** How many small files are read ahead: enough to hide the time that opening a file takes. */
const AHEAD = 16;

async function wholeContent(planned: PlannedInode): Promise<Uint8Array> {
  const bytes = new Uint8Array(planned.size);
  let used = 0;
  for await (const chunk of contentOf(planned)) {
    bytes.set(chunk, used);
    used += chunk.length;
  }
  return bytes;
}

/**
 * Contents by turn. Opening and closing a small file takes longer than reading it, so the next few
 * are read while earlier ones are written.
 *
 * @param inodes In the order in which their contents will be asked for.
 */
export function createContentReader(
  inodes: readonly PlannedInode[],
): (planned: PlannedInode) => AsyncIterable<Uint8Array> {
  const small = inodes.filter(({ inode, size }) => inode.kind === 'file' && size <= SMALL);
  const started = new Map<PlannedInode, Promise<Uint8Array>>();
  let next = 0;
  const startMore = (): void => {
    while (started.size < AHEAD && next < small.length) {
      const planned = small[next] as PlannedInode;
      next += 1;
      const content = wholeContent(planned);
      // Awaited at its turn; until then a failure must not count as unhandled.
      content.catch(() => undefined);
      started.set(planned, content);
    }
  };
  return async function* (planned) {
    if (planned.size > SMALL) {
      yield* contentOf(planned);
      return;
    }
    startMore();
    const content = started.get(planned);
    if (content === undefined) throw new TypeError('Contents are asked for in order');
    yield await content;
    started.delete(planned);
  };
}
