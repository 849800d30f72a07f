/** What `microbuild explain` says of likely causes: complete, or it does not compile. */

import { page, type ErrorPage } from '../../core/error-page.ts';
import type { CauseName } from './finding.ts';

export const causePages: Readonly<Record<CauseName, ErrorPage>> = {
  mtime: page(
    'A time of modification got into the output.',
    'Set it: SOURCE_DATE_EPOCH for tools, a rule with mtime in the recipe, tar --mtime, zip -X after touch',
    '/etc/motd mtime 1700000000 → 1700000042',
  ),
  order: page(
    'The same parts in another order: of a directory, a hash table, or parallel jobs.',
    'Sort before writing, by bytes: LC_ALL=C sort, tar --sort=name',
    'the same entries in another order, from lib/b.so on',
  ),
  'compression-level': page(
    'The same bytes, compressed differently: another level, or another compressor.',
    'Pin the level and the version of the compressor; gzip -n -9',
    'classes.dex compressedSize 9120 → 9087',
  ),
  'line-endings': page(
    'One has carriage returns before its line feeds.',
    'Write line feeds everywhere: git config core.autocrlf input, * text eol=lf in .gitattributes',
    'they are equal without carriage returns',
  ),
  'build-path': page(
    'The folder in which it was built is in the output.',
    'gcc -ffile-prefix-map=$PWD=., rustc --remap-path-prefix, -trimpath; do not store __FILE__',
    '/home/a/src/main.c and /build/src/main.c',
  ),
  'random-uuid': page(
    'A UUID came from chance.',
    'Derive it from a name: UUIDs of microbuild are; mkfs tools take one as an option',
    'the UUID comes from the name of the partition, or from chance',
  ),
  'random-salt': page(
    'A salt came from chance, or from another name.',
    'Give it: verity.salt of the recipe, --salt of the tools',
    'salt 00ff… → 8a41…',
  ),
  'build-id': page(
    'The linker’s build id differs, since what it hashes does.',
    'Look at the other sections; strip it or pin it only when nothing else differs',
    '.note.gnu.build-id',
  ),
  timestamp: page(
    'A date or time stands in the contents.',
    'Leave it out, or take it from SOURCE_DATE_EPOCH; no __DATE__ and __TIME__ in C',
    '2026-11-23 10:00 and 2026-11-23 10:01',
  ),
  hostname: page(
    'The name of the machine is in the contents.',
    'Leave it out, or set it: KBUILD_BUILD_HOST for kernels',
    'ci-7 and ci-9',
  ),
  user: page(
    'The name of who built it is in the contents.',
    'Leave it out, or set it: KBUILD_BUILD_USER for kernels',
    'root and builder',
  ),
  locale: page(
    'The language or its sort order got into the output.',
    'Set LC_ALL=C.UTF-8 in the build',
    'one is sorted by bytes, the other has the same lines in another order',
  ),
  'time-zone': page(
    'Two times differ by whole or half hours.',
    'Set TZ=UTC in the build; ZIP archives store local times',
    '2 h apart',
  ),
  umask: page(
    'Only what the group and others may do differs: files were made with another umask.',
    'Set modes: umask 022 in the build, or a rule with mode in the recipe',
    'mode 0644 → 0640',
  ),
  owner: page(
    'The owner of a file is the user who built.',
    'Set it: a rule with uid and gid in the recipe, tar --owner=0 --group=0 --numeric-owner',
    'owner 0:0 → 1000:1000',
  ),
  'core-count': page(
    'The number of processors got into the output.',
    'Do not store it; where output is cut by jobs, fix their number',
    '-j4 and -j16',
  ),
  toolchain: page(
    'Another version of a compiler, linker or archiver made it.',
    'Pin the tools: the lock does so for packages; build in a container that is pinned by its digest',
    'GCC: (Debian 12.2.0-14) 12.2.0 and GCC: (Debian 14.2.0-8) 14.2.0',
  ),
  'kernel-version': page(
    'Another kernel, or modules for another one.',
    'Expected where the kernel was updated: microbuild lock RECIPE --update says so',
    '6.1.0-55-cloud-amd64 and 6.1.0-56-cloud-amd64',
  ),
  version: page(
    'A version number differs.',
    'Expected where something was updated; else look where it comes from',
    '1.2.3 and 1.2.4',
  ),
  alignment: page(
    'Data stands at another alignment.',
    'Align in the same way on both sides: zipalign with the same options, before signing',
    'alignment 4096 → 4',
  ),
  key: page(
    'Signed with another key, or by another certificate.',
    'Expected between builders that have keys of their own: compare with --fail-on unsigned',
    'public_key_sha256 469f… → 7728…',
  ),
};
