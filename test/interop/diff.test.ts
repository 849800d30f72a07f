/** Two builds of one recipe that differ in a file: the reason is told down to the recipe's line, as diffoscope finds it. */

import { createHash, generateKeyPairSync } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  linkSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { comparePaths } from '../../src/bundle/compare/compare.ts';
import type { Comparison } from '../../src/bundle/compare/finding.ts';
import { formatManifest, type Manifest } from '../../src/bundle/manifest.ts';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { copyHello } from '../support/recipes.ts';

let sandbox: Sandbox;
const at = (name: string): string => join(sandbox.folder, name);

beforeAll(async () => {
  sandbox = openSandbox();
  const recipe = copyHello(at('recipe'));
  for (const name of ['a', 'b']) {
    if (name === 'b') appendFileSync(join(recipe, 'motd'), 'another line\n');
    const built = await sandbox.microbuild(['image', recipe, '-o', at(name)]);
    if (built.status !== 0) throw new Error(built.stderr);
  }
  cpSync(at('a'), at('tampered'), { recursive: true });
  const os = readFileSync(at('tampered/os.img'));
  // In the middle of the system's data; the manifest still lists the old digest.
  os[(1 << 20) + 65_536 + 400_000]! ^= 1;
  writeFileSync(at('tampered/os.img'), os);
});
afterAll(() => sandbox.dispose());

const diff = async (
  ...args: string[]
): Promise<{ status: number; comparison: Comparison & { gates: { gate: string }[] } }> => {
  const { status, stdout } = await sandbox.microbuild(['diff', ...args, '--json']);
  return { status, comparison: JSON.parse(stdout) as never };
};

describe('microbuild diff', () => {
  test('a bundle is the same as itself, exit code 0', async () => {
    const { status, comparison } = await diff(at('a'), at('a'));
    expect(status).toBe(0);
    expect(comparison).toMatchObject({ same: true, findings: [] });
  });

  test('one line of one file is the only origin, with the line of the recipe that copies it', async () => {
    const { status, comparison } = await diff(at('a'), at('b'));
    expect(status).toBe(1);
    const inOs = comparison.findings.filter(
      ({ nature, member }) => nature === 'origin' && member === 'os.img',
    );
    expect(inOs).toMatchObject([
      { path: 'system_a!/system/etc/motd', field: 'content', excerpt: ['+another line'] },
    ]);
    const line = readFileSync(at('recipe/microbuild.yaml'), 'utf8')
      .split('\n')
      .findIndex((text) => text.includes('file: motd'));
    expect(inOs[0]?.input).toMatchObject({ file: 'microbuild.yaml', line: line + 1 });
    const [vbmeta] = comparison.why;
    expect(vbmeta?.title).toBe('vbmeta digest');
    expect(vbmeta?.because[0]?.title).toBe('system root digest');
    expect(vbmeta?.because[0]?.because[0]?.because[0]?.title).toContain('/system/etc/motd');
  });

  test('gates decide the exit code where there are some', async () => {
    const gated = await diff(at('a'), at('b'), '--max-growth', '10%', '--no-new-setuid');
    expect(gated.status).toBe(0);
    const broken = await diff(at('a'), at('b'), '--fail-on', 'content');
    expect(broken.status).toBe(1);
    expect(broken.comparison.gates).toMatchObject([{ gate: 'fail-on content' }]);
  });

  test('bytes that were changed behind the digests are found with --full', async () => {
    const { status, comparison } = await diff(at('a'), at('tampered'), '--full');
    expect(status).toBe(1);
    expect(comparison.findings.every(({ member }) => member === 'os.img')).toBe(true);
  });

  test('what cannot be failed on is refused before anything is read', async () => {
    const { status, stderr } = await sandbox.microbuild([
      'diff',
      at('a'),
      at('b'),
      '--fail-on=kay',
    ]);
    expect(status).toBe(2);
    expect(stderr).toContain('"kay"');
    const missing = ['diff', at('none'), at('neither'), '--fail-on', 'content,nonsense'];
    expect((await sandbox.microbuild(missing)).stderr).toContain('"nonsense"');
  });

  test('a file cannot be compared with a bundle', async () => {
    const { status, stderr } = await sandbox.microbuild(['diff', at('a'), at('b/os.img')]);
    expect(status).toBe(2);
    expect(stderr).toContain('only');
  });

  test('inspect accounts for every file of the bundle, to the byte', async () => {
    const { status, stdout } = await sandbox.microbuild(['inspect', at('a'), '--bytes', '--json']);
    expect(status).toBe(0);
    expect(stdout).not.toContain('"error"');
  });

  test('the entries of the payload are listed, read and extracted', async () => {
    const part = ['--partition', 'microdroid-apk'];
    const listed = await sandbox.microbuild(['inspect', at('a'), 'ls', ...part]);
    expect(listed.stdout.split('\n')).toContain('AndroidManifest.xml');
    const { status } = await sandbox.microbuild([
      'inspect',
      at('a'),
      'extract',
      at('out'),
      ...part,
    ]);
    expect(status).toBe(0);
    expect(readFileSync(join(at('out'), 'AndroidManifest.xml')).length).toBeGreaterThan(100);
  });
});

describe('a bundle that somebody else signed', () => {
  const signed = (): string => at('signed');
  beforeAll(async () => {
    for (const [name, modulusLength] of [
      ['image', 2048],
      ['payload', 2048],
    ] as const) {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength });
      const pem = privateKey.export({ format: 'pem', type: 'pkcs8' });
      writeFileSync(at(`${name}.pem`), pem, { mode: 0o600 });
    }
    const keys = ['--image-key', at('image.pem'), '--payload-key', at('payload.pem')];
    const { status, stderr } = await sandbox.microbuild([
      'sign',
      'bundle',
      at('a'),
      '-o',
      signed(),
      ...keys,
    ]);
    if (status !== 0) throw new Error(stderr);
  });

  test('is the same but for keys and signatures, and passes the gate', async () => {
    const { status, comparison } = await diff(at('a'), signed(), '--fail-on', 'unsigned');
    expect(status).toBe(0);
    expect(comparison).toMatchObject({ same: false, sameUnsigned: true });
    expect(comparison.findings.filter(({ nature }) => nature === 'origin')).toEqual([]);
  });

  /** The same bundle with other bytes in a file, of which its manifest knows. */
  function change(file: string, edit: (bytes: Buffer) => void): string {
    const folder = at('changed');
    rmSync(folder, { recursive: true, force: true });
    const isSmall = (path: string): boolean => !/(?:\.img|kernel)$/.test(path);
    cpSync(signed(), folder, { recursive: true, filter: isSmall });
    for (const name of readdirSync(signed())) {
      if (!isSmall(name) && name !== file) linkSync(join(signed(), name), join(folder, name));
    }
    const bytes = readFileSync(join(signed(), file));
    edit(bytes);
    writeFileSync(join(folder, file), bytes);
    if (file !== 'manifest.json') {
      const path = join(folder, 'manifest.json');
      const manifest = JSON.parse(readFileSync(path, 'utf8')) as Manifest;
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const files = manifest.files.map((each) =>
        each.path === file ? { ...each, sha256, size: bytes.length } : each,
      );
      writeFileSync(path, formatManifest({ ...manifest, files }));
    }
    return folder;
  }

  test.each([
    ['os.img', 4],
    ['payload.img', 4],
    ['initrd.img', 2],
    ['kernel', 2],
    ['build.json', 2],
  ] as const)('is not the same with any byte of %s changed', async (file, times) => {
    const { size } = statSync(join(signed(), file));
    for (let count = 0; count < times; count += 1) {
      // Anywhere, the same on each run: the fraction of a multiple of the golden ratio.
      const place = Math.floor((((count + 1) * 0.618033988749) % 1) * size);
      const changed = change(file, (bytes) => (bytes[place] = (bytes[place] ?? 0) ^ 0x20));
      for (const full of [false, true]) {
        const { sameUnsigned, findings } = await comparePaths(at('a'), changed, { full });
        expect([place, sameUnsigned]).toEqual([place, false]);
        const own = findings.filter(({ nature }) => nature === 'origin');
        // Without --full what a signed digest is over is not read: then the digest is told to be another's.
        const near = own.some(({ member }) => member === file);
        expect([place, near || own[0]?.field]).toEqual([place, full || near || 'chain of trust']);
      }
    }
  });

  test.each<[what: string, file: string, edit: (bytes: Buffer) => void]>([
    ['the boot code of a disk', 'os.img', (bytes) => void bytes.write('hidden', 10)],
    ['the sector of a partition table', 'os.img', (bytes) => void bytes.write('hidden', 512 + 300)],
    [
      'the space in front of the partitions',
      'payload.img',
      (bytes) => void bytes.write('x', 500_000),
    ],
    ['the end of the kernel', 'kernel', (bytes) => void bytes.write('x', bytes.length - 100)],
    ['the end of vbmeta_a', 'os.img', (bytes) => void bytes.write('x', (1 << 20) + 60_000)],
    [
      'a digest in the manifest',
      'manifest.json',
      (bytes) => void bytes.write('00000000', bytes.indexOf('"vbmetaDigest"') + 17),
    ],
    [
      'a key in the manifest',
      'manifest.json',
      (bytes) => void bytes.write('00000000', bytes.indexOf('"sha256"') + 11),
    ],
    [
      'a size in the manifest',
      'manifest.json',
      (bytes) => void bytes.write('9', bytes.indexOf('"size"') + 8),
    ],
    [
      'the spacing of the manifest',
      'manifest.json',
      (bytes) => void bytes.write('\t', bytes.indexOf('  "name"')),
    ],
  ])('is not the same with %s changed', async (_what, file, edit) => {
    const { sameUnsigned } = await comparePaths(at('a'), change(file, edit));
    expect(sameUnsigned).toBe(false);
  });
});
