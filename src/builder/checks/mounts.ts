/** Partitions are mounted where nothing else is. */

import type { CheckContext } from './context.ts';

/** Where the guest mounts what is its own. @see docs/guest-interface.md */
const GUEST_FOLDERS = new Set(['data', 'dev', 'mnt', 'proc', 'run', 'sys', 'tmp']);
/** What the guest's configuration can say. */
const SPELLING = /^(?:\/[A-Za-z0-9._-]+)+$/;

export function checkMounts(context: CheckContext): void {
  const { recipe } = context;
  const inSystem = ['partitions', 'system', 'contents'];
  if (!recipe.data.partitions.system.contents.some((source) => 'guest' in source)) {
    const message = 'Nothing of system is { guest: runtime }';
    const hint =
      'Without its folders and its launcher a guest boots only if other sources have them';
    context.warn(inSystem, message, hint);
  }
  const { system, ...others } = recipe.data.partitions;
  const seen = new Map<string, string>();
  for (const [name, { mount }] of Object.entries(others)) {
    const at = ['partitions', name, 'mount'];
    if (!context.isSound(at)) continue;
    const [, first = ''] = mount.split('/');
    if (!SPELLING.test(mount)) {
      const hint = 'Write letters, digits and . _ - between slashes';
      context.tell(at, `The guest cannot mount anything at ${mount}`, hint);
    } else if (GUEST_FOLDERS.has(first)) {
      const hint = `Choose a folder that does not begin with ${[...GUEST_FOLDERS].join(', ')}`;
      context.tell(at, `The guest mounts something of its own at /${first}`, hint);
    }
    const known = seen.get(mount);
    if (known !== undefined) {
      const { file, line } = recipe.positionOf(['partitions', known]);
      const hint = `Write mount: and another folder (${known} stands at ${file}:${line})`;
      context.tell(at, `The partition ${known} is mounted at ${mount}, too`, hint);
    }
    seen.set(mount, name);
  }
  for (const [index, source] of (system?.contents ?? []).entries()) {
    const path = 'to' in source && !('strip' in source) ? source.to : undefined;
    const isSingle = 'file' in source || 'inline' in source || 'symlink' in source;
    if (path === undefined || path === '/') continue;
    for (const [mount, name] of seen) {
      const isHidden = path.startsWith(`${mount}/`) || (isSingle && path === mount);
      if (!isHidden) continue;
      const hint = `Move it to the contents of ${name}`;
      context.tell(
        ['partitions', 'system', 'contents', index, 'to'],
        `Nobody would see ${path}: the partition ${name} is mounted at ${mount}`,
        hint,
      );
    }
  }
}
