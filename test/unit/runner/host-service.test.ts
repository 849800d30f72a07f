import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { beforeEach, expect, it, onTestFinished } from 'vitest';
import { decodeHandover } from '../../../src/dice/chain.ts';
import { virtualMachineService } from '../../../src/runner/host-service.ts';
import { type VmInstance, openInstance } from '../../../src/runner/instance/instance.ts';
import { callMethod } from '../../../src/runner/aidl/call.ts';
import { parseAidl } from '../../../src/runner/aidl/parse.ts';
import { openRpcClient, type RpcClient } from '../../../src/runner/rpc/client.ts';
import { RpcServer } from '../../../src/runner/rpc/server.ts';
import { readStatus } from '../../../src/runner/rpc/status.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

/** As the guest's interface has it. */
const AIDL = 'guest/aidl/android/system/virtualmachineservice/IVirtualMachineService.aidl';
const SERVICE = parseAidl(readFileSync(AIDL, 'utf8'), AIDL);

let client: RpcClient;
let instance: VmInstance;
const heard: unknown[] = [];
const call = async (name: string, ...args: readonly unknown[]): Promise<unknown> =>
  callMethod(client.root, SERVICE, name, args);
const signer = 'ab'.repeat(32);

beforeEach(async () => {
  heard.length = 0;
  const folder = tmpDir();
  const measured = new Uint8Array(32);
  instance = await openInstance({
    name: 'test',
    ephemeral: false,
    debuggable: false,
    env: { XDG_STATE_HOME: folder },
    measurements: {
      vbmetaDigest: measured,
      kernelDigest: measured,
      initrdDigest: measured,
      publicKey: measured,
      rollbackIndex: 0n,
    },
  });
  const guest = {
    started: () => heard.push('started'),
    ready: () => heard.push('ready'),
    finished: (code: number) => heard.push(code),
    error: (code: number, text: string) => heard.push(code, text),
  };
  const server = new RpcServer({ root: virtualMachineService(guest, instance) });
  const path = join(folder, 'socket');
  await server.listen(path);
  const socket = connect(path);
  await once(socket, 'connect');
  client = await openRpcClient(socket);
  onTestFinished(async () => {
    client.close();
    await server.close();
    await instance.close();
  });
});

it('hands the secrets over once, after the payload was admitted', async () => {
  expect(await call('isNewInstance')).toBe(true);
  await expect(call('takeDiceHandover')).rejects.toMatchObject({ exception: -5 });
  await call('admitPayload', ['dev.test'], [1n], [signer]);
  const handover = decodeHandover((await call('takeDiceHandover')) as Uint8Array);
  expect(handover.chain).toBeInstanceOf(Uint8Array);
  await expect(call('takeDiceHandover')).rejects.toMatchObject({ exception: -5 });
  await expect(call('admitPayload', ['dev.test'], [2n], [signer])).rejects.toMatchObject({
    exception: -5,
  });
});

it('refuses arrays that do not fit each other, and names that are none', async () => {
  for (const args of [
    [[], [], []],
    [['dev.test'], [], [signer]],
    [['dev.test'], [1n], []],
    [['dev.test'], [1n], ['short']],
    [['two words'], [1n], [signer]],
    [[''], [1n], [signer]],
    [['a'.repeat(256)], [1n], [signer]],
    [Array<string>(65).fill('a'), Array<bigint>(65).fill(1n), Array<string>(65).fill(signer)],
  ]) {
    await expect(call('admitPayload', ...args)).rejects.toMatchObject({ exception: -3 });
  }
  await expect(call('takeDiceHandover')).rejects.toMatchObject({ exception: -5 });
});

it('answers as for a machine that is not protected', async () => {
  await expect(call('requestAttestation', new Uint8Array(1), false)).rejects.toMatchObject({
    exception: -7,
  });
  const reply = await client.root.transact(6, (data) => data.string16(SERVICE.descriptor));
  readStatus(reply);
  expect([reply.int32(), reply.int32()]).toEqual([0, 0]);
  await expect(client.root.transact(7)).rejects.toMatchObject({ status: -74 });
});

it('tells what the guest says', async () => {
  await call('notifyPayloadStarted');
  await call('notifyPayloadReady');
  await call('notifyPayloadFinished', 3);
  await call('notifyError', 1, 'x'.repeat(5000));
  expect(heard).toEqual(['started', 'ready', 3, 1, 'x'.repeat(4096)]);
});
