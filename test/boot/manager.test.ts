import { generateKeyPairSync } from 'node:crypto';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LABELS } from '../../src/bundle/layout.ts';
import type { PayloadStart } from '../../src/formats/payload-metadata/metadata.ts';
import { openSandbox, type CliResult, type Sandbox } from '../support/cli.ts';
import { addApk, buildBundle, managerRecipe, runBundle, type Run } from '../support/manager.ts';
import { remakeDisk, withMetadata, type Part } from '../support/payload-disk.ts';
import { copyBundle, flipByte, partitionOf } from '../support/tamper.ts';

let sandbox: Sandbox;

let probe: string;
let stranger: Sandbox;

beforeAll(async () => {
  sandbox = openSandbox();
  stranger = openSandbox({ keys: 'own' });
  const config = '{ task: { type: microdroid_launcher, command: libprobe.so } }';
  const one = await buildBundle(sandbox, managerRecipe(sandbox, 'one', 'entry: libprobe.so'));
  const two = await buildBundle(sandbox, managerRecipe(sandbox, 'two', 'entry: libprobe.so'));
  const folder = managerRecipe(
    sandbox,
    'probe',
    `config: ${config}\nextraApks: [{ apk: one.apk, idsig: one.apk.idsig }, { apk: two.apk }]`,
  );
  await addApk(one, folder, 'one');
  await addApk(two, folder, 'two');
  probe = await buildBundle(sandbox, folder);
});
afterAll(() => {
  sandbox.dispose();
  stranger.dispose();
});

describe('a payload that tries what it must not', () => {
  let told: Readonly<Record<string, string>>;
  let result: Run;

  beforeAll(async () => {
    result = await runBundle(sandbox, probe, 'probe');
    const lines = [...result.output.matchAll(/probe: ([^=\n]+)=([^\r\n]*)/g)];
    told = Object.fromEntries(lines.map(([, key = '', value = '']) => [key, value]));
  });

  test('runs to its end, whose code is the run’s, and what it leaves behind ends with it', () => {
    expect(told).toMatchObject({ end: 'reached' });
    expect(result.status).toBe(5);
    expect(result.reason).toBe('');
  });

  test('is user 6000 without groups, capabilities or a way to get them', () => {
    const none = '0000000000000000';
    expect(told).toMatchObject({
      uid: '6000',
      gid: '6000',
      groups: '0',
      'CapInh:': none,
      'CapPrm:': none,
      'CapEff:': none,
      'CapBnd:': none,
      'CapAmb:': none,
      'NoNewPrivs:': '1',
      'Seccomp:': '2',
      setuid: 'EPERM',
      'kill init': 'EPERM',
    });
  });

  test('is the first to go when memory runs out, dumps no core, and has bounded processes and files', () => {
    expect(told).toMatchObject({
      oom_score: '1000',
      'core size': '0',
      processes: '1024',
      files: '4096',
    });
    // The last one is the directory that is being read.
    expect(told).toMatchObject({ descriptors: '0 1 2 3' });
  });

  test('sees the system, its APKs and a few devices, and no other process', () => {
    expect(told).toMatchObject({
      '/dev': 'full null random socket urandom vsock zero',
      '/sys': '',
      '/run': '',
      '/mnt': 'apk extra-apk',
      'other process': 'ENOENT',
      'kernel symbols': 'EACCES',
    });
    expect(told['/']?.split(' ')).toEqual(expect.arrayContaining(['data', 'mnt', 'system']));
    expect(told['/dev/socket']?.split(' ')).toContain('vm_payload_service');
  });

  test('can write below /data and /tmp only, without programs, and not more than a share of memory', () => {
    for (const place of [
      '/x',
      '/system/x',
      '/dev/x',
      '/mnt/x',
      '/mnt/apk/x',
      '/mnt/extra-apk/0/x',
    ]) {
      expect(told[`create ${place}`]).toMatch(/EROFS|EACCES/);
    }
    expect(told).toMatchObject({
      'write /proc': 'EROFS',
      '/data': '700 6000:6000',
      '/tmp': '700 6000:6000',
      'create /tmp/x': 'ok',
      'code from /data': 'EPERM',
      'program in /data': 'exit 201',
      full: 'ENOSPC',
    });
    const memory = Number.parseInt(told['memory'] ?? '0', 10) * 1024;
    const filled = Number(told['filled']);
    expect(filled).toBeGreaterThan(memory / 8);
    expect(filled).toBeLessThan(memory / 4 + 65536);
  });

  test('is refused by the kernel what its filter names, and lives on', () => {
    const refused = [
      'mount',
      'umount2',
      'chroot',
      'unshare',
      'setns',
      'clone name space',
      'ptrace',
      'process_vm_readv',
      'keyctl',
      'add_key',
      'io_uring_setup',
      'userfaultfd',
      'perf_event_open',
      'fsopen',
      'open_by_handle_at',
      'syslog',
      'sethostname',
    ];
    expect(told).toMatchObject(Object.fromEntries(refused.map((name) => [name, 'EPERM'])));
    expect(told).toMatchObject({
      clone3: 'ENOSYS',
      netlink: 'EAFNOSUPPORT',
      packet: 'EAFNOSUPPORT',
      alg: 'EAFNOSUPPORT',
      vsock: 'ok',
      unix: 'ok',
      thread: '0',
    });
  });

  test('is killed where nobody calls by accident', () => {
    const deadly = ['bpf', 'init_module', 'kexec', 'reboot', 'old abi', 'x32'];
    expect(told).toMatchObject(Object.fromEntries(deadly.map((name) => [name, 'signal 31'])));
  });

  test('finds its APK with the modes of zipfuse, and runs programs of it', () => {
    expect(told).toMatchObject({
      apk: '550 0:6000',
      program: '550 0:6000',
      asset: '440 0:6000',
      'asset text': '{',
      'run program': 'exit 7',
    });
  });

  test('finds extra APKs in their order, whose files are data', () => {
    expect(told).toMatchObject({
      extra: '0 1',
      'extra 0': 'one',
      'extra 1': 'two',
      'run extra program': 'exit 201',
      'extra library': 'refused',
    });
  });
});

describe('the guest refuses', () => {
  const start: PayloadStart = { kind: 'config-path', path: '/mnt/apk/assets/vm_config.json' };
  const without = (label: string) => (parts: readonly Part[]) =>
    parts.filter((part) => part.label !== label);

  const changed = (): string => join(sandbox.folder, 'changed');

  /** Lets the guest alone judge a changed copy of the bundle. */
  const judged = async (change: (disk: string) => Promise<void>): Promise<Run> => {
    const path = changed();
    rmSync(path, { recursive: true, force: true });
    copyBundle(probe, path);
    await change(join(path, 'payload.img'));
    const result = await runBundle(sandbox, path, 'changed', '--verify=boot');
    expect(result.output).not.toContain('probe: uid');
    expect(result.output).not.toContain('phase payload');
    return result;
  };

  test.each([
    [
      'a payload with an APEX',
      withMetadata(start, {
        apexes: [
          {
            name: 'com.android.art',
            partitionName: 'microdroid-apex-0',
            publicKey: new Uint8Array(0),
            rootDigest: new Uint8Array(0),
            lastUpdateSeconds: 0n,
            isFactory: false,
            manifestVersion: 0n,
            manifestName: '',
          },
        ],
      }),
      'payload-config',
      'com.android.art',
      'payload-metadata',
    ],
    [
      'a configuration file that is not there',
      withMetadata({ kind: 'config-path', path: '/mnt/apk/assets/other.json' }),
      'payload-config',
      'assets/other.json',
      'payload-config',
    ],
    [
      'another number of extra APKs than is there',
      withMetadata({ kind: 'config', payloadBinaryName: 'libprobe.so', extraApkCount: 1 }),
      'payload-config',
      'config expects 1 extra apks, but found 2',
      'payload-config',
    ],
    [
      'a library that is not there',
      withMetadata({ kind: 'config', payloadBinaryName: 'libother.so', extraApkCount: 2 }),
      'payload-config',
      'libother.so',
      'payload-config',
    ],
    [
      'an extra APK without its idsig',
      without('extra-idsig-1'),
      'payload-metadata',
      'extra APKs',
      'idsig',
    ],
    [
      'a disk without metadata',
      without(LABELS.metadata),
      'payload-metadata',
      LABELS.metadata,
      'payload-metadata',
    ],
  ] as const)(
    '%s, with code 3; and the host before it',
    async (_, change, link, text, hostLink) => {
      const result = await judged((disk) => remakeDisk(disk, change));
      expect(result.status).toBe(126);
      expect(result.output).toContain(`refused MICRODROID_INVALID_PAYLOAD_CONFIG ${link}: `);
      expect(result.stderr).toContain(text);
      expect(result.reason).toMatch(/^MICRODROID_INVALID_PAYLOAD_CONFIG\|/);
      const verified = await sandbox.microbuild(['verify', changed(), '--json']);
      expect(JSON.parse(verified.stdout)).toMatchObject({ error: { link: hostLink } });
    },
  );

  test('an extra APK of somebody who is not trusted, with code 1; so do the builder and the host', async () => {
    const other = await buildBundle(stranger, managerRecipe(stranger, 'one', 'entry: libprobe.so'));
    const folder = join(sandbox.folder, 'probe');
    await addApk(other, folder, 'stranger');
    const text = readFileSync(join(folder, 'microbuild.yaml'), 'utf8');
    const foreign = join(sandbox.folder, 'foreign');
    cpSync(folder, foreign, { recursive: true });
    writeFileSync(join(foreign, 'microbuild.yaml'), text.replace('two.apk', 'stranger.apk'));
    const built = await sandbox.microbuild(['image', foreign, '-o', `${foreign}-bundle`]);
    expect(built.status).toBe(2);
    expect(built.stderr).toContain('trust.payload');
    const apk = readFileSync(join(foreign, 'stranger.apk'));
    const idsig = readFileSync(join(foreign, 'stranger.apk.idsig'));
    const swap = (parts: readonly Part[]): readonly Part[] =>
      parts.map((part) => {
        if (part.label === 'extra-apk-0') return { ...part, bytes: apk };
        return part.label === 'extra-idsig-0' ? { ...part, bytes: idsig } : part;
      });
    const result = await judged((disk) => remakeDisk(disk, swap));
    expect(result.status).toBe(126);
    expect(result.output).toContain(
      'refused MICRODROID_PAYLOAD_VERIFICATION_FAILED payload-certificate: extra-apk-0: ',
    );
    expect(result.reason).toMatch(/^MICRODROID_PAYLOAD_VERIFICATION_FAILED\|extra-apk-0: /);
    const verified = await sandbox.microbuild(['verify', changed()]);
    expect(verified.status).toBe(3);
    expect(verified.stderr).toContain('extra-apk-0');
  });

  test('a changed byte of an extra APK, as dm-verity sees it', async () => {
    const result = await judged(async (disk) => {
      const { offset } = await partitionOf(disk, 'extra-apk-1');
      flipByte(disk, offset + 5000);
    });
    expect(result.status).not.toBe(0);
    expect(result.output).toMatch(/device-mapper: verity: .*data block 1 is corrupted/);
  });
});

test('a bundle with extra APKs gets new keys when its guest accepts all signers, and is whole then', async () => {
  const pem = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
    format: 'pem',
    type: 'pkcs8',
  });
  const key = join(sandbox.folder, 'key.pem');
  writeFileSync(key, pem, { mode: 0o600 });
  const output = join(sandbox.folder, 'resigned');
  const sign = (...accepted: readonly string[]): Promise<CliResult> =>
    sandbox.microbuild([
      'sign',
      'bundle',
      probe,
      '--image-key',
      key,
      '--payload-key',
      key,
      '--output',
      output,
      ...accepted.flatMap((digest) => ['--trust-payload', digest]),
    ]);
  const digestIn = ({ stderr }: CliResult): string => /sha256:[0-9a-f]{64}/.exec(stderr)?.[0] ?? '';
  const refused = await sign();
  expect(refused.status).toBe(2);
  expect(refused.stderr).toContain('would refuse extra-apk-0');
  const old = digestIn(refused);
  const signed = await sign(old, digestIn(await sign(old)));
  expect(signed.stderr).not.toContain('error:');
  // It was verified before it appeared, extra APKs and configuration included.
  expect(signed.status).toBe(0);
  const shown = await sandbox.microbuild(['inspect', output]);
  expect(shown.stdout).toContain('partition extra-apk-1');
});

test('a program as task gets its arguments, prints as much as it likes, and ends with its own code', async () => {
  const config =
    '{ task: { command: /mnt/apk/bin/tool, command_args: [flood, "2000", "255"] }, hugepages: true }';
  const bundle = await buildBundle(sandbox, managerRecipe(sandbox, 'tool', `config: ${config}`));
  const result = await runBundle(sandbox, bundle, 'tool');
  expect(result.output).toContain('tool: 3 arguments, uid 6000');
  const lines = [...result.output.matchAll(/flood (\d{8}) \.{48}/g)].map(([, line]) =>
    Number(line),
  );
  expect(new Set(lines)).toEqual(new Set(Array.from({ length: 2000 }, (_, index) => index)));
  expect(result.status).toBe(255);
});
