/** `microbuild verity` and `fsverity` beside the programs whose options they take, and the memory they need. */

import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { runTool } from '../support/tools.ts';

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openSandbox();
});
afterAll(() => sandbox.dispose());

const at = (name: string): string => join(sandbox.folder, name);
const same = (a: string, b: string): boolean =>
  Buffer.compare(readFileSync(at(a)), readFileSync(at(b))) === 0;
const hasNative =
  (process.env['MICROBUILD_NATIVE'] ?? 'target/release/libmicrobuild_native.so') !== '' &&
  existsSync(process.env['MICROBUILD_NATIVE'] ?? 'target/release/libmicrobuild_native.so');

function noise(size: number, seed: number): Buffer {
  const data = Buffer.alloc(size);
  for (let i = 0; i + 4 <= size; i += 4) data.writeInt32LE(Math.imul(i + seed, 2654435761), i);
  return data;
}

describe('every engine', () => {
  const engines = hasNative ? ['js', 'native', 'system'] : ['js', 'system'];

  test('writes the same tree, superblock and parity, and takes the others’', async () => {
    // More than the workers leave to one thread.
    writeFileSync(at('data'), noise((34 << 20) + 4096, 1));
    const roots: string[] = [];
    for (const engine of engines) {
      const format = await sandbox.microbuild([
        'verity',
        'format',
        at('data'),
        at(`hash-${engine}`),
        `--engine=${engine}`,
        '--json',
        `--fec-device=${at(`fec-${engine}`)}`,
      ]);
      expect(format.status).toBe(0);
      const { rootDigest } = JSON.parse(format.stdout) as { rootDigest: string };
      roots.push(rootDigest);
      expect(same(`hash-${engine}`, 'hash-js')).toBe(true);
      expect(same(`fec-${engine}`, 'fec-js')).toBe(true);
    }
    expect(new Set(roots).size).toBe(1);
    const [root = ''] = roots;
    for (const engine of engines) {
      const words = ['verity', 'verify', at('data'), at('hash-js'), root, '--engine', engine];
      expect(await sandbox.microbuild(words)).toMatchObject({ status: 0 });
    }
    const data = readFileSync(at('data'));
    data[1234567]! ^= 1;
    writeFileSync(at('data'), data);
    for (const engine of engines) {
      const words = ['verity', 'verify', at('data'), at('hash-js'), root, '--engine', engine];
      expect((await sandbox.microbuild(words)).status).toBe(3);
    }
  });
});

describe('veritysetup', () => {
  test('verifies an image with tree and parity behind its data, and dumps its superblock', async () => {
    writeFileSync(at('image'), noise(100 * 4096, 3));
    const format = await sandbox.microbuild([
      'verity',
      'format',
      at('image'),
      '--fec-roots=4',
      `--root-hash-file=${at('root')}`,
      '--json',
    ]);
    const made = JSON.parse(format.stdout) as {
      hashOffset: number;
      salt: string;
      uuid: string;
      fec: { offset: number };
    };
    const verify = runTool('veritysetup', [
      'verify',
      `--hash-offset=${made.hashOffset}`,
      `--root-hash-file=${at('root')}`,
      `--fec-device=${at('image')}`,
      `--fec-offset=${made.fec.offset}`,
      '--fec-roots=4',
      at('image'),
      at('image'),
    ]);
    expect(verify).toMatchObject({ status: 0 });
    const dump = runTool('veritysetup', ['dump', `--hash-offset=${made.hashOffset}`, at('image')]);
    expect(dump.stdout).toContain(made.salt);
    expect(dump.stdout).toContain(made.uuid);
  });

  test('gives its options the same meaning', async () => {
    writeFileSync(at('plain'), noise(300 * 1024, 5));
    const options = [
      '--format=0',
      '--hash=sha384',
      '--data-block-size=1024',
      '--hash-block-size=512',
      '--data-blocks=299',
      '--salt=0011ff',
      '--hash-offset=512',
      '--no-superblock',
    ];
    const [ours, theirs] = [at('ours'), at('theirs')];
    const format = await sandbox.microbuild([
      'verity',
      'format',
      at('plain'),
      ours,
      ...options,
      `--root-hash-file=${at('r1')}`,
    ]);
    expect(format.status).toBe(0);
    const peer = ['format', ...options, `--root-hash-file=${at('r2')}`, at('plain'), theirs];
    expect(runTool('veritysetup', peer).status).toBe(0);
    expect(same('ours', 'theirs')).toBe(true);
    expect(same('r1', 'r2')).toBe(true);
  });
});

describe('fsverity', () => {
  test.each([
    ['--hash-alg=sha256', '--block-size=4096'],
    ['--hash-alg=sha512', '--block-size=1024', '--salt=00ff01'],
    ['--hash-alg=sha256', '--block-size=65536', `--salt=${'ab'.repeat(32)}`],
  ])('%s %s: the same digests, tree and descriptor', async (...options) => {
    for (const size of [0, 1, 4096, 1_000_003]) {
      writeFileSync(at('file'), noise(size, size));
      const outputs = (name: string): string[] => [
        `--out-merkle-tree=${at(`tree-${name}`)}`,
        `--out-descriptor=${at(`descriptor-${name}`)}`,
      ];
      const words = ['digest', at('file'), ...options];
      const theirs = runTool('fsverity', [...words, ...outputs('theirs')]);
      const ours = await sandbox.microbuild(['fsverity', ...words, ...outputs('ours')]);
      expect(ours).toMatchObject({ status: 0, stdout: theirs.stdout });
      expect(same('tree-ours', 'tree-theirs')).toBe(true);
      expect(same('descriptor-ours', 'descriptor-theirs')).toBe(true);
    }
  });

  test('prints as the program does, of several files and for signatures', async () => {
    writeFileSync(at('one'), noise(5000, 1));
    writeFileSync(at('two'), noise(9000, 2));
    for (const flags of [
      [],
      ['--compact'],
      ['--for-builtin-sig'],
      ['--compact', '--for-builtin-sig'],
    ]) {
      const words = ['digest', at('one'), at('two'), ...flags];
      const ours = await sandbox.microbuild(['fsverity', ...words]);
      expect(ours.stdout).toBe(runTool('fsverity', words).stdout);
    }
    const system = await sandbox.microbuild([
      'fsverity',
      'digest',
      at('one'),
      '--engine',
      'system',
    ]);
    expect(system.stdout).toBe(runTool('fsverity', ['digest', at('one')]).stdout);
  });

  test('what is no verity file cannot be measured, and it is said why', async () => {
    writeFileSync(at('one'), 'text');
    const measure = await sandbox.microbuild(['fsverity', 'measure', at('one')]);
    expect(measure.status).not.toBe(0);
    expect(measure.stderr).toContain('annot');
    expect(measure.stderr).not.toContain('bug');
  });
});

describe('memory', () => {
  // Holes cost the native library nothing. Node reads them: less does, for the same windows and workers.
  const cases = [
    ...(hasNative ? [{ engine: 'native', size: 16 * 2 ** 30 }] : []),
    { engine: 'js', size: 2 ** 30 },
  ];

  test.each(cases)('$size bytes by $engine take less than 150 MB', async ({ engine, size }) => {
    writeFileSync(at('sparse'), noise(1 << 20, 9));
    truncateSync(at('sparse'), size);
    writeFileSync(
      at('report.cjs'),
      `process.on('exit', () => process.stderr.write('max ' + process.resourceUsage().maxRSS + ' KiB\\n'));`,
    );
    const env = { NODE_OPTIONS: `--require ${at('report.cjs')}` };
    const words = [at('sparse'), at('sparse-hash'), '--root-hash-file', at('sparse-root')];
    for (const verb of ['format', 'verify']) {
      const all = ['verity', verb, ...words, '--engine', engine, '-q'];
      const result = await sandbox.microbuild(all, env);
      expect(result.status).toBe(0);
      const peaks = [...result.stderr.matchAll(/^max (\d+) KiB$/gm)].map((match) =>
        Number(match[1]),
      );
      expect(peaks.length).toBeGreaterThan(0);
      expect(Math.max(...peaks)).toBeLessThan(150_000);
    }
  });
});
