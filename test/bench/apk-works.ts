/** Signing and verifying APKs, against apksigner. */

import { spawnSync } from 'node:child_process';
import { existsSync, renameSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { apkFile, benchKey } from './apk-inputs.ts';
import type { Step } from './measure.ts';
import { sizeText, type Contender, type Work, type WorkOptions } from './works.ts';

const MIB = 2 ** 20;

/** The library that hashes, and what Node starts with, before any APK. */
const MEMORY_BAR = 150 * MIB;

/** v2, v3 and v4, as apksigner signs for release 30 with one key. */
const SCHEMES = [
  ['--v1-signing-enabled', 'false'],
  ['--v2-signing-enabled', 'true'],
  ['--v3-signing-enabled', 'true'],
  ['--v4-signing-enabled', 'true'],
  ['--min-sdk-version', '30'],
].flat();

export interface ApkWorkOptions extends WorkOptions {
  /** `AndroidManifest.xml` of the APKs. */
  readonly manifest: Uint8Array;
}

export function apkWorks(options: ApkWorkOptions): Work[] {
  const { root, inputs, outputs, scale, manifest, hasProgram } = options;
  const out = (name: string): string => join(outputs, name);
  const microbuild = (...args: readonly string[]): Step => ({
    program: process.execPath,
    args: [resolve(root, 'bin/microbuild.js'), ...args],
  });
  const signing = (input: string, output: string): readonly string[] => {
    const { pem, certificate } = benchKey(root, inputs);
    return ['sign', 'apk', input, ...SCHEMES, '--key', pem, '--cert', certificate, '--out', output];
  };
  const ours = (input: string): Contender => {
    const output = out('ours.apk');
    return {
      name: 'microbuild sign apk',
      steps: [microbuild(...signing(input, output))],
      outputs: [output, `${output}.idsig`],
      result: { file: output },
      image: output,
    };
  };
  const apksigner = (input: string): Contender => {
    const { pk8, certificate } = benchKey(root, inputs);
    const output = out('apksigner.apk');
    const args = ['sign', ...SCHEMES, '--key', pk8, '--cert', certificate, '--out', output, input];
    return {
      name: 'apksigner sign',
      steps: [{ program: 'apksigner', args }],
      outputs: [output, `${output}.idsig`],
      result: { file: output },
      image: output,
    };
  };
  const installed = (peer: Contender): Contender[] => (hasProgram('apksigner') ? [peer] : []);
  const work = (name: string, [size, files]: readonly [number, number], atLeast: number): Work => ({
    name,
    what: `APK Signature Scheme v2, v3 and v4, ${sizeText(size)}, ${files} small entries`,
    input: () => apkFile(inputs, size, files, manifest),
    ours,
    peers: (input) => installed(apksigner(input)),
    bars: [{ peer: 'apksigner sign', atLeast }],
    limit: 'copy',
    memoryBar: MEMORY_BAR,
  });
  /** Signed once, beside the inputs. */
  const signed = (): string => {
    const input = apkFile(inputs, ...scale.apks[2], manifest);
    const path = input.replace(/\.apk$/, '-signed.apk');
    if (existsSync(path)) return path;
    const { program, args } = microbuild(...signing(input, `${path}.new`));
    const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`No signed APK could be made: ${stderr}`);
    renameSync(`${path}.new.idsig`, `${path}.idsig`);
    renameSync(`${path}.new`, path);
    return path;
  };
  return [
    work('apk-sign-5m', scale.apks[0], 4),
    work('apk-sign-100m', scale.apks[1], 5),
    work('apk-sign-1g', scale.apks[2], 5),
    {
      name: 'apk-verify-1g',
      what: `verifying v3 for release 30 and later, ${sizeText(scale.apks[2][0])}`,
      input: signed,
      ours: (input) => ({
        name: 'microbuild verify',
        steps: [microbuild('verify', input, '--min-sdk-version', '30')],
        outputs: [],
      }),
      peers: (input) =>
        installed({
          name: 'apksigner verify',
          steps: [{ program: 'apksigner', args: ['verify', '--min-sdk-version', '30', input] }],
          outputs: [],
        }),
      bars: [{ peer: 'apksigner verify', atLeast: 4 }],
      memoryBar: MEMORY_BAR,
    },
  ];
}
