import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { actionDigest, runAction, type ActionDescription } from '../../../src/cache/action.ts';
import { describeFindings, isSampled, startAudit } from '../../../src/cache/audit.ts';
import { canonicalJson, type Json } from '../../../src/cache/canonical-json.ts';
import {
  actionResultMessage,
  digestOfBytes,
  directoryMessage,
  treeMessage,
  type ActionResult,
  type DirectoryValue,
} from '../../../src/cache/remote-execution.ts';
import { openCache, type Cache } from '../../../src/cache/store.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const input = { sha256: 'a'.repeat(64), size: 3 };

const demo = {
  mnemonic: 'demo/1',
  parameters: { level: 3 },
  inputs: { 'src/a': input },
  outputs: ['out'],
  outputFolders: ['modules'],
} as const satisfies ActionDescription<string, string>;

/** Runs the demonstration, counting. */
function stepOf(cache: Cache) {
  const state = { runs: 0, text: 'made' };
  const run = () =>
    runAction(cache, demo, async (folder) => {
      state.runs += 1;
      writeFileSync(join(folder, 'out'), state.text);
      mkdirSync(join(folder, 'modules/deep'));
      writeFileSync(join(folder, 'modules/deep/x.ko'), 'module');
      return { value: { answer: 42 } };
    });
  return { state, run };
}

const resultPath = (cache: Cache): string => {
  const key = actionDigest(demo);
  return join(cache.directory, 'ac', key.slice(0, 2), key);
};

describe('runAction()', () => {
  test('runs a step once and gives what it made and returned', async () => {
    const cache = await openCache(tmpDir());
    const { state, run } = stepOf(cache);
    const first = await run();
    const second = await run();
    expect(state.runs).toBe(1);
    expect(first.cached).toBe(false);
    expect(second).toEqual({ ...first, cached: true });
    expect(readFileSync(second.outputs.out.path, 'utf8')).toBe('made');
    expect(readFileSync(second.folders.modules['deep/x.ko']?.path ?? '', 'utf8')).toBe('module');
    expect(readdirSync(join(cache.directory, 'tmp'))).toEqual([]);
  });

  test('finds what another process made', async () => {
    const directory = tmpDir();
    await stepOf(await openCache(directory)).run();
    const other = stepOf(await openCache(directory));
    expect((await other.run()).cached).toBe(true);
    expect(other.state.runs).toBe(0);
  });

  test('callers that ask at the same time share one run', async () => {
    const { state, run } = stepOf(await openCache(tmpDir()));
    const outcomes = await Promise.all([run(), run(), run()]);
    expect(state.runs).toBe(1);
    expect(outcomes.filter(({ cached }) => cached)).toHaveLength(2);
  });

  test('a step that throws leaves nothing, and runs again', async () => {
    const cache = await openCache(tmpDir());
    const action = { mnemonic: 'demo/1', parameters: null, inputs: {}, outputs: ['x'] };
    const fail = async (folder: string): Promise<never> => {
      writeFileSync(join(folder, 'x'), 'half');
      throw new Error('no');
    };
    await expect(runAction(cache, action, fail)).rejects.toThrow('no');
    const left = readdirSync(cache.directory, { recursive: true, withFileTypes: true });
    expect(left.filter((entry) => entry.isFile())).toEqual([]);
    await expect(runAction(cache, action, async () => ({ value: 1 }))).rejects.toThrow(
      'did not make the file x',
    );
    const made = await runAction(cache, action, async (folder) => {
      writeFileSync(join(folder, 'x'), '');
      return { value: 1 };
    });
    expect(made.cached).toBe(false);
  });

  test('refuses paths of outputs and inputs that leave their folder', async () => {
    const cache = await openCache(tmpDir());
    const run = async () => ({ value: 1 });
    for (const path of ['../x', '/x', 'a//b', '.', 'a/..', '', 'a\0b']) {
      const outputs = { mnemonic: 'x', parameters: 1, inputs: {}, outputs: [path] };
      await expect(runAction(cache, outputs, run)).rejects.toThrow(RangeError);
      const inputs = { mnemonic: 'x', parameters: 1, inputs: { [path]: input }, outputs: [] };
      await expect(runAction(cache, inputs, run)).rejects.toThrow(RangeError);
    }
    const both = { mnemonic: 'x', parameters: 1, inputs: {}, outputs: ['a', 'a/b'] };
    await expect(runAction(cache, both, run)).rejects.toThrow('a file and a folder');
  });

  test('a missing or damaged output is made again', async () => {
    const cache = await openCache(tmpDir());
    const { state, run } = stepOf(cache);
    for (const name of ['out', 'module'] as const) {
      const made = await run();
      const file = name === 'out' ? made.outputs.out : made.folders.modules['deep/x.ko'];
      const before = state.runs;
      writeFileSync(file?.path ?? '', 'x'.repeat(file?.size ?? 0));
      expect((await run()).cached).toBe(false);
      expect(state.runs).toBe(before + 1);
      expect(readFileSync(file?.path ?? '', 'utf8')).not.toContain('xx');
    }
  });
});

type Change = (
  result: ActionResult,
  cache: Cache,
) => Partial<ActionResult> | Promise<Partial<ActionResult>>;

const outputFile = (path: string, hash: string, sizeBytes: number) => ({
  path,
  digest: { hash, sizeBytes },
  isExecutable: false,
  contents: new Uint8Array(0),
});
const firstOf = ({ outputFiles: [first] }: ActionResult) => first!;

const treeOf =
  (tree: Uint8Array): Change =>
  async (_result, cache) => ({
    outputDirectories: [
      {
        path: 'modules',
        treeDigest: { hash: await cache.put(tree), sizeBytes: tree.length },
        isTopologicallySorted: false,
      },
    ],
  });
const leaf = { hash: 'b'.repeat(64), sizeBytes: 1 };
const none = { files: [], directories: [], symlinks: [] };
const leafFile = (name: string) => ({ name, digest: leaf, isExecutable: false });

/** Few messages that mean 2^60 folders. */
function doublingTree(): Uint8Array {
  const children: DirectoryValue[] = [none];
  for (let depth = 0; depth < 60; depth += 1) {
    const digest = digestOfBytes(directoryMessage.encode(children[depth] ?? {}));
    children.push({ ...none, directories: ['a', 'b'].map((name) => ({ name, digest })) });
  }
  return treeMessage.encode({ root: children.at(-1), children: children.slice(0, -1) });
}

const hostile: Record<string, Change> = {
  'an exit code that is not 0': () => ({ exitCode: 1 }),
  'no outputs': () => ({ outputFiles: [] }),
  'an output twice': ({ outputFiles }) => ({ outputFiles: [...outputFiles, ...outputFiles] }),
  'an output that was not asked for': (result) => ({
    outputFiles: [firstOf(result), outputFile('../../etc/passwd', firstOf(result).digest!.hash, 4)],
  }),
  'a name that leaves the folder': (result) => ({
    outputFiles: [{ ...firstOf(result), path: '../out' }],
  }),
  'a digest that is a path': () => ({
    outputFiles: [outputFile('out', '../../../../../../etc/passwd', 10)],
  }),
  'a size that cannot be': (result) => ({
    outputFiles: [outputFile('out', firstOf(result).digest!.hash, Number.MAX_SAFE_INTEGER)],
  }),
  'a size below nothing': (result) => ({
    outputFiles: [outputFile('out', firstOf(result).digest!.hash, -1)],
  }),
  'an output without a digest': (result) => ({
    outputFiles: [{ ...firstOf(result), digest: undefined }],
  }),
  'a link in the place of an output': () => ({
    outputFiles: [],
    outputSymlinks: [{ path: 'out', target: '/etc/passwd' }],
  }),
  'a value that is no JSON': async (_result, cache) => ({
    stdoutDigest: { hash: await cache.put(Buffer.from('{')), sizeBytes: 1 },
  }),
  'no value': () => ({ stdoutDigest: undefined }),
  'a folder without a tree': treeOf(treeMessage.encode({})),
  'a folder with a file that leaves': treeOf(
    treeMessage.encode({ root: { ...none, files: [leafFile('../x')] } }),
  ),
  'a folder with a link': treeOf(
    treeMessage.encode({ root: { ...none, symlinks: [{ name: 'x', target: '/' }] } }),
  ),
  'a folder with a folder that is not there': treeOf(
    treeMessage.encode({ root: { ...none, directories: [{ name: 'x', digest: leaf }] } }),
  ),
  'a folder with a file that is not there': treeOf(
    treeMessage.encode({ root: { ...none, files: [leafFile('x')] } }),
  ),
  'folders that double sixty times': treeOf(doublingTree()),
};

describe('a stored result that is not to be believed', () => {
  test.each(Object.keys(hostile))('%s', async (name) => {
    const cache = await openCache(tmpDir());
    const { state, run } = stepOf(cache);
    await run();
    const result = actionResultMessage.decode(readFileSync(resultPath(cache)));
    const changed = { ...result, ...(await hostile[name]?.(result, cache)) };
    writeFileSync(resultPath(cache), actionResultMessage.encode(changed));
    const again = await run();
    expect(state.runs).toBe(2);
    expect(again.cached).toBe(false);
    expect(readFileSync(again.outputs.out.path, 'utf8')).toBe('made');
    expect((await run()).cached).toBe(true);
  });

  test('any bytes at all', async () => {
    const cache = await openCache(tmpDir());
    const { run } = stepOf(cache);
    await run();
    const good = readFileSync(resultPath(cache));
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, byte]) => {
        const bad = Buffer.from(good);
        bad[at] = byte;
        return bad;
      }),
      fc.nat(good.length).map((size) => good.subarray(0, size)),
    );
    await fc.assert(
      fc.asyncProperty(bytes, async (junk) => {
        writeFileSync(resultPath(cache), junk);
        const { outputs, value } = await run();
        expect(readFileSync(outputs.out.path, 'utf8')).toBe('made');
        expect(value).toEqual({ answer: 42 });
      }),
      { numRuns: 100 },
    );
  });
});

describe('actionDigest()', () => {
  test('does not depend on the order of names, but on every value', () => {
    const action = { ...demo, parameters: { a: 1, b: [2, { c: 3 }] } };
    const same = { ...demo, parameters: { b: [2, { c: 3 }], a: 1 } };
    expect(actionDigest(same)).toBe(actionDigest(action));
    const others: ActionDescription<string, string>[] = [
      { ...action, mnemonic: 'demo/2' },
      { ...action, parameters: { a: 1, b: [{ c: 3 }, 2] } },
      { ...action, inputs: { 'src/b': input } },
      { ...action, inputs: { 'src/a': { ...input, sha256: 'b'.repeat(64) } } },
      { ...action, outputs: ['out', 'more'] },
      { ...action, outputFolders: [] },
    ];
    const digests = others.map(actionDigest);
    expect(new Set([...digests, actionDigest(action)]).size).toBe(others.length + 1);
  });

  test('is pinned: another encoding would forget all results', () => {
    expect(actionDigest(demo)).toBe(
      'b244faeb160982066e9ff308ff44514e6fccb9ea1c051f5a42a5312a0d70a8ff',
    );
  });
});

describe('canonicalJson()', () => {
  test('is one text for equal values, and JSON.parse() gives the value back', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(value);
        expect(canonicalJson(JSON.parse(text) as Json)).toBe(text);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});

describe('an audit', () => {
  const action = { mnemonic: 'link/1', parameters: 1, inputs: {}, outputs: ['a', 'b'] } as const;
  let counter = 0;
  const step =
    (texts: () => string, value = () => 1) =>
    async (folder: string) => {
      writeFileSync(join(folder, 'a'), 'always the same');
      writeFileSync(join(folder, 'b'), texts());
      return { value: value() };
    };
  const clock = (): string => `built at ${(counter += 1)}`;

  test('finds the step that the cache hides, and the first byte that differs', async () => {
    const cache = await openCache(tmpDir());
    await runAction(cache, action, step(clock));
    expect((await runAction(cache, action, step(clock))).cached).toBe(true);
    const audit = startAudit(100);
    const { outputs } = await runAction({ ...cache, audit }, action, step(clock));
    expect(audit.audited).toEqual(['link/1']);
    expect(audit.findings).toMatchObject([
      { mnemonic: 'link/1', differences: [{ output: 'b', offset: 9 }] },
    ]);
    expect(describeFindings(audit)).toMatch(/link\/1 does not make the same twice[^]*byte 9 /);
    expect(readFileSync(outputs.b.path, 'utf8')).toBe(`built at ${counter}`);
  });

  test('a step in quarantine is not kept any more', async () => {
    const cache = await openCache(tmpDir());
    await runAction(cache, action, step(clock));
    await runAction({ ...cache, audit: startAudit(100) }, action, step(clock));
    expect((await runAction(cache, action, step(clock))).cached).toBe(false);
    expect((await runAction(cache, action, step(clock))).cached).toBe(false);
  });

  test('finds a value that differs, a size that differs', async () => {
    const cache = await openCache(tmpDir());
    await runAction(
      cache,
      action,
      step(
        () => 'short',
        () => 1,
      ),
    );
    const audit = startAudit(100);
    await runAction(
      { ...cache, audit },
      action,
      step(
        () => 'shorter',
        () => 2,
      ),
    );
    expect(audit.findings[0]?.differences).toMatchObject([
      { output: 'b', offset: 5, kept: { size: 5 }, fresh: { size: 7 } },
      { output: 'value', offset: 0 },
    ]);
  });

  test('says nothing of steps that make the same, and keeps them', async () => {
    const cache = await openCache(tmpDir());
    const same = step(() => 'same');
    await runAction(cache, action, same);
    const audit = startAudit(100);
    expect((await runAction({ ...cache, audit }, action, same)).cached).toBe(false);
    expect(describeFindings(audit)).toBeUndefined();
    expect((await runAction(cache, action, same)).cached).toBe(true);
  });

  test('takes about as many as it is told, and the same for the same seed', () => {
    const keys = Array.from({ length: 2000 }, (_, index) =>
      actionDigest({ ...action, parameters: index }),
    );
    const taken = (percent: number, seed?: string): string[] => {
      const audit = startAudit(percent, seed);
      return keys.filter((key) => isSampled(audit, key));
    };
    expect(Math.abs(taken(30, 'seed').length - 600)).toBeLessThan(103);
    expect(taken(30, 'seed')).toEqual(taken(30, 'seed'));
    expect(taken(30, 'seed')).not.toEqual(taken(30, 'other seed'));
    expect(taken(0)).toEqual([]);
    expect(taken(100)).toEqual(keys);
  });

  test('refuses what is no part of a hundred', () => {
    for (const percent of [-1, 101, NaN]) expect(() => startAudit(percent)).toThrow(RangeError);
  });
});

test('what was used is younger than before', async () => {
  const cache = await openCache(tmpDir());
  const { run } = stepOf(cache);
  const { outputs } = await run();
  const paths = [outputs.out.path, resultPath(cache)];
  for (const path of paths) utimesSync(path, 1000, 1000);
  expect((await run()).cached).toBe(true);
  for (const path of paths) expect(statSync(path).mtimeMs).toBeGreaterThan(Date.now() - 60_000);
});
