/** Tokens of SoftHSM in a folder of the test, made and filled by other people's tools. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runTool } from './tools.ts';

/** Debian's. */
export const SOFTHSM_MODULE = '/usr/lib/softhsm/libsofthsm2.so';

export interface SoftHsm {
  /** What the module must find in the environment of the process. */
  readonly conf: string;
  /** Where the tokens are. */
  readonly tokens: string;
  initToken(label: string, pin: string): void;
  /** Runs pkcs11-tool on a token, logged in. */
  tool(label: string, pin: string, ...args: readonly string[]): void;
  /** Imports a PEM private key (PKCS#8). */
  importKey(label: string, pin: string, key: { path: string; object: string; id: string }): void;
}

export function createSoftHsm(folder: string): SoftHsm {
  const tokens = join(folder, 'tokens');
  mkdirSync(tokens);
  const conf = join(folder, 'softhsm2.conf');
  writeFileSync(conf, `directories.tokendir = ${tokens}\nlog.level = ERROR\n`);
  const run = (program: string, args: readonly string[]): void => {
    const env = { ...process.env, SOFTHSM2_CONF: conf };
    const { status, stderr, stdout } = runTool(program, args, { env });
    if (status !== 0) throw new Error(`${program} failed: ${stderr}${stdout}`);
  };
  return {
    conf,
    tokens,
    initToken: (label, pin) =>
      run('softhsm2-util', [
        '--init-token',
        '--free',
        '--label',
        label,
        '--pin',
        pin,
        '--so-pin',
        '99999999',
      ]),
    tool: (label, pin, ...args) =>
      run('pkcs11-tool', [
        '--module',
        SOFTHSM_MODULE,
        '--token-label',
        label,
        '--login',
        '--pin',
        pin,
        ...args,
      ]),
    importKey: (label, pin, { path, object, id }) =>
      run('softhsm2-util', [
        '--import',
        path,
        '--token',
        label,
        '--pin',
        pin,
        '--label',
        object,
        '--id',
        id,
      ]),
  };
}
