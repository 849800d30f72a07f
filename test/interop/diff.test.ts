/** Two builds of one recipe that differ in a file: the reason is told down to the recipe's line, as diffoscope finds it. */

import { appendFileSync, cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Comparison } from '../../src/bundle/compare/finding.ts';
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
