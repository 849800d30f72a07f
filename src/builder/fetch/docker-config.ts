/**
 * Credentials of registries, where `docker login`, `podman login` and `skopeo login` keep them.
 *
 * @see containers-auth.json(5)
 */

import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from '../../core/errors.ts';

/** What a login left: name and password, or a token that is exchanged for others. */
export type Credentials =
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  | { readonly kind: 'identity'; readonly token: string };

const configFiles = (env: NodeJS.ProcessEnv): string[] => {
  const home = env['HOME'] ?? homedir();
  const named = env['REGISTRY_AUTH_FILE'];
  const runtime = env['XDG_RUNTIME_DIR'];
  return [
    ...(named === undefined ? [] : [named]),
    ...(runtime === undefined ? [] : [join(runtime, 'containers', 'auth.json')]),
    join(env['XDG_CONFIG_HOME'] ?? join(home, '.config'), 'containers', 'auth.json'),
    join(env['DOCKER_CONFIG'] ?? join(home, '.docker'), 'config.json'),
  ];
};

/** Names under which a registry may stand; Docker Hub has one from long ago. */
const namesOf = (registry: string): string[] =>
  registry === 'docker.io'
    ? ['docker.io', 'index.docker.io', 'https://index.docker.io/v1/', 'registry-1.docker.io']
    : [registry, `https://${registry}`, `https://${registry}/v2/`, `https://${registry}/v1/`];

/**
 * The credentials for a repository of a registry, from the first file that has some. The most specific
 * entry of a file counts: `registry/team/app` goes before `registry/team` and `registry`.
 *
 * @throws {UsageError} `key` when a file is not what it is meant to be.
 */
export async function findCredentials(
  registry: string,
  repository: string,
  env: NodeJS.ProcessEnv,
): Promise<Credentials | undefined> {
  const parts = repository.split('/');
  const scopes = parts.map(
    (_, index) => `${registry}/${parts.slice(0, parts.length - index).join('/')}`,
  );
  for (const file of configFiles(env)) {
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch {
      continue;
    }
    const auths = parseAuths(text, file);
    for (const name of [...scopes, ...namesOf(registry)]) {
      const entry = Object.hasOwn(auths, name) ? auths[name] : undefined;
      const found = entry === undefined ? undefined : credentialsOf(entry, file, name);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function parseAuths(text: string, file: string): Readonly<Record<string, unknown>> {
  try {
    const { auths } = JSON.parse(text) as { auths?: unknown };
    return auths !== null && typeof auths === 'object' ? (auths as Record<string, unknown>) : {};
  } catch (cause) {
    throw new UsageError('key', `Cannot read the credentials in ${file}: it is not JSON`, {
      cause,
    });
  }
}

function credentialsOf(entry: unknown, file: string, name: string): Credentials | undefined {
  if (entry === null || typeof entry !== 'object') return undefined;
  const { auth, username, password, identitytoken } = entry as Record<string, unknown>;
  if (typeof identitytoken === 'string' && identitytoken !== '') {
    return { kind: 'identity', token: identitytoken };
  }
  if (typeof username === 'string' && typeof password === 'string' && username !== '') {
    return { kind: 'password', user: username, password };
  }
  if (typeof auth !== 'string' || auth === '') return undefined;
  const text = Buffer.from(auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon <= 0) {
    throw new UsageError(
      'key',
      `Cannot read the credentials in ${file}: those of ${name} are damaged`,
    );
  }
  return {
    kind: 'password',
    user: text.slice(0, colon),
    password: text.slice(colon + 1).replace(/\0+$/, ''),
  };
}
