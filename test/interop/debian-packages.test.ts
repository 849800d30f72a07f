/** Our order of versions against dpkg's, our closures against apt's. */

import fc from 'fast-check';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { closureOf, type Closure } from '../../src/builder/debian/closure.ts';
import type { Universe } from '../../src/builder/debian/universe.ts';
import { compareVersions } from '../../src/builder/debian/version.ts';
import { openPackageIndex } from '../../src/builder/sources/apt.ts';
import { defaultCacheDirectory, openCache } from '../../src/cache/store.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

/** Asks dpkg about many pairs in one process a dozen: `dpkg --compare-versions A lt B`. */
function dpkgOrders(pairs: readonly (readonly [string, string])[]): number[] {
  const script = pairs
    .map(
      ([a, b]) =>
        `if dpkg --compare-versions '${a}' lt '${b}'; then echo -1; elif dpkg --compare-versions '${a}' eq '${b}'; then echo 0; else echo 1; fi`,
    )
    .join('\n');
  const { status, stdout, stderr } = runTool('sh', ['-c', script]);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout.trim().split('\n').map(Number);
}

describe('versions', () => {
  test('any two sort as dpkg sorts them', () => {
    const upstream = fc.stringMatching(/^[0-9][0-9a-cA-C.+~]{0,6}$/);
    const version = fc
      .tuple(
        fc.option(fc.nat(3), { nil: undefined }),
        upstream,
        fc.option(fc.stringMatching(/^[0-9a-c.+~]{1,4}$/), { nil: undefined }),
      )
      .map(
        ([epoch, body, revision]) =>
          `${epoch === undefined ? '' : `${epoch}:`}${body}${revision === undefined ? '' : `-${revision}`}`,
      );
    const pairs = fc.sample(fc.tuple(version, version), { numRuns: 200, seed: Date.now() });
    // Pairs that differ in little are the interesting ones.
    const near = pairs.map(([a]): [string, string] => [a, `${a}~`]);
    const all = [...pairs, ...near];
    const ours = all.map(([a, b]) => [a, b, compareVersions(a, b)]);
    const theirs = dpkgOrders(all).map((order, index) => [...(all[index] ?? []), order]);
    expect(ours).toEqual(theirs);
  });
});

describe('closures', () => {
  let universe: Universe;
  let options: string[];

  beforeAll(async () => {
    const cache = await openCache(defaultCacheDirectory(process.env));
    universe = await openPackageIndex('amd64', { cache, env: process.env });
    const state = join(cache.directory, 'apt', 'amd64-plain');
    options = [
      `Dir::State::lists=${state}/lists`,
      `Dir::Cache=${state}`,
      'APT::Architecture=amd64',
      'APT::Architectures=',
      'APT::Architectures::=amd64',
      'APT::Install-Recommends=false',
      'Debug::NoLocking=true',
    ].flatMap((option) => ['-o', option]);
  });

  function closure(name: string): Closure {
    const found = universe.candidate(name);
    if (found === undefined) throw new Error(`no repository of this machine has ${name}`);
    return closureOf([found], universe);
  }

  /** apt's own answer on a machine with nothing installed. */
  function aptClosure(name: string): string[] {
    const status = join(tmpDir(), 'status');
    writeFileSync(status, '');
    const args = [...options, '-o', `Dir::State::status=${status}`];
    const result = runTool('apt-get', ['-y', '-qq', ...args, '--print-uris', 'install', name]);
    expect(result.stderr).toBe('');
    return result.stdout
      .split('\n')
      .filter((line) => line.startsWith("'"))
      .map((line) => decodeURIComponent(line.split(' ')[1] ?? '').replace(/_[^_]*\.deb$/, ''))
      .sort();
  }

  test.each(['musl', 'bash', 'python3', 'openssh-server', 'git'])(
    'what %s depends on is what apt would install',
    (name) => {
      const { members, problems } = closure(name);
      expect(problems).toEqual([]);
      const ours = [...members.values()].map(
        ({ package: { deb } }) => `${deb.package}_${deb.version}`,
      );
      expect(ours.sort()).toEqual(aptClosure(name));
    },
  );

  test.each(['systemd', 'apache2'])(
    'apt finds nothing missing and nothing broken where the closure of %s is installed',
    (name) => {
      const { members, problems } = closure(name);
      expect(problems).toEqual([]);
      const folder = tmpDir();
      mkdirSync(join(folder, 'lists'));
      const status = join(folder, 'status');
      const wanted = [...members.values()].map(
        ({ package: { deb } }) => `${deb.package}=${deb.version}`,
      );
      const shown = runTool('apt-cache', [...options, 'show', ...wanted]).stdout.trimEnd();
      const stanzas = shown.split('\n\n').map((each) => `${each}\nStatus: install ok installed\n`);
      expect(stanzas).toHaveLength(wanted.length);
      const text = stanzas.join('\n');
      writeFileSync(status, text);
      const args = [...options, '-o', `Dir::State::status=${status}`];
      const checked = runTool('apt-get', ['-qq', ...args, 'check']);
      expect([checked.status, checked.stderr]).toEqual([0, '']);
      const install = runTool('apt-get', ['-y', '-s', '-qq', ...args, 'install', name]);
      expect([install.status, install.stdout.trim()]).toEqual([0, '']);
    },
  );

  test('every package of the index has a closure or is told what it lacks, in no time', () => {
    const names = ['libc6', 'perl', 'vim', 'gcc', 'emacs', 'postgresql', 'kde-standard'];
    const started = performance.now();
    for (const name of names) expect(closure(name).members.size).toBeGreaterThan(0);
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});
