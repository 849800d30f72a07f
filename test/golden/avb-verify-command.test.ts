/** `microbuild verify` gives libavb’s verdict on the shared vbmeta images, whoever of their signers is trusted. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { verifyCommand } from '../../src/cli/commands/verify.ts';
import { runCommandLine } from '../../src/cli/command.ts';
import { corpus, corpusPath } from '../support/corpus.ts';

const folder = corpus === undefined ? undefined : corpusPath('sig-avb');
const files =
  folder === undefined
    ? []
    : Object.entries(
        (
          JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as {
            files: Record<string, { expect?: string; policy_verdict?: string }>;
          }
        ).files,
      ).flatMap(([name, { expect: verdict, policy_verdict: policy }]) => {
        const kind = name.startsWith('good/')
          ? 'good'
          : name.startsWith('bad/')
            ? 'bad'
            : undefined;
        const exists = readdirSync(join(folder, kind ?? '.')).includes(
          name.slice(name.indexOf('/') + 1),
        );
        return kind !== undefined && exists ? [{ name, kind, verdict, policy }] : [];
      });

describe.skipIf(folder === undefined)('verify', () => {
  test.each(files)('$name is $kind: $verdict', async ({ name, kind }) => {
    const keys = join(folder ?? '', 'keys');
    const trust = readdirSync(keys)
      .filter((key) => key.endsWith('.avbpubkey'))
      .flatMap((key) => ['--trust', join(keys, key)]);
    let printed = '';
    const print = (text: string): void => {
      printed += `${text}\n`;
    };
    const argv = ['verify', join(folder ?? '', name), '--as', 'image', ...trust];
    const status = await runCommandLine(argv, [verifyCommand], {
      terminal: { interactive: false, out: print, err: print, style: (_style, text) => text },
      env: { MICROBUILD_KEYS: '/nonexistent' },
      signal: new AbortController().signal,
      version: '0',
    });
    expect(`${status} ${printed}`).toMatch(kind === 'good' ? /^0 / : /^3 /);
  });
});
