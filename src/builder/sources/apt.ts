/**
 * Debian's packages through the machine's own apt configuration: its repositories, and which versions
 * they offer. As an ordinary user, without touching the system's apt state.
 */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EnvironmentError, ToolError, UsageError } from '../../core/errors.ts';
import type { Cache } from '../../cache/store.ts';
import { makeFolder } from '../../io/make-folder.ts';
import type { LockedDeb } from '../../recipe/lockfile.ts';
import { runTool } from '../run-tool.ts';

const APT_HINT = 'microbuild takes Debian packages through apt: use a Debian or Ubuntu machine';

/** What fetching and locking need of the world around them. */
export interface AptContext {
  readonly cache: Cache;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
}

const environment = (context: AptContext, extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  ...context.env,
  LC_ALL: 'C',
  ...extra,
});

/** Runs one of apt's programs with the machine's own configuration. */
export const aptTool = (
  context: AptContext,
  program: string,
  args: readonly string[],
  extra: NodeJS.ProcessEnv = {},
): Promise<string> =>
  runTool(program, args, {
    env: environment(context, extra),
    signal: context.signal,
    installHint: APT_HINT,
  });

/** The base addresses of the machine's repositories, from its configuration alone: no index is read. */
export async function repositories(context: AptContext): Promise<string[]> {
  const text = await aptTool(context, 'apt-get', [
    'indextargets',
    '--format',
    '$(REPO_URI)',
    'Created-By: Packages',
  ]);
  const unique = [...new Set(text.split('\n').filter((line) => line !== ''))];
  if (unique.length === 0) {
    throw new EnvironmentError('apt', 'apt on this machine has no repositories configured', {
      hint: 'Add one to /etc/apt/sources.list.d',
    });
  }
  return unique;
}

/** One paragraph of `apt-cache show`, as far as a lock needs it. */
interface PackageRecord {
  readonly deb: LockedDeb;
  readonly depends: readonly string[];
}

/** Reads the configured repositories' indexes, into the cache, and answers which version they offer. */
export interface PackageIndex {
  /**
   * Pins a package. A kernel metapackage is followed to the package that holds the kernel.
   *
   * @throws {UsageError} `lock` when the repositories have no such package.
   */
  resolve(name: string, follow: 'kernel' | 'exact'): Promise<LockedDeb>;
}

/**
 * Updates a private copy of the package indexes for one architecture.
 *
 * @param architecture Debian's name for it, such as `amd64`.
 */
export async function openPackageIndex(
  architecture: string,
  context: AptContext,
): Promise<PackageIndex> {
  const state = join(context.cache.directory, 'apt', architecture);
  await makeFolder(join(state, 'lists', 'partial'));
  await makeFolder(join(state, 'archives', 'partial'));
  const config = join(state, 'apt.conf');
  await writeFile(
    config,
    [
      `Dir::State::lists "${state}/lists";`,
      `Dir::State::status "${state}/status";`,
      `Dir::Cache "${state}";`,
      `APT::Architecture "${architecture}";`,
      `APT::Architectures { "${architecture}"; };`,
      'APT::Sandbox::User "root";',
      'Acquire::Languages "none";',
      '',
    ].join('\n'),
  );
  await writeFile(join(state, 'status'), '');
  const extra = { APT_CONFIG: config };
  await aptTool(context, 'apt-get', ['-qq', 'update'], extra);

  const show = async (name: string): Promise<PackageRecord> => {
    let text: string;
    try {
      text = await aptTool(context, 'apt-cache', ['show', '--no-all-versions', name], extra);
    } catch (cause) {
      if (!(cause instanceof ToolError)) throw cause;
      throw new UsageError('lock', `Cannot lock ${name}: no configured repository has it`, {
        cause,
        hint: 'Check the name with apt-cache search',
      });
    }
    return parseRecord(text, name);
  };
  return {
    async resolve(name, follow) {
      const record = await show(name);
      if (follow === 'exact') return record.deb;
      // linux-image-cloud-amd64 names linux-image-6.1.0-49-cloud-amd64, which holds the kernel.
      const kernel = record.depends.find((each) => /^linux-image-\d/.test(each));
      return kernel === undefined ? record.deb : (await show(kernel)).deb;
    },
  };
}

function parseRecord(text: string, name: string): PackageRecord {
  const fields = new Map<string, string>();
  for (const line of text.split('\n\n', 1)[0]?.split('\n') ?? []) {
    const match = /^([A-Za-z0-9-]+): (.*)$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) fields.set(match[1], match[2]);
  }
  const get = (field: string): string => {
    const value = fields.get(field);
    if (value === undefined) {
      throw new UsageError('lock', `Cannot lock ${name}: its record has no ${field}`);
    }
    return value;
  };
  return {
    deb: {
      package: get('Package'),
      version: get('Version'),
      architecture: get('Architecture'),
      path: get('Filename'),
      size: Number(get('Size')),
      sha256: get('SHA256'),
    },
    depends: (fields.get('Depends') ?? '')
      .split(',')
      .map((each) => each.trim().split(/[ :|(]/, 1)[0] ?? '')
      .filter((each) => each !== ''),
  };
}
