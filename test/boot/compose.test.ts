import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSandbox, type CliResult, type Sandbox } from '../support/cli.ts';
import { extractApk } from '../support/payload-disk.ts';
import { copyHello, payloadRecipe } from '../support/recipes.ts';

let sandbox: Sandbox;
let stranger: Sandbox;
/** The guest of hello, with a payload that another recipe of the same signer made. */
let os: string;
const at = (name: string): string => join(sandbox.folder, name);

async function image(by: Sandbox, recipe: string, name: string): Promise<string> {
  const path = join(by.folder, name);
  const { status, stderr } = await by.microbuild(['image', recipe, '-o', path]);
  expect(stderr).not.toContain('error:');
  expect(status).toBe(0);
  return path;
}

const run = (...args: readonly string[]): Promise<CliResult> =>
  sandbox.microbuild([...args, '--timeout=120', '--json']);

beforeAll(async () => {
  sandbox = openSandbox();
  stranger = openSandbox({ keys: 'own' });
  os = await image(sandbox, copyHello(at('hello')), 'os');
  for (const [by, name] of [
    [sandbox, 'own'],
    [stranger, 'strange'],
  ] as const) {
    const bundle = await image(by, payloadRecipe(at(name), 'exit42'), `${name}-bundle`);
    await extractApk(join(bundle, 'payload.img'), at(`${name}.apk`), at(`${name}.apk.idsig`));
  }
});
afterAll(() => {
  sandbox.dispose();
  stranger.dispose();
});

describe('microbuild run --apk', () => {
  test('runs another APK of the signer, makes its idsig, and leaves no disk behind', async () => {
    const { status, stdout } = await run('run', os, '--apk', at('own.apk'));
    expect(JSON.parse(stdout)).toMatchObject({ verdict: { kind: 'finished', exitCode: 42 } });
    expect(status).toBe(42);
    expect(readdirSync(sandbox.runFolder).filter((name) => name.startsWith('.scratch'))).toEqual(
      [],
    );
  });

  test('as vm run-app: the idsig behind the APK, and a further APK', async () => {
    const { status } = await run(
      'vm',
      'run-app',
      at('own.apk'),
      at('own.apk.idsig'),
      `--os=${os}`,
      '--mem=160',
      '--payload-binary-name=libexit42.so',
      `--extra-apk=${at('own.apk')}`,
    );
    expect(status).toBe(42);
  });

  test('an APK of a signer that the bundle does not name is refused by the host, and by the guest', async () => {
    const host = await run('run', os, '--apk', at('strange.apk'));
    expect(host.status).toBe(3);
    expect(JSON.parse(host.stdout)).toMatchObject({ error: { link: 'payload-certificate' } });
    const guest = await run('run', os, '--apk', at('strange.apk'), '--verify=boot');
    expect(JSON.parse(guest.stdout)).toMatchObject({
      verdict: { kind: 'refused', link: 'payload-certificate' },
    });
    expect(guest.status).toBe(126);
  });
});

describe('microbuild vm create-idsig', () => {
  test('makes an idsig that run takes, and refuses what is no signed APK', async () => {
    const made = await sandbox.microbuild(['vm', 'create-idsig', at('own.apk'), at('made.idsig')]);
    expect(made.status).toBe(0);
    const { status } = await run('run', os, '--apk', at('own.apk'), `--idsig=${at('made.idsig')}`);
    expect(status).toBe(42);
    const refused = await sandbox.microbuild([
      'vm',
      'create-idsig',
      at('made.idsig'),
      at('none.idsig'),
    ]);
    expect(refused.status).toBe(3);
    expect(existsSync(at('none.idsig'))).toBe(false);
  });
});
