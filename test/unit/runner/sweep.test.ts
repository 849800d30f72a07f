import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ownedCommand } from '../../../src/runner/child.ts';
import { lockFolder } from '../../../src/runner/claim.ts';
import { identityOf, isAlive } from '../../../src/runner/process-identity.ts';
import { claimVm, findVm, type VmRecord, writeVmRecord } from '../../../src/runner/registry.ts';
import { sweepRegistry } from '../../../src/runner/sweep.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const RECORD: VmRecord = {
  name: 'a',
  state: 'READY',
  pid: 0,
  pidStart: '',
  runnerPid: 0,
  runnerStart: '',
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
  startedAt: 1,
  debuggable: false,
};
const DEAD_OWNER = '999999999 1\n';

async function stale(record?: Partial<VmRecord>): Promise<{ root: string; folder: string }> {
  const root = join(tmpDir(), 'r');
  const folder = join(root, 'a');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, 'lock'), DEAD_OWNER);
  writeFileSync(join(folder, 'console.log'), 'last words');
  writeFileSync(join(folder, 'lock.0123456789ab'), '');
  writeFileSync(join(folder, '.vm.json.tmp-0123'), '');
  const server = createServer();
  await new Promise<void>((done) => server.listen(join(folder, 'vm.vsock'), done));
  // Closing would remove it; a process that is killed does not.
  server.unref();
  if (record !== undefined) await writeVmRecord(folder, { ...RECORD, ...record });
  return { root, folder };
}

test('what a dead runner left is cleaned up, logs and the record stay', async () => {
  const { root, folder } = await stale({});
  expect(await sweepRegistry(root)).toEqual(['a']);
  expect(readdirSync(folder)).toEqual(['console.log', 'vm.json']);
  expect(await findVm('a', root)).toMatchObject({
    state: 'DEAD',
    death: 'VIRTUALIZATION_SERVICE_DIED',
  });
  expect(await sweepRegistry(root)).toEqual([]);
});

test('a process that it left running is ended, one that has its number now is not', async () => {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  const ended = new Promise((done) => child.once('exit', (_code, signal) => done(signal)));
  const { pid, start } = identityOf(child.pid ?? 0);
  const { root } = await stale({ pid, pidStart: '1', backendPid: pid, backendStart: '2' });
  await sweepRegistry(root);
  expect(isAlive({ pid, start })).toBe(true);
  const { root: other } = await stale({ pid, pidStart: start });
  await sweepRegistry(other);
  expect(await ended).toBe('SIGKILL');
});

test('a machine that runs is left alone', async () => {
  const root = join(tmpDir(), 'r');
  mkdirSync(root, { mode: 0o700 });
  const claim = await claimVm('a', root);
  const { runDir } = claim;
  writeFileSync(join(runDir, 'lock.0123456789ab'), '');
  expect(await sweepRegistry(root)).toEqual([]);
  expect(readdirSync(runDir)).toContain('lock.0123456789ab');
  await claim.release();
});

test('of many who clean up and claim at once, one has the name', async () => {
  const { root } = await stale({});
  const done = await Promise.allSettled([
    ...Array.from({ length: 4 }, async () => sweepRegistry(root)),
    ...Array.from({ length: 4 }, async () => claimVm('a', root)),
    ...Array.from({ length: 4 }, async () => sweepRegistry(root)),
  ]);
  const claims = done.slice(4, 8).filter(({ status }) => status === 'fulfilled');
  expect(claims.length).toBeLessThanOrEqual(1);
  expect(done.slice(0, 4).every(({ status }) => status === 'fulfilled')).toBe(true);
  if (claims.length === 0) await (await claimVm('a', root)).release();
});

test('a folder without a record goes, and a scratch folder of a dead process', async () => {
  const { root, folder } = await stale();
  for (const name of ['console.log']) writeFileSync(join(folder, name), '');
  const scratch = join(root, '.scratch-999999999-x');
  mkdirSync(scratch);
  const own = join(root, `.scratch-${process.pid}-x`);
  mkdirSync(own);
  await sweepRegistry(root);
  expect(readdirSync(folder)).toEqual(['console.log']);
  expect([existsSync(scratch), existsSync(own)]).toEqual([false, true]);
  expect(await sweepRegistry('/absent')).toEqual([]);
});

test('a lock of a living process is not taken', async () => {
  const folder = tmpDir();
  const { pid, start } = identityOf(process.pid);
  writeFileSync(join(folder, 'lock'), `${pid} ${start}\n`);
  expect(await lockFolder(folder)).toBeUndefined();
  writeFileSync(join(folder, 'lock'), 'junk');
  const release = await lockFolder(folder);
  await release?.();
  expect(readdirSync(folder)).toEqual([]);
});

test('a program is not started for a runner that is gone already', () => {
  const [first = '', ...rest] = ownedCommand('/bin/echo', ['started']);
  const own = spawnSync(first, rest, { encoding: 'utf8' });
  expect(own.stdout).toBe('started\n');
  // The shell between is its parent, as whoever takes in orphans would be.
  const words = ['-c', '"$@"; echo "exit code $?"', 'sh', first, ...rest];
  const other = spawnSync('/bin/sh', words, { encoding: 'utf8' });
  expect(other.stdout).toBe('exit code 125\n');
});
