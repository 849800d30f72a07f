/**
 * A commit of a repository as one tar archive of its files, by the program git.
 *
 * The archive depends on the commit alone: attributes of the repository that make git rewrite files
 * (`export-subst`, `text`, `ident`, filters) or leave some out are switched off, and so is the
 * configuration of user and machine while it is made. Submodules are empty folders, as in the commit;
 * files of Git LFS are their pointers.
 *
 * @see git-archive(1), gitattributes(5)
 */

import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { ToolError } from '../../core/errors.ts';
import { isAddress } from '../../recipe/schema-values.ts';
import { runTool } from '../run-tool.ts';

/** Nothing that a repository says about itself changes the archive of its files. */
const ATTRIBUTES =
  '* -export-subst -export-ignore -text -eol -crlf -ident -filter -working-tree-encoding\n';

/** Transports that only fetch: `ext::` would run what a recipe says. */
const PROTOCOLS = 'https:http:ssh:git:file';

export interface GitContext {
  /** Folder of the recipe, where a path of a repository begins. */
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal | undefined;
}

/** Whether a repository is a path of this machine, which needs no network. */
export const isLocalRepository = (git: string): boolean => !isAddress(git);

/**
 * Finds a commit and writes the archive of its files.
 *
 * @param wanted `commit`, a whole id; or `ref`, a branch, a tag or any other name.
 * @param target File to write; its folder is used for the repository in the making.
 * @returns the id of the commit.
 * @throws {ToolError} with what git said.
 */
export async function archiveCommit(
  git: string,
  wanted: { readonly commit?: string | undefined; readonly ref?: string | undefined },
  target: string,
  context: GitContext,
): Promise<string> {
  const repository = join(dirname(target), 'repository.git');
  const run = (args: readonly string[], extra: NodeJS.ProcessEnv = {}): Promise<string> =>
    runTool('git', args, {
      env: {
        ...withoutGit(context.env),
        LC_ALL: 'C',
        GIT_TERMINAL_PROMPT: '0',
        GIT_ALLOW_PROTOCOL: PROTOCOLS,
        ...extra,
      },
      signal: context.signal,
      installHint: 'Install git: microbuild takes commits through it',
    });
  const inRepository = (args: readonly string[], extra: NodeJS.ProcessEnv = {}): Promise<string> =>
    run([`--git-dir=${repository}`, ...args], extra);
  const id = async (name: string): Promise<string> =>
    (
      await inRepository([
        'rev-parse',
        '--verify',
        '--quiet',
        '--end-of-options',
        `${name}^{commit}`,
      ])
    ).trim();

  try {
    const format = wanted.commit?.length === 64 ? 'sha256' : 'sha1';
    await run(['init', '--quiet', '--bare', `--object-format=${format}`, repository], {
      GIT_TEMPLATE_DIR: '',
      GIT_CONFIG_GLOBAL: '/dev/null',
    });
    let commit: string;
    if (isLocalRepository(git)) {
      const place = resolve(context.directory, git);
      const at = ['-C', place];
      const objects = await run([
        ...at,
        'rev-parse',
        '--path-format=absolute',
        '--git-path',
        'objects',
      ]);
      await mkdir(join(repository, 'objects', 'info'), { recursive: true });
      await writeFile(join(repository, 'objects', 'info', 'alternates'), objects);
      const name = wanted.commit ?? wanted.ref ?? 'HEAD';
      const found = await run([
        ...at,
        'rev-parse',
        '--verify',
        '--quiet',
        '--end-of-options',
        `${name}^{commit}`,
      ]);
      commit = found.trim();
    } else {
      commit = await fetchRemote(git, wanted, inRepository, id);
    }
    await mkdir(join(repository, 'info'), { recursive: true });
    await writeFile(join(repository, 'info', 'attributes'), ATTRIBUTES);
    await inRepository(
      [
        '-c',
        'tar.umask=0022',
        '-c',
        'core.autocrlf=false',
        'archive',
        '--format=tar',
        `--output=${target}`,
        commit,
      ],
      { GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', GIT_ATTR_NOSYSTEM: '1' },
    );
    return commit;
  } finally {
    await rm(repository, { recursive: true, force: true });
  }
}

/** Fetches as little as the server allows: the commit alone, else its name, else everything. */
async function fetchRemote(
  git: string,
  { commit, ref }: { readonly commit?: string | undefined; readonly ref?: string | undefined },
  run: (args: readonly string[]) => Promise<string>,
  id: (name: string) => Promise<string>,
): Promise<string> {
  const fetch = (...args: readonly string[]): Promise<string> =>
    run(['fetch', '--quiet', '--no-tags', '--no-recurse-submodules', ...args]);
  if (commit === undefined) {
    await fetch('--depth=1', '--end-of-options', git, ref ?? 'HEAD');
    return id('FETCH_HEAD');
  }
  try {
    await fetch('--depth=1', '--end-of-options', git, commit);
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    // Not every server gives what it does not advertise.
    await fetch('--end-of-options', git, '+refs/*:refs/fetched/*');
  }
  return id(commit);
}

/** Variables that would lead git to another repository than the one that is named. */
function withoutGit(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const misleading =
    /^GIT_(?:DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|NAMESPACE|COMMON_DIR|PREFIX)$/;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !misleading.test(name)));
}
