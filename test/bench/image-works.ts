/** Whole bundles: `microbuild image`, against the script of single tools that a user writes today, and against mkosi. */

import { spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { apkFile, benchKey } from './apk-inputs.ts';
import type { ApkWorkOptions } from './apk-works.ts';
import { imageInputs, packageNames, type ImageInputs } from './image-inputs.ts';
import { randomFile } from './inputs.ts';
import { toolEnvironment, type Step } from './measure.ts';
import { sizeText, type Contender, type Work } from './works.ts';

const MIB = 2 ** 20;
/** All that `microbuild image` may use, whatever the size of the image. */
const MEMORY_BAR = 200 * MIB;
const SCRIPT_TOOLS = ['mkfs.erofs', 'veritysetup', 'cpio', 'gzip', 'zipalign', 'apksigner'];

export function imageWorks(options: ApkWorkOptions): Work[] {
  const { root, inputs, outputs, scale, manifest, hasProgram } = options;
  const out = (name: string): string => join(outputs, name);
  let made: ImageInputs | undefined;
  const files = (): ImageInputs => (made ??= imageInputs(root, inputs));

  const build = (recipe: string, more: readonly string[] = []): Step => ({
    program: process.execPath,
    args: [
      resolve(root, 'bin/microbuild.js'),
      'image',
      recipe,
      '--output',
      out('bundle'),
      '--quiet',
      ...more,
    ],
    env: { MICROBUILD_CACHE: out('bundle-cache') },
  });
  const ours = (step: Step, prepare: () => void): Contender => ({
    name: 'microbuild image',
    prepare,
    steps: [step],
    outputs: [],
    image: join(out('bundle'), 'os.img'),
  });
  /** No bundle, and a cache that knows the kernel only. */
  const cold = (): void => {
    for (const name of ['bundle', 'bundle-cache']) {
      rmSync(out(name), { recursive: true, force: true });
    }
    cpSync(files().cache, out('bundle-cache'), { recursive: true });
  };
  /** The bundle that the run before left, or one that is made for the first run; then a change. */
  const after = (change: () => void): (() => void) => {
    let isFirst = true;
    return () => {
      if (isFirst) {
        cold();
        const { program, args, env } = build(files().recipe);
        const { status } = spawnSync(program, args, { env: { ...toolEnvironment(), ...env } });
        if (status !== 0) throw new Error('The bundle to begin with could not be made');
      }
      isFirst = false;
      change();
    };
  };
  const script = (roots: number): Contender[] => {
    if (!SCRIPT_TOOLS.every(hasProgram)) return [];
    const { pk8, certificate } = benchKey(root, inputs);
    const { tree, initrd, kernel } = files();
    const [small, large] = scale.apks;
    const apks = [large, small].map(([size, count]) => apkFile(inputs, size, count, manifest));
    const folder = out('script');
    return [
      {
        name: 'script of single tools',
        prepare: () => rmSync(folder, { recursive: true, force: true }),
        steps: [
          {
            program: 'sh',
            args: [
              resolve(root, 'test/bench/image-script.sh'),
              tree,
              initrd,
              kernel,
              pk8,
              certificate,
              folder,
              `${roots}`,
              ...apks,
            ],
          },
        ],
        outputs: [],
        image: join(folder, 'system.erofs'),
      },
    ];
  };
  /**
   * A system of the same packages out of its own cache of them, without partitions and verity, which need loop
   * devices with partitions. In a mount namespace with a system bus of its own, as systemd-nspawn asks for one.
   */
  const mkosi = (): Contender[] => {
    if (!['mkosi', 'dbus-daemon', 'unshare'].every(hasProgram)) return [];
    const image = out('mkosi.squashfs');
    const program = resolve(root, 'test/bench/image-mkosi.sh');
    const args = [program, join(inputs, 'mkosi-cache'), image, packageNames(inputs).join(',')];
    const { status } = spawnSync('sh', args, { env: toolEnvironment() });
    if (status !== 0) return [];
    return [
      {
        name: 'mkosi',
        steps: [{ program: 'sh', args }],
        outputs: [image],
        image,
      },
    ];
  };
  const tree = (): string => files().tree;
  const what = 'Debian tree of 200 MB, payloads of 100 and 5 MiB';
  return [
    {
      name: 'image-cold',
      what: `bundle: ${what}`,
      input: tree,
      ours: () => ours(build(files().recipe), cold),
      peers: () => script(0),
      bars: [{ peer: 'script of single tools', atLeast: 5 }],
      memoryBar: MEMORY_BAR,
    },
    {
      name: 'image-fec',
      what: `bundle with FEC: ${what}`,
      input: tree,
      ours: () => ours(build(files().recipe, ['--profile', 'fec']), cold),
      peers: () => script(2),
      bars: [{ peer: 'script of single tools', atLeast: 8 }],
      memoryBar: MEMORY_BAR,
    },
    {
      name: 'image-mkosi',
      what: `bundle: ${what}; mkosi: a system of the same packages`,
      input: tree,
      ours: () => ours(build(files().recipe), cold),
      peers: mkosi,
      bars: [{ peer: 'mkosi', atLeast: 20 }],
      runs: 1,
    },
    {
      name: 'image-noop',
      what: `the same bundle once more, nothing changed`,
      input: tree,
      ours: () =>
        ours(
          build(files().recipe),
          after(() => undefined),
        ),
      peers: () => [],
      bars: [],
      memoryBar: MEMORY_BAR,
    },
    {
      name: 'image-one-file',
      what: `the same bundle with one file of the system changed`,
      input: tree,
      ours: () =>
        ours(
          build(files().recipe),
          after(() => appendFileSync(files().changing, 'x')),
        ),
      peers: () => [],
      bars: [],
      memoryBar: MEMORY_BAR,
    },
    {
      name: 'image-4g',
      what: `bundle with a system of ${sizeText(scale.four)} in one file`,
      input: () => randomFile(inputs, scale.four),
      ours: (file) => ours(build(files().withFile(file)), cold),
      peers: () => [],
      bars: [],
      memoryBar: MEMORY_BAR,
    },
  ];
}
