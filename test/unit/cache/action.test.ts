import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runAction } from '../../../src/cache/action.ts';
import { openCache } from '../../../src/cache/store.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const input = { sha256: 'a'.repeat(64), size: 3 };

describe('runAction()', () => {
  test('runs a step once and gives what it made and returned', async () => {
    const cache = await openCache(tmpDir());
    let runs = 0;
    const once = () =>
      runAction(
        cache,
        {
          mnemonic: 'demo/1',
          parameters: { level: 3 },
          inputs: { 'src/a': input },
          outputs: ['out'],
          outputFolders: ['modules'],
        },
        async (folder) => {
          runs += 1;
          writeFileSync(join(folder, 'out'), 'made');
          mkdirSync(join(folder, 'modules/deep'));
          writeFileSync(join(folder, 'modules/deep/x.ko'), 'module');
          return { value: { answer: 42 } };
        },
      );
    const first = await once();
    const second = await once();
    expect(runs).toBe(1);
    expect(first.cached).toBe(false);
    expect(second).toEqual({ ...first, cached: true });
    expect(readFileSync(second.outputs.out.path, 'utf8')).toBe('made');
    expect(readFileSync(second.folders.modules['deep/x.ko']?.path ?? '', 'utf8')).toBe('module');
  });

  test('a step that throws leaves nothing', async () => {
    const cache = await openCache(tmpDir());
    const action = { mnemonic: 'demo/1', parameters: null, inputs: {}, outputs: [] };
    await expect(runAction(cache, action, () => Promise.reject(new Error('no')))).rejects.toThrow(
      'no',
    );
    const { cached } = await runAction(cache, action, async () => ({ value: 1 }));
    expect(cached).toBe(false);
  });
});
