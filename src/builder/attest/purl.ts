/**
 * Package URLs: names by which other tools know a component.
 *
 * @see https://github.com/package-url/purl-spec
 */

import { parseOciReference } from '../fetch/oci-reference.ts';

/** Percent-encodes what is not unreserved; a colon stays, as the specification says. */
const encode = (text: string): string =>
  encodeURIComponent(text)
    .replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%3A', ':');

/** Parts of a path, each encoded for itself. */
const encodePath = (path: string): string =>
  path
    .split('/')
    .filter((part) => part !== '')
    .map(encode)
    .join('/');

/** Qualifiers are sorted; those without value are left out. */
function qualified(purl: string, qualifiers: Readonly<Record<string, string | undefined>>): string {
  const pairs = Object.entries(qualifiers)
    .filter(([, value]) => value !== undefined && value !== '')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value = '']) => `${name}=${encode(value)}`);
  return pairs.length === 0 ? purl : `${purl}?${pairs.join('&')}`;
}

/** Debian's releases by the mark that their updates have in versions: `deb12u1`, `bpo12`. */
const RELEASE = /(?:deb|bpo)(\d{1,2})(?:u|\+|$)/;

/** A package of Debian. The release is named where the version tells it. */
export function debPurl(deb: {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
}): string {
  const release = RELEASE.exec(deb.version)?.[1];
  return qualified(`pkg:deb/debian/${encode(deb.name)}@${encode(deb.version)}`, {
    arch: deb.architecture,
    distro: release && `debian-${release}`,
  });
}

/** A crate of the public registry. */
export const cargoPurl = (name: string, version: string): string =>
  `pkg:cargo/${encode(name)}@${encode(version)}`;

/** An image of a registry, by the digest of its manifest. */
export function ociPurl(reference: string, digest: string): string {
  const { registry, repository, tag } = parseOciReference(reference);
  const name = repository.split('/').at(-1) ?? repository;
  return qualified(`pkg:oci/${encode(name)}@${encode(digest)}`, {
    repository_url: `${registry}/${repository}`,
    tag: reference.includes('@') && !/:[^/@]+@/.test(reference) ? undefined : tag,
  });
}

/** A commit: of GitHub by its own type, else with the address of the repository. */
export function gitPurl(repository: string, commit: string): string {
  const [, owner = '', name] =
    /^https:\/\/github\.com\/([A-Za-z0-9-]+)\/([A-Za-z0-9._-]+?)(?:\.git)?\/?$/i.exec(repository) ??
    [];
  // Names of GitHub are the same in either case.
  if (name !== undefined) {
    return `pkg:github/${encode(owner.toLowerCase())}/${encode(name.toLowerCase())}@${commit}`;
  }
  const base =
    repository
      .replace(/\/+$/, '')
      .split('/')
      .at(-1)
      ?.replace(/\.git$/, '') ?? '';
  return qualified(`pkg:generic/${encode(base === '' ? 'repository' : base)}@${commit}`, {
    vcs_url: `git+${repository}@${commit}`,
  });
}

/** A file from an address. */
export function archivePurl(url: string, sha256: string): string {
  const path = new URL(url).pathname;
  const name = encodePath(path).split('/').at(-1) ?? '';
  return qualified(`pkg:generic/${name === '' ? 'archive' : name}`, {
    checksum: `sha256:${sha256}`,
    download_url: url,
  });
}
