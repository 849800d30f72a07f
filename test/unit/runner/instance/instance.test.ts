import { createHash } from 'node:crypto';
import {
  chmod,
  link,
  mkdir,
  readFile,
  readdir,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { EnvironmentError, UsageError, VerificationError } from '../../../../src/core/errors.ts';
import { decodeHandover, verifyChain } from '../../../../src/dice/chain.ts';
import { decodeConfigDescriptor } from '../../../../src/dice/config-descriptor.ts';
import {
  findInstance,
  instancePaths,
  listInstances,
  removeInstance,
  statePath,
} from '../../../../src/runner/instance/folder.ts';
import {
  type GuestMeasurements,
  type InstanceOptions,
  openInstance,
} from '../../../../src/runner/instance/instance.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const measurements: GuestMeasurements = {
  vbmetaDigest: new Uint8Array(32).fill(1),
  kernelDigest: new Uint8Array(32).fill(2),
  initrdDigest: new Uint8Array(32).fill(3),
  publicKey: new Uint8Array(520).fill(4),
  rollbackIndex: 5n,
};
const apk = (versionCode: bigint, signer = 'a', name = 'dev.test'): never =>
  ({ package: name, versionCode, signer: signer.repeat(64) }) as never;

let env: NodeJS.ProcessEnv;
let state: string;
beforeEach(() => {
  env = { XDG_STATE_HOME: tmpDir() };
  state = statePath(env);
});

type Change = Partial<Omit<InstanceOptions, 'measurements'>> & {
  readonly measured?: Partial<GuestMeasurements>;
};
const options = ({ measured, ...change }: Change = {}): InstanceOptions => ({
  name: 'test',
  ephemeral: false,
  debuggable: false,
  env,
  ...change,
  measurements: { ...measurements, ...measured },
});

/** One boot: what the guest is handed. */
async function boot(change: Change = {}, payload = [apk(1n)]): Promise<Uint8Array> {
  const instance = await openInstance(options(change));
  try {
    instance.admitPayload(payload);
    return await instance.takeHandover();
  } finally {
    await instance.close();
  }
}
const sealOf = async (change?: Change): Promise<string> =>
  Buffer.from(decodeHandover(await boot(change)).seal).toString('hex');

describe('secrets of an instance', () => {
  it('are the same in each boot, and after an update by the same key', async () => {
    const first = await sealOf();
    expect(await sealOf()).toBe(first);
    const updated = { kernelDigest: new Uint8Array(32).fill(9), rollbackIndex: 6n };
    expect(await sealOf({ measured: updated })).toBe(first);
  });

  it('are others for another key, instance, host or debug level', async () => {
    const seals = new Set([
      await sealOf(),
      await sealOf({ measured: { publicKey: new Uint8Array(520).fill(5) } }),
      await sealOf({ name: 'other' }),
      await sealOf({ folder: join(env['XDG_STATE_HOME'] ?? '', 'elsewhere') }),
      await sealOf({ debuggable: true }),
      await sealOf({ env: { XDG_STATE_HOME: tmpDir() } }),
      await sealOf({ ephemeral: true }),
      await sealOf({ ephemeral: true }),
    ]);
    expect(seals.size).toBe(8);
  });

  it('follow an instance to another folder with the same root key', async () => {
    const first = await sealOf();
    const folder = join(env['XDG_STATE_HOME'] ?? '', 'moved');
    await mkdir(folder, { mode: 0o700 });
    const { id } = instancePaths(state, { name: 'test' });
    await writeFile(join(folder, 'id'), await readFile(id), { mode: 0o600 });
    expect(await sealOf({ folder })).toBe(first);
  });

  it('come with a chain that says what was verified', async () => {
    const handover = decodeHandover(await boot());
    const { certificates } = verifyChain(handover.chain ?? new Uint8Array(0));
    expect(certificates).toHaveLength(1);
    const [system] = certificates;
    const { publicKey, vbmetaDigest, kernelDigest, initrdDigest } = measurements;
    const sha512 = (...parts: readonly Uint8Array[]): Uint8Array => {
      const hash = createHash('sha512');
      for (const part of parts) hash.update(part);
      return new Uint8Array(hash.digest());
    };
    expect(system?.authorityHash).toEqual(sha512(publicKey));
    expect(system?.codeHash).toEqual(sha512(vbmetaDigest, kernelDigest, initrdDigest));
    expect(system?.mode).toBe('normal');
    const id = await readFile(instancePaths(state, { name: 'test' }).id);
    expect(decodeConfigDescriptor(system?.config ?? id)).toEqual({
      componentName: 'vm_entry',
      securityVersion: 5n,
      instanceHash: sha512(id),
    });
  });

  it('are handed over once, and only after a payload was admitted', async () => {
    const instance = await openInstance(options());
    onTestFinished(() => instance.close());
    await expect(instance.takeHandover()).rejects.toThrow('no payload was admitted');
    instance.admitPayload([apk(1n)]);
    const handover = await instance.takeHandover();
    expect(handover.some((byte) => byte !== 0)).toBe(true);
    await expect(instance.takeHandover()).rejects.toThrow('were handed over');
    expect(() => instance.admitPayload([apk(2n)])).toThrow('are handed over');
  });

  it('are gone from an instance that was closed', async () => {
    const instance = await openInstance(options());
    instance.admitPayload([apk(1n)]);
    await instance.close();
    await instance.close();
    await expect(instance.takeHandover()).rejects.toThrow(UsageError);
  });

  it('of an ephemeral machine leave nothing on the disk', async () => {
    await boot({ ephemeral: true });
    expect(await readdir(env['XDG_STATE_HOME'] ?? '')).toEqual([]);
  });
});

describe('an instance', () => {
  it('is new until its secrets were handed over', async () => {
    const open = async (): Promise<boolean> => {
      const instance = await openInstance(options());
      await instance.close();
      return instance.isNew;
    };
    expect([await open(), await open()]).toEqual([true, true]);
    await boot();
    expect(await open()).toBe(false);
  });

  it('refuses a system older than one that ran, by the same key', async () => {
    await boot({ measured: { rollbackIndex: 7n } });
    await expect(boot({ measured: { rollbackIndex: 6n } })).rejects.toThrow(
      expect.objectContaining({ link: 'kernel', code: 'rollback' }) as Error,
    );
    const other = { rollbackIndex: 1n, publicKey: new Uint8Array(520).fill(5) };
    await expect(boot({ measured: other })).resolves.toBeInstanceOf(Uint8Array);
    await expect(boot({ measured: { rollbackIndex: 7n } })).resolves.toBeInstanceOf(Uint8Array);
  });

  it('is not bound by a system that never got as far as the handover', async () => {
    const instance = await openInstance(options({ measured: { rollbackIndex: 9n } }));
    await instance.close();
    await expect(boot()).resolves.toBeInstanceOf(Uint8Array);
  });

  it('refuses exactly the payloads older than the newest of their signer', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            version: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
            signer: fc.constantFrom('a', 'b'),
            name: fc.constantFrom('dev.one', 'dev.two'),
          }),
          { minLength: 1, maxLength: 8 },
        ),
        async (boots) => {
          const home = { XDG_STATE_HOME: tmpDir() };
          const newest = new Map<string, bigint>();
          for (const { version, signer, name } of boots) {
            const key = `${signer} ${name}`;
            const allowed = version >= (newest.get(key) ?? 0n);
            const outcome = boot({ env: home }, [apk(version, signer, name)]);
            if (allowed) {
              await expect(outcome).resolves.toBeInstanceOf(Uint8Array);
              newest.set(key, version);
            } else await expect(outcome).rejects.toThrow(VerificationError);
          }
        },
      ),
      { numRuns: 8 },
    );
  });

  it('is used by one machine at a time', async () => {
    const first = await openInstance(options());
    await expect(openInstance(options())).rejects.toThrow(
      expect.objectContaining({ code: 'lock' }) as Error,
    );
    await expect(removeInstance(state, 'test')).rejects.toThrow(
      expect.objectContaining({ code: 'lock' }) as Error,
    );
    await first.close();
    await (await openInstance(options())).close();
  });

  it('whose machine was killed is taken over', async () => {
    await boot();
    const { lock } = instancePaths(state, { name: 'test' });
    await writeFile(lock, '1 12345\n', { mode: 0o600 });
    await expect(boot()).resolves.toBeInstanceOf(Uint8Array);
    expect(await readdir(join(state, 'instances/test'))).toEqual(['id', 'versions.json']);
  });

  it('is found and told of without its secrets, and destroyed for good', async () => {
    const before = await sealOf();
    const found = await findInstance(state, 'test');
    expect(found).toMatchObject({ name: 'test', isNew: false, usedBy: undefined });
    expect([...found.versions.payload]).toEqual([[`dev.test ${'a'.repeat(64)}`, 1n]]);
    expect((await listInstances(state)).map(({ name }) => name)).toEqual(['test']);
    await removeInstance(state, 'test');
    expect(await listInstances(state)).toEqual([]);
    await expect(findInstance(state, 'test')).rejects.toThrow(UsageError);
    expect(await sealOf()).not.toBe(before);
  });

  it('that is damaged is told of beside the others, and can be removed', async () => {
    for (const name of ['good', 'no-id', 'no-versions']) await boot({ name });
    await rm(instancePaths(state, { name: 'no-id' }).id);
    await writeFile(instancePaths(state, { name: 'no-versions' }).versions, 'not JSON');
    await mkdir(join(state, 'instances/something else'));
    const found = await listInstances(state);
    expect(found.map(({ name, problem }) => [name, problem])).toEqual([
      ['good', undefined],
      ['no-id', expect.stringContaining('id is missing')],
      ['no-versions', expect.stringContaining('it is not JSON')],
    ]);
    for (const { name } of found) await removeInstance(state, name);
    expect(await listInstances(state)).toEqual([]);
  });

  it('that has run never gets new secrets without a word', async () => {
    const before = await sealOf();
    const { id } = instancePaths(state, { name: 'test' });
    const root = join(state, 'root.key');
    for (const path of [id, root]) {
      const kept = await readFile(path);
      await rm(path);
      await expect(boot()).rejects.toThrow(`${path} is missing`);
      await writeFile(
        path,
        kept.map((byte) => byte ^ 1),
        { mode: 0o600 },
      );
      await expect(boot()).rejects.toThrow('is another');
      await writeFile(path, kept);
    }
    expect(await sealOf()).toBe(before);
  });

  it('cannot be a folder that holds other things, or that others can enter', async () => {
    const folder = tmpDir();
    await writeFile(join(folder, 'thesis.txt'), 'years of work');
    await expect(boot({ folder })).rejects.toThrow('it holds thesis.txt');
    const open = tmpDir();
    await chmod(open, 0o755);
    await expect(boot({ folder: open })).rejects.toThrow(EnvironmentError);
    await expect(boot({ folder: open, ephemeral: true })).rejects.toThrow('choose one');
    await expect(boot({ name: '../escape' })).rejects.toThrow(UsageError);
  });

  it('that cannot be kept is told of, with what to do', async () => {
    const nowhere = join(tmpDir(), 'file');
    await writeFile(nowhere, '');
    await expect(boot({ env: { XDG_STATE_HOME: nowhere } })).rejects.toThrow(
      expect.objectContaining({
        code: 'environment',
        hint: expect.stringContaining('--ephemeral') as string,
      }) as Error,
    );
    await expect(
      boot({ env: { XDG_STATE_HOME: nowhere }, ephemeral: true }),
    ).resolves.toBeInstanceOf(Uint8Array);
  });

  it('with versions that cannot be read lets nothing run', async () => {
    await boot();
    const { versions } = instancePaths(state, { name: 'test' });
    const zeros = '0'.repeat(64);
    const head = `"schemaVersion":1,"origin":"${'0'.repeat(32)}"`;
    for (const text of [
      '',
      '{}',
      '{"schemaVersion":1,"system":{},"payload":{}}',
      `{${head},"system":{},"payload":{"x":"1"}}`,
      `{${head},"system":{"00":"1"},"payload":{}}`,
      `{${head},"system":{"${zeros}":"18446744073709551616"},"payload":{}}`,
      `{${head},"system":{"${zeros}":1},"payload":{}}`,
    ]) {
      await writeFile(versions, text);
      await expect(boot()).rejects.toThrow('Cannot use versions.json');
    }
  });
});

describe('the root key', () => {
  it('is made once, for this user alone, whoever comes first', async () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    await Promise.all(names.map(async (name) => boot({ name })));
    const path = join(state, 'root.key');
    const key = await readFile(path);
    const { mode, size } = await stat(path);
    expect([(mode & 0o777).toString(8), size]).toEqual(['600', 32]);
    expect((await stat(state)).mode & 0o777).toBe(0o700);
    await boot({ name: 'later' });
    expect(await readFile(path)).toEqual(key);
    expect((await readdir(state)).toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
      'instances',
      'root.key',
    ]);
  });

  it('is refused when others can read it, as a link, and with another size', async () => {
    await boot();
    const path = join(state, 'root.key');
    await chmod(path, 0o640);
    await expect(boot()).rejects.toThrow('others can read it');
    await chmod(path, 0o600);
    await writeFile(path, 'short');
    await expect(boot()).rejects.toThrow('it has 5 bytes, not 32');
    const elsewhere = join(tmpDir(), 'key');
    await writeFile(elsewhere, new Uint8Array(32), { mode: 0o600 });
    const linked = { XDG_STATE_HOME: tmpDir() };
    await mkdir(statePath(linked), { mode: 0o700 });
    await symlink(elsewhere, join(statePath(linked), 'root.key'));
    await expect(boot({ env: linked })).rejects.toThrow('it is a link');
    // A second name of the same file is the same file.
    const named = { XDG_STATE_HOME: tmpDir() };
    await mkdir(statePath(named), { mode: 0o700 });
    await link(elsewhere, join(statePath(named), 'root.key'));
    await expect(boot({ env: named })).resolves.toBeInstanceOf(Uint8Array);
  });
});
