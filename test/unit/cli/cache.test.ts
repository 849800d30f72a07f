import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runAction } from '../../../src/cache/action.ts';
import { openCache } from '../../../src/cache/store.ts';
import { openSandbox, type CliResult, type Sandbox } from '../../support/cli.ts';

let sandbox: Sandbox;
let blob: string;

beforeAll(async () => {
  sandbox = openSandbox();
  const cache = await openCache(join(sandbox.folder, 'cache'));
  const action = { mnemonic: 'demo/1', parameters: 1, inputs: {}, outputs: ['out'] } as const;
  const { outputs } = await runAction(cache, action, async (folder) => {
    writeFileSync(join(folder, 'out'), 'made');
    return { value: null };
  });
  blob = outputs.out.path;
  await cache.close();
});
afterAll(() => sandbox.dispose());

const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<CliResult> =>
  sandbox.microbuild(['cache', ...args], {
    MICROBUILD_CACHE: join(sandbox.folder, 'cache'),
    ...env,
  });
const json = ({ stdout }: CliResult): unknown => JSON.parse(stdout);

describe('microbuild cache', () => {
  test('info tells what is there, and the bound', async () => {
    const told = await run(['info', '--json'], { MICROBUILD_CACHE_SIZE: '3GiB' });
    expect(told.status).toBe(0);
    expect(json(told)).toMatchObject({
      bound: 3 * 2 ** 30,
      results: { entries: 1 },
      steps: { 'demo/1': 1 },
      quarantine: [],
    });
    expect((await run(['info'])).stdout).toContain('of at most 10 GiB');
  });

  test('prune keeps what is young, and refuses what is no size', async () => {
    const pruned = await run(['prune', '--size', '1', '--json']);
    expect(json(pruned)).toMatchObject({ removedEntries: 0, bound: 1, dryRun: false });
    const refused = await run(['prune', '--size', 'huge']);
    expect(refused.status).toBe(2);
    expect(refused.stderr).toContain('10GiB');
    expect((await run(['prune'], { MICROBUILD_CACHE_SIZE: '-' })).status).toBe(2);
  });

  test('verify removes what is damaged and exits with 3, once', async () => {
    expect((await run(['verify'])).status).toBe(0);
    writeFileSync(blob, 'MADE');
    const damaged = await run(['verify', '--json']);
    expect(damaged.status).toBe(3);
    expect(json(damaged)).toMatchObject({ damaged: [{ kind: 'cas' }, { kind: 'ac' }] });
    expect((await run(['verify'])).stdout).toContain('all whole');
  });

  test('clear leaves nothing', async () => {
    expect((await run(['clear', '--quarantine'])).status).toBe(0);
    expect((await run(['clear'])).stdout).toMatch(/^removed \d+ entries/);
    expect(json(await run(['info', '--json']))).toMatchObject({ bytes: 0, oldestUse: null });
  });
});
