/**
 * The machine's own apt configuration: its repositories, and what they offer. As an ordinary user,
 * without touching the system's apt state.
 */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EnvironmentError, ToolError } from '../../core/errors.ts';
import type { Reporter } from '../../core/events.ts';
import type { Cache } from '../../cache/store.ts';
import { decompress } from '../../formats/tar/decompress.ts';
import { openFileSource } from '../../io/byte-source.ts';
import { makeFolder } from '../../io/make-folder.ts';
import { indexPackagesFile, type PackagesFile } from '../debian/packages-file.ts';
import { createUniverse, type PackagePin, type Universe } from '../debian/universe.ts';
import { runTool } from '../run-tool.ts';

const APT_HINT = 'microbuild takes Debian packages through apt: use a Debian or Ubuntu machine';

/** Several times the index of Debian's main. */
const MAX_INDEX_BYTES = 400 << 20;
/** What apt ranks an index with that nobody ranked. */
const DEFAULT_PRIORITY = 500;

/** What apt's programs need of the world around them. */
export interface AptContext {
  readonly cache: Cache;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
  readonly reporter?: Reporter | undefined;
}

/** Runs one of apt's programs with the machine's own configuration. */
export const aptTool = (
  context: AptContext,
  program: string,
  args: readonly string[],
): Promise<string> =>
  runTool(program, args, {
    env: { ...context.env, LC_ALL: 'C' },
    signal: context.signal,
    installHint: APT_HINT,
  });

const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '');

/** The base addresses of the machine's repositories, from its configuration alone: no index is read. */
export async function repositories(context: AptContext): Promise<string[]> {
  const text = await aptTool(context, 'apt-get', [
    'indextargets',
    '--format',
    '$(REPO_URI)',
    'Created-By: Packages',
  ]);
  const unique = [...new Set(linesOf(text))];
  if (unique.length === 0) {
    throw new EnvironmentError('apt', 'apt on this machine has no repositories configured', {
      hint: 'Add one to /etc/apt/sources.list.d',
    });
  }
  return unique;
}

/**
 * Updates a private copy of the package indexes for one architecture, and reads them.
 *
 * @param architecture Debian's name for it, such as `amd64`.
 * @throws {ToolError} when apt is not configured as it should be.
 */
export async function openPackageIndex(
  architecture: string,
  context: AptContext,
): Promise<Universe> {
  const apart = await privateState(architecture, context);
  const apt = (program: string, ...args: string[]): Promise<string> =>
    aptTool(context, program, [...apart, ...args]);
  try {
    await apt('apt-get', '-qq', '-o', 'APT::Update::Error-Mode=any', 'update');
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    context.signal?.throwIfAborted();
    // One repository of many may be away: what there is of the others is read, and an older copy of this one.
    const why = linesOf(error.stderrTail).find((line) => line.startsWith('E: ')) ?? error.message;
    context.reporter?.report({
      kind: 'warning',
      message: `Some package indexes are not fresh: ${why.replace(/^E: /, '')}`,
    });
  }
  const format = '$(FILENAME)\t$(DESCRIPTION)';
  const targets = await apt('apt-get', 'indextargets', '--format', format, 'Created-By: Packages');
  const { priorities, pins } = parsePolicy(await apt('apt-cache', 'policy'));
  const indexes = [];
  for (const line of linesOf(targets)) {
    const [file = '', description = ''] = line.split('\t');
    indexes.push({
      packages: await readIndex(file),
      priority: priorities.get(description) ?? DEFAULT_PRIORITY,
    });
  }
  return createUniverse(architecture, indexes, pins);
}

/**
 * Makes folders for the indexes of one architecture, apart from the system's.
 *
 * @returns the options that lead apt there. As options they go before what the machine is configured with.
 */
async function privateState(architecture: string, { cache }: AptContext): Promise<string[]> {
  const state = join(cache.directory, 'apt', `${architecture}-plain`);
  await makeFolder(join(state, 'lists', 'partial'));
  await makeFolder(join(state, 'archives', 'partial'));
  await writeFile(join(state, 'status'), '');
  return [
    `Dir::State::lists=${state}/lists`,
    `Dir::State::status=${state}/status`,
    `Dir::Cache=${state}`,
    `APT::Architecture=${architecture}`,
    'APT::Architectures=',
    `APT::Architectures::=${architecture}`,
    'APT::Sandbox::User=root',
    'Acquire::Languages=none',
    'Acquire::GzipIndexes=false',
  ].flatMap((option) => ['-o', option]);
}

async function readIndex(path: string): Promise<PackagesFile> {
  let file;
  try {
    file = await openFileSource(path);
  } catch (error) {
    // A repository that did not answer yet.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return indexPackagesFile('');
    throw error;
  }
  try {
    const chunks: Uint8Array[] = [];
    for await (const chunk of decompress(file, MAX_INDEX_BYTES)) chunks.push(Buffer.from(chunk));
    // One byte a character: what is looked for is ASCII.
    return indexPackagesFile(Buffer.concat(chunks).toString('latin1'));
  } finally {
    await file.close();
  }
}

/**
 * Reads what `apt-cache policy` prints: the priority of each index by its description, and the versions that
 * the user's preferences single out.
 */
export function parsePolicy(text: string): {
  readonly priorities: ReadonlyMap<string, number>;
  readonly pins: ReadonlyMap<string, PackagePin>;
} {
  const priorities = new Map<string, number>();
  const pins = new Map<string, PackagePin>();
  for (const line of text.split('\n')) {
    const [, priority, description] = /^ {0,3}(-?\d+) (\S+:\S.*)$/.exec(line) ?? [];
    if (priority !== undefined && description !== undefined) {
      priorities.set(description.trim(), Number(priority));
    }
    const [, name, version, pinned] = /^ +(\S+) -> (\S+) with priority (-?\d+)$/.exec(line) ?? [];
    if (name !== undefined && version !== undefined) {
      pins.set(name.replace(/:.*$/, ''), { version, priority: Number(pinned) });
    }
  }
  return { priorities, pins };
}
