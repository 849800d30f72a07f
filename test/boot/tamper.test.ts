import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LABELS } from '../../src/bundle/layout.ts';
import { openSandbox, type CliResult, type Sandbox } from '../support/cli.ts';
import { copyHello } from '../support/recipes.ts';
import {
  bundleFile,
  copyBundle,
  fillPartition,
  flipByte,
  hashTreeOf,
  partitionOf,
  payloadPlaces,
  relabel,
} from '../support/tamper.ts';

let sandbox: Sandbox;
let bundle: string;

beforeAll(async () => {
  sandbox = openSandbox();
  bundle = join(sandbox.folder, 'bundle');
  const built = await sandbox.microbuild([
    'image',
    copyHello(join(sandbox.folder, 'hello')),
    '-o',
    bundle,
  ]);
  expect(built.stderr).not.toContain('error:');
});
afterAll(() => sandbox.dispose());

/** Runs a bundle that must be refused; the payload's output must not be anywhere. */
async function refused(path: string, ...options: readonly string[]): Promise<CliResult> {
  const run = await sandbox.microbuild([
    'run',
    path,
    '--call=IHello.hello',
    '--arg',
    '"world"',
    '--timeout=120',
    '--console',
    ...options,
  ]);
  expect(run.stdout + run.stderr).not.toContain('Hello');
  expect(run.stdout + run.stderr).not.toContain('hello: serving');
  return run;
}

/** A place in a bundle whose bytes are changed, and the link that must be named. */
interface Attack {
  readonly what: string;
  readonly change: (path: string) => Promise<void> | void;
  /** What the host names before the start. */
  readonly hostLink: string;
  /** What the guest names when the host let it start; undefined for what the host always checks. */
  readonly guestLink?: RegExp;
}

const os = (path: string): string => bundleFile(path, 'os');
const payload = (path: string): string => bundleFile(path, 'payload');

const attacks: readonly Attack[] = [
  {
    what: 'a byte of the kernel',
    change: (path) => flipByte(bundleFile(path, 'kernel'), 5_000_000),
    hostLink: 'kernel',
  },
  {
    what: 'a byte of the initrd',
    change: (path) => flipByte(bundleFile(path, 'initrdNormal'), 200_000),
    hostLink: 'initrd',
  },
  {
    what: 'a byte of vbmeta',
    change: async (path) =>
      flipByte(os(path), (await partitionOf(os(path), LABELS.vbmeta)).offset + 700),
    hostLink: 'vbmeta',
    guestLink: /broken link: vbmeta/,
  },
  {
    what: 'the EROFS superblock',
    change: async (path) => flipByte(os(path), (await hashTreeOf(os(path))).dataOffset + 1024),
    hostLink: 'system',
    guestLink: /broken link: system/,
  },
  {
    what: 'a byte of EROFS data that the boot reads',
    change: (path) => {
      const launcher = readFileSync('target/guest/x86_64/microdroid_launcher');
      flipByte(os(path), readFileSync(os(path)).indexOf(launcher.subarray(4096, 8192)) + 100);
    },
    hostLink: 'system',
    guestLink: /broken link: system/,
  },
  {
    what: 'the top block of the hash tree',
    change: async (path) => flipByte(os(path), (await hashTreeOf(os(path))).treeOffset + 5),
    hostLink: 'system',
    guestLink: /broken link: system/,
  },
  {
    what: 'a byte of an APK entry',
    change: async (path) => flipByte(payload(path), (await payloadPlaces(payload(path))).entry),
    hostLink: 'payload-signature',
    guestLink: /broken link: idsig/,
  },
  {
    what: 'a byte of the APK signing block',
    change: async (path) =>
      flipByte(payload(path), (await payloadPlaces(payload(path))).signingBlock),
    hostLink: 'payload-signature',
    guestLink: /broken link: idsig/,
  },
  {
    what: 'the root of the idsig',
    change: async (path) => flipByte(payload(path), (await payloadPlaces(payload(path))).idsigRoot),
    hostLink: 'idsig',
    guestLink: /broken link: idsig/,
  },
  {
    what: 'the tree of the idsig',
    change: async (path) => flipByte(payload(path), (await payloadPlaces(payload(path))).idsigTree),
    hostLink: 'idsig',
    guestLink: /broken link: idsig/,
  },
  {
    what: 'an idsig of zeros',
    change: (path) => fillPartition(payload(path), LABELS.idsig, 0),
    hostLink: 'idsig',
    guestLink: /broken link: idsig/,
  },
  {
    what: 'no idsig partition',
    change: (path) => relabel(payload(path), LABELS.idsig, 'microdroid-apk-idxxx'),
    hostLink: 'idsig',
    guestLink: /broken link: (?:idsig|payload-metadata)/,
  },
];

describe.each(attacks)('one change: $what', ({ change, hostLink, guestLink }) => {
  const tampered = async (): Promise<string> => {
    const path = join(sandbox.folder, 'tampered');
    rmSync(path, { recursive: true, force: true });
    copyBundle(bundle, path);
    await change(path);
    return path;
  };

  test('the runner refuses to start it, with exit code 3, and names the link', async () => {
    const path = await tampered();
    const run = await refused(path);
    expect(run.status).toBe(3);
    const verify = await sandbox.microbuild(['verify', path, '--json']);
    expect(verify.status).toBe(3);
    expect(JSON.parse(verify.stdout)).toMatchObject({ verified: false, error: { link: hostLink } });
  });

  test('a runner that leaves to the guest what the guest checks sees it refused, too', async () => {
    const run = await refused(await tampered(), '--verify=boot');
    if (guestLink === undefined) {
      // Nobody but the runner stands before the kernel and the initrd.
      expect(run.stderr).toContain(`Cannot verify ${hostLink}`);
      expect(run.status).toBe(3);
    } else {
      expect(run.stderr).toMatch(guestLink);
      expect(run.status).toBe(126);
    }
  });
});

describe('a payload of somebody else', () => {
  test('is refused by the host with 3 and by the guest with 126, naming the certificate', async () => {
    const recipe = copyHello(join(sandbox.folder, 'foreign'), [
      ['vm: {', `trust:\n  payload: ["sha256:${'ab'.repeat(32)}"]\nvm: {`],
    ]);
    const path = join(sandbox.folder, 'foreign-bundle');
    expect((await sandbox.microbuild(['image', recipe, '-o', path])).status).toBe(0);
    const host = await refused(path);
    expect(host.status).toBe(3);
    expect(host.stderr).toContain('certificate');
    const guest = await refused(path, '--verify=boot');
    expect(guest.stderr).toContain('broken link: payload-certificate');
    expect(guest.status).toBe(126);
  });
});

test('a bundle signed by a key that is not trusted does not start', async () => {
  const other = openSandbox({ keys: 'own' });
  try {
    const path = join(other.folder, 'bundle');
    const recipe = copyHello(join(other.folder, 'hello'));
    expect((await other.microbuild(['image', recipe, '-o', path])).status).toBe(0);
    const run = await refused(path);
    expect(run.status).toBe(3);
    expect(run.stderr).toContain('kernel');
  } finally {
    other.dispose();
  }
});
