import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parsePayloadConfig, type PayloadConfig } from '../../../src/bundle/payload-config.ts';
import { FormatError } from '../../../src/core/errors.ts';
import { corpus, corpusPath } from '../../support/corpus.ts';

const parse = (value: unknown): PayloadConfig =>
  parsePayloadConfig(Buffer.from(JSON.stringify(value)));
const task = { type: 'microdroid_launcher', command: 'a.so' };

describe('parsePayloadConfig()', () => {
  test('reads tasks of both types, and counts extra APKs', () => {
    expect(
      parse({
        version: 1,
        os: { name: 'microdroid' },
        task,
        extra_apks: [{ path: '/x.apk' }, { path: '' }],
        export_tombstones: null,
        hugepages: true,
      }),
    ).toEqual({ task, extraApkCount: 2 });
    expect(parse({ task: { command: '/mnt/apk/bin/a', command_args: ['-v', ''] } })).toEqual({
      task: { type: 'executable', command: '/mnt/apk/bin/a' },
      extraApkCount: 0,
    });
  });

  test.each([
    ['no task', {}],
    ['no task but null', { task: null }],
    ['another OS', { task, os: { name: 'microdroid_gki' } }],
    ['an OS without a name', { task, os: {} }],
    ['APEXes', { task, apexes: [{ name: 'com.android.art' }] }],
    ['authfs', { task, enable_authfs: true }],
    ['staged APEXes', { task, prefer_staged: true }],
    ['root', { task, run_as_root: true }],
    ['a store', { task, delay_encrypted_store_setup: true }],
    ['tenants', { task, tenants: [{}] }],
    ['control groups', { task, cgroup_config: {} }],
    ['a flag that is none', { task, hugepages: 1 }],
    ['a flag that is null', { task, hugepages: null }],
    ['a list that is none', { task, extra_apks: {} }],
    ['an extra APK without a path', { task, extra_apks: [{}] }],
    ['a task that is none', { task: 'a.so' }],
    ['an unknown type', { task: { ...task, type: 'shell' } }],
    ['a type that is null', { task: { ...task, type: null } }],
    ['a library with a path', { task: { ...task, command: 'a/b.so' } }],
    ['a library above', { task: { ...task, command: '..' } }],
    ['a library with arguments', { task: { ...task, command_args: [] } }],
    ['SELinux', { task: { ...task, selinux_type: 'x' } }],
    ['a program without a path', { task: { command: 'a' } }],
    ['a program above', { task: { command: '/a/../b' } }],
    ['arguments that are none', { task: { command: '/a', command_args: [1] } }],
    ['arguments with NUL', { task: { command: '/a', command_args: ['\0'] } }],
  ])('refuses what the guest refuses: %s', (_, config) => {
    expect(() => parse(config)).toThrow(FormatError);
  });

  test('refuses what is too large, not UTF-8 or not JSON', () => {
    for (const bytes of [
      Buffer.alloc(65 * 1024, ' '),
      Buffer.from([0x22, 0xff, 0x22]),
      Buffer.from(`\ufeff${JSON.stringify({ task })}`),
      Buffer.from('{'),
    ]) {
      expect(() => parsePayloadConfig(bytes)).toThrow(FormatError);
    }
  });

  test('any JSON is a configuration or a FormatError', () => {
    const known = fc.constantFrom('task', 'os', 'extra_apks', 'apexes', 'hugepages', 'tenants');
    fc.assert(
      fc.property(fc.dictionary(known, fc.jsonValue()), (value) => {
        try {
          parse(value);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
    );
  });

  test.skipIf(corpus === undefined)(
    'Android’s own files: those without APEXes are accepted',
    () => {
      const verdicts = readdirSync(corpusPath('config')).map((name) => {
        const bytes = readFileSync(corpusPath('config', name));
        const { apexes = [], task: asked } = JSON.parse(bytes.toString()) as {
          readonly apexes?: readonly unknown[];
          readonly task?: unknown;
        };
        const isAccepted = apexes.length === 0 && asked !== undefined;
        const judge = (): unknown => parsePayloadConfig(bytes);
        if (isAccepted) expect(judge).not.toThrow();
        else expect(judge).toThrow(FormatError);
        return isAccepted;
      });
      expect(new Set(verdicts)).toEqual(new Set([true, false]));
    },
  );
});
