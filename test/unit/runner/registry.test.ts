import { chmodSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  checkVmName,
  claimVm,
  ensurePrivateFolder,
  findVm,
  listVms,
  parseVmRecord,
  registryPath,
  type VmRecord,
  writeVmRecord,
} from '../../../src/runner/registry.ts';
import { processStart } from '../../../src/runner/process-identity.ts';
import { chooseCid } from '../../../src/runner/vm-options.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const registry = (): string => {
  const path = join(tmpDir(), 'r');
  mkdirSync(path, { mode: 0o700 });
  return path;
};

const STATE: VmRecord = {
  name: 'a',
  state: 'READY',
  pid: process.pid,
  pidStart: processStart(process.pid) ?? '',
  runnerPid: process.pid,
  runnerStart: processStart(process.pid) ?? '',
  backendPid: 0,
  backendStart: '',
  cid: 3000,
  hostSocket: '/s',
  consoleFile: '/c',
  logFile: '/l',
  vmm: 'qemu',
  accelerator: 'tcg',
  memoryMib: 128,
  cpus: 1,
  startedAt: 1_700_000_000_000,
  debuggable: false,
};

test('the registry is in XDG_RUNTIME_DIR, or a folder of this user', () => {
  expect(registryPath({ XDG_RUNTIME_DIR: '/run/user/7' })).toBe('/run/user/7/microbuild');
  expect(registryPath({})).toMatch(/\/microbuild-\d+$/);
});

test('a name is claimed once, and again after it was released', async () => {
  const root = registry();
  const claim = await claimVm('a', root);
  await expect(claimVm('a', root)).rejects.toMatchObject({ code: 'lock' });
  await (await claimVm('b', root)).release();
  await claim.release();
  await (await claimVm('a', root)).release();
});

test('of many who claim one name at once, one gets it', async () => {
  const root = registry();
  mkdirSync(join(root, 'a'), { mode: 0o700 });
  writeFileSync(join(root, 'a', 'lock'), '999999999 1\n');
  const claims = await Promise.allSettled(
    Array.from({ length: 8 }, async () => claimVm('a', root)),
  );
  expect(claims.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});

test('a folder whose owner died is taken over and emptied', async () => {
  const root = registry();
  mkdirSync(join(root, 'a'), { mode: 0o700 });
  // The process lives, but it started at another time: the id was used again.
  writeFileSync(join(root, 'a', 'lock'), `${process.pid} 1\n`);
  writeFileSync(join(root, 'a', 'vm.vsock'), '');
  const { runDir } = await claimVm('a', root);
  expect(readdirSync(runDir)).toEqual(['lock']);
});

test('a running machine is found by name, a dead one is known as dead', async () => {
  const root = registry();
  const { runDir } = await claimVm('a', root);
  await writeVmRecord(runDir, STATE);
  expect(await findVm('a', root)).toEqual({ ...STATE, runDir, running: true });
  await writeVmRecord(runDir, { ...STATE, pidStart: '1' });
  expect(await findVm('a', root)).toMatchObject({ running: false });
  expect(await findVm('absent', root)).toBeUndefined();
  expect((await listVms(root)).map(({ name }) => name)).toEqual(['a']);
  expect(await listVms('/absent')).toEqual([]);
});

test.each(['', '.', '..', '../x', 'a/b', '-x', 'a b', 'x'.repeat(41), 'a\0'])(
  'the name %j is refused before it becomes a path',
  async (name) => {
    expect(() => checkVmName(name)).toThrow(/name of a virtual machine/);
    await expect(findVm(name, '/')).rejects.toMatchObject({ code: 'usage' });
  },
);

test('a folder that others can enter, or a link, is no private folder', async () => {
  const root = tmpDir();
  const open = join(root, 'open');
  mkdirSync(open);
  chmodSync(open, 0o755);
  await expect(ensurePrivateFolder(open)).rejects.toMatchObject({ missing: 'run directory' });
  symlinkSync(registry(), join(root, 'link'));
  await expect(ensurePrivateFolder(join(root, 'link'))).rejects.toMatchObject({
    missing: 'run directory',
  });
  await ensurePrivateFolder(join(root, 'new'));
});

test('a path that is too long for its sockets is refused with the way out', async () => {
  const root = join(registry(), 'x'.repeat(90));
  await expect(claimVm('a', root)).rejects.toMatchObject({
    hint: expect.stringContaining('XDG_RUNTIME_DIR'),
  });
});

test('a state is whole or it is none', () => {
  expect(parseVmRecord(JSON.stringify(STATE))).toEqual(STATE);
  for (const key of Object.keys(STATE)) {
    expect(parseVmRecord(JSON.stringify({ ...STATE, [key]: null }))).toBeUndefined();
  }
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      expect(parseVmRecord(text)).toBeUndefined();
    }),
  );
});

test('the CID is that of the run directory, from 2048', () => {
  expect(chooseCid('/run/a')).toBe(chooseCid('/run/a'));
  fc.assert(
    fc.property(fc.string(), (path) => {
      expect(chooseCid(path)).toBeGreaterThanOrEqual(2048);
      expect(chooseCid(path)).toBeLessThanOrEqual(65535);
    }),
  );
});
