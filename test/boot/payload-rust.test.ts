/** The example payload in Rust: compiled as its author would, booted, and called. */

import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { callMethod } from '../../src/runner/aidl/call.ts';
import { compileAidl } from '../../src/runner/aidl/compile.ts';
import { readAidlFiles } from '../../src/runner/aidl/files.ts';
import { aidlStub } from '../../src/runner/aidl/objects.ts';
import type { InterfaceDescription } from '../../src/runner/aidl/types.ts';
import { type RpcClient, openRpcClient } from '../../src/runner/rpc/client.ts';
import { BinderException } from '../../src/runner/rpc/errors.ts';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { payloadRecipe } from '../support/recipes.ts';
import { runTool } from '../support/tools.ts';

const CRATE = 'test/fixtures/payload-rust';
const INTERFACE = 'aidl/dev/microbuild/test/IRustPayload.aidl';
const KEYSTORE = ['Algorithm', 'IMicrobuildKeystore', 'KeySpec'].map(
  (name) => `guest/aidl/dev/microbuild/keystore/${name}.aidl`,
);
const NAME = 'rust';

let sandbox: Sandbox;
let client: RpcClient;
let api: InterfaceDescription;
let listener: InterfaceDescription;

function loadInterface(): void {
  const { all } = compileAidl(readAidlFiles([`${CRATE}/${INTERFACE}`]));
  const find = (name: string): InterfaceDescription => {
    const found = all.get(name);
    if (found?.kind !== 'interface') throw new Error(`${name} is no interface`);
    return found;
  };
  api = find('dev.microbuild.test.IRustPayload');
  listener = find('dev.microbuild.test.IRustPayload.IListener');
}

/** Compiles the crate in a copy of its own; returns the library. */
async function compileCrate(): Promise<string> {
  const crate = join(sandbox.folder, 'crate');
  cpSync(CRATE, crate, { recursive: true, filter: (path) => !path.endsWith('/target') });
  const manifest = join(crate, 'Cargo.toml');
  const here = readFileSync(manifest, 'utf8').replace('../../../guest', resolve('guest'));
  writeFileSync(manifest, here);
  const generated = await sandbox.microbuild([
    'aidl',
    'rust',
    join(crate, INTERFACE),
    ...KEYSTORE,
    '--runtime=vm_payload::aidl',
    '--out',
    join(crate, 'generated'),
  ]);
  expect(generated).toMatchObject({ status: 0 });
  const target = resolve('target/payload-rust');
  const built = runTool('cargo', ['build', '--quiet', '--offline', '--release'], {
    cwd: crate,
    env: { ...process.env, CARGO_TARGET_DIR: target },
  });
  expect(built.stderr).toBe('');
  return join(target, 'x86_64-unknown-linux-gnu/release/libpayload_rust.so');
}

beforeAll(async () => {
  sandbox = openSandbox();
  loadInterface();
  const library = await compileCrate();
  const recipe = payloadRecipe(join(sandbox.folder, 'recipe'), 'payload-rust');
  mkdirSync(join(recipe, 'payloads'), { recursive: true });
  cpSync(library, join(recipe, 'payloads/library.so'));
  // The library is there already: what is left to build is its name.
  writeFileSync(
    join(recipe, 'payloads/Makefile'),
    'all:\n\tmkdir -p $(OUT)\n\tcp library.so $(OUT)/libpayload-rust.so\n',
  );
  const bundle = join(sandbox.folder, 'bundle');
  expect(await sandbox.microbuild(['image', recipe, '-o', bundle])).toMatchObject({ status: 0 });
  const socket = join(sandbox.folder, 'sock');
  const run = ['run', bundle, `--name=${NAME}`, '--wait=ready', '--timeout=120'];
  expect(await sandbox.microbuild([...run, `--forward=5681:${socket}`])).toMatchObject({
    status: 0,
  });
  client = await openRpcClient(connect(socket));
});
afterAll(async () => {
  client?.close();
  await sandbox.microbuild(['stop', NAME]);
  sandbox.dispose();
});

const call = async (name: string, ...args: readonly unknown[]): Promise<unknown> =>
  callMethod(client.root, api, name, args);

describe('a payload in Rust', () => {
  test('answers, and throws', async () => {
    expect(await call('greet', 'wörld')).toBe('Hello, wörld, from Rust');
    await expect(call('greet', '')).rejects.toMatchObject({ exception: -3 });
  });

  test('calls back, and passes exceptions on', async () => {
    const loud = aidlStub(listener, {
      heard: (text: string) => {
        if (text === 'stop') throw new BinderException(-5, 'enough');
        return text.toUpperCase();
      },
    });
    expect(await call('tell', loud, ['a', 'ß'])).toEqual(['A', 'SS']);
    await expect(call('tell', loud, ['a', 'stop'])).rejects.toMatchObject({ exception: -5 });
  });

  test('has the secrets of its instance', async () => {
    const secret = (await call('secret', 'id', 32)) as Uint8Array;
    expect(secret).toHaveLength(32);
    expect(await call('secret', 'id', 32)).toEqual(secret);
    await expect(call('secret', 'id', 33)).rejects.toMatchObject({ exception: -5 });
  });

  test('signs with a key of the keystore', async () => {
    expect(await call('signAndVerify', 'key', Buffer.from('message'))).toBe(true);
  });
});
