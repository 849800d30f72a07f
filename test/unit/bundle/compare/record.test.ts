import { expect, test } from 'vitest';
import type { BuildInput, BuildRecord } from '../../../../src/bundle/build-record.ts';
import { locator } from '../../../../src/bundle/compare/record.ts';

const input = (at: string, line: number, kind: string, name: string): BuildInput => ({
  at,
  file: 'microbuild.yaml',
  line,
  kind,
  name,
});

const record = {
  inputs: [
    input('kernel.source', 3, 'kernel', 'linux'),
    input('payload.build.inputs[0]', 9, 'build', 'Makefile'),
    input('payload.build.inputs[1]', 9, 'build', 'src'),
    input('payload.files[0]', 12, 'file', 'model.bin'),
    input('payloads.probe.libraries.x86_64[0]', 20, 'library', 'libprobe.so'),
  ],
  payload: {
    entries: [
      { name: 'lib/x86_64/libx.so', input: 'payload.libraries.x86_64[0]' },
      { name: 'res/raw/model.bin', input: 'payload.files[0]' },
    ],
  },
  payloads: {
    probe: {
      entries: [
        { name: 'lib/x86_64/libprobe.so', input: 'payloads.probe.libraries.x86_64[0]' },
        { name: 'assets/made', input: 'payloads.probe.files[0]' },
      ],
    },
  },
} as unknown as BuildRecord;

test.each([
  ['kernel', '', 'microbuild.yaml:3 kernel linux'],
  ['initrd.img', 'modules/dummy.ko', 'microbuild.yaml:3 kernel linux'],
  ['payload.img', 'microdroid-apk!res/raw/model.bin', 'microbuild.yaml:12 file model.bin'],
  [
    'payload.img',
    'microdroid-apk!lib/x86_64/libx.so!.text',
    'microbuild.yaml:9 build of Makefile, src',
  ],
  [
    'payload-probe.img',
    'microdroid-apk!lib/x86_64/libprobe.so',
    'microbuild.yaml:20 library libprobe.so',
  ],
  ['payload-probe.img', 'microdroid-apk!assets/made', undefined],
  ['payload.img', 'microdroid-apk!AndroidManifest.xml', undefined],
  ['payload-other.img', 'microdroid-apk!lib/x86_64/libx.so', undefined],
])('%s %s comes from %s', (member, path, expected) => {
  const place = locator(record)(member, path);
  expect(place && `${place.file}:${place.line} ${place.name}`).toBe(expected);
});
