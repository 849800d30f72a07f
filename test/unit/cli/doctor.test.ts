/** `microbuild doctor` as a process, on this machine with parts of it hidden. */

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Check } from '../../../src/cli/doctor/check.ts';
import { openSandbox, type Sandbox } from '../../support/cli.ts';

interface Diagnosis {
  readonly ok: boolean;
  readonly checks: readonly Check[];
}

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openSandbox();
});
afterAll(() => sandbox.dispose());

async function doctor(env: NodeJS.ProcessEnv = {}): Promise<Diagnosis & { status: number }> {
  const { status, stdout, stderr } = await sandbox.microbuild(['doctor', '--json'], {
    MICROBUILD_CACHE: join(sandbox.folder, 'cache'),
    ...env,
  });
  expect(stderr).toBe('');
  return { ...(JSON.parse(stdout) as Diagnosis), status };
}

const find = (diagnosis: Diagnosis, name: string): Check | undefined =>
  diagnosis.checks.find((check) => check.name === name);

/** A folder for PATH that holds these programs, which do nothing but say a line. */
function programs(name: string, scripts: Readonly<Record<string, string>>): string {
  const folder = join(sandbox.folder, name);
  mkdirSync(folder);
  for (const [program, line] of Object.entries(scripts)) {
    const path = join(folder, program);
    writeFileSync(path, `#!/bin/sh\n${line}\n`);
    chmodSync(path, 0o755);
  }
  return folder;
}

describe('microbuild doctor', () => {
  test('finds what set-up installed; whatever is not ok has a fix', async () => {
    const diagnosis = await doctor();
    expect(diagnosis).toMatchObject({ ok: true, status: 0 });
    for (const { name, status, fix, found } of diagnosis.checks) {
      expect({ name, hasFix: fix !== undefined }).toEqual({ name, hasFix: status !== 'ok' });
      expect(found).not.toBe('');
    }
    expect(find(diagnosis, 'Node')?.found).toContain(process.versions.node);
    expect(find(diagnosis, 'native library')?.found).toMatch(/\.so, SHA-256 by [a-z]/);
    expect(find(diagnosis, 'koffi')?.found).toMatch(/^\d+\.\d+/);
    expect(find(diagnosis, 'page size')?.found).toMatch(/^\d+ bytes/);
    expect(find(diagnosis, 'QEMU')?.found).toMatch(/^\d+\.\d+.*qemu-system-x86_64$/);
    expect(find(diagnosis, 'run directory')).toMatchObject({ found: sandbox.runFolder });
    expect(find(diagnosis, 'memory')?.found).toMatch(/^[\d.]+ [KMG]iB to be had$/);
    expect(find(diagnosis, 'setpriv')?.status).toBe('ok');
    expect(find(diagnosis, 'libcryptsetup.so.12')?.status).toBe('ok');
    expect(find(diagnosis, 'libfsverity.so.0')?.status).toBe('ok');
  });

  test('without the native library all works, only slower: exit code 0', async () => {
    const diagnosis = await doctor({ MICROBUILD_NATIVE: '' });
    expect(diagnosis).toMatchObject({ ok: true, status: 0 });
    expect(find(diagnosis, 'native library')).toMatchObject({
      status: 'limited',
      fix: 'unset MICROBUILD_NATIVE',
    });
  });

  test('a native library that was named and cannot be loaded is missing: exit code 4', async () => {
    const diagnosis = await doctor({ MICROBUILD_NATIVE: '/nowhere/lib.so' });
    expect(diagnosis).toMatchObject({ ok: false, status: 4 });
    expect(find(diagnosis, 'native library')).toMatchObject({ status: 'missing' });
    expect(find(diagnosis, 'native library')?.found).toContain('/nowhere/lib.so');
  });

  test.each([
    ['guest programs', (folder: string) => ({ MICROBUILD_GUEST: join(folder, 'no-guest') })],
    ['vsock backend', (folder: string) => ({ MICROBUILD_VSOCK: join(folder, 'none') })],
    ['cache folder', (folder: string) => ({ MICROBUILD_CACHE: join(folder, 'file', 'cache') })],
    // Where folders can neither be made nor said not to be there.
    ['cache folder', () => ({ MICROBUILD_CACHE: '/proc/none/cache' })],
    ['run directory', () => ({ XDG_RUNTIME_DIR: '/proc/self' })],
    ['run directory', (folder: string) => ({ XDG_RUNTIME_DIR: join(folder, 'x'.repeat(90)) })],
    ['QEMU', () => ({ PATH: programs('no-qemu', {}) })],
    ['QEMU', () => ({ PATH: programs('bad-qemu', { 'qemu-system-x86_64': 'exit 127' }) })],
  ])('missing %s is named with its fix: exit code 4', async (name, hide) => {
    writeFileSync(join(sandbox.folder, 'file'), '');
    const diagnosis = await doctor(hide(sandbox.folder));
    expect(diagnosis).toMatchObject({ ok: false, status: 4 });
    expect(find(diagnosis, name)).toMatchObject({ status: 'missing' });
    expect(find(diagnosis, name)?.fix).not.toBe('');
    const others = diagnosis.checks.filter((check) => check.status === 'missing');
    expect(others.map((check) => check.name)).toEqual([name]);
  });

  test('without KVM guests are emulated, and it says why', async () => {
    const path = programs('no-kvm', {
      'qemu-system-x86_64':
        'case $1 in --version) echo "QEMU emulator version 9.9";; *) exit 1;; esac',
    });
    const diagnosis = await doctor({ PATH: path });
    expect(find(diagnosis, 'QEMU')).toMatchObject({ status: 'ok' });
    expect(find(diagnosis, 'KVM')).toMatchObject({ status: 'limited' });
    expect(find(diagnosis, 'KVM')?.found).toMatch(/guests are emulated$/);
  });

  test('the table for people has a line for each check and ends with the verdict', async () => {
    const { status, stdout } = await sandbox.microbuild(['doctor'], {
      MICROBUILD_GUEST: '/nowhere',
    });
    expect(stdout).toMatch(/^ok +Node +\d/m);
    expect(stdout).toMatch(/^MISSING +guest programs .*\(for: image\)\n +fix: sh scripts/m);
    expect(stdout.trimEnd().split('\n').at(-1)).toBe(
      '1 missing: recipes cannot be built and run here',
    );
    expect(status).toBe(4);
  });
});
