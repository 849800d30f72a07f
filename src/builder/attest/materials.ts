/**
 * What a bundle was made of, as its build record and lock tell: the one list from which both the bill of materials and the
 * provenance are written.
 */

import type { BuildInput, BuildRecord, RecordedCrate } from '../../bundle/build-record.ts';
import type { DigestSet } from '../../formats/dsse/statement.ts';
import type { Lock, LockedDeb } from '../../recipe/lockfile.ts';
import { isAddress } from '../../recipe/schema-values.ts';
import { isLocalImage } from '../fetch/oci-reference.ts';
import { archivePurl, cargoPurl, debPurl, gitPurl, ociPurl } from './purl.ts';

export type MaterialKind =
  | 'package'
  | 'kernel'
  | 'image'
  | 'commit'
  | 'archive'
  | 'local'
  | 'guest'
  | 'crate';

export interface Material {
  /** Unique among the materials of a bundle. */
  readonly ref: string;
  readonly kind: MaterialKind;
  readonly name: string;
  readonly version?: string | undefined;
  readonly purl?: string | undefined;
  /** Where it can be had from. */
  readonly url?: string | undefined;
  readonly digest?: DigestSet | undefined;
  /** SPDX expression. */
  readonly license?: string | undefined;
  /** The inputs of the recipe that asked for it; none for what came with another material. */
  readonly inputs: readonly BuildInput[];
  /** The `ref`s of what it needs, as far as is known. */
  readonly dependsOn: readonly string[];
}

/** Kinds of input whose bytes stand in the recipe itself, which is a material of its own. */
const IN_RECIPE = new Set(['inline', 'symlink', 'folder']);

const sha256Of = (digest: string | undefined): DigestSet | undefined =>
  digest?.startsWith('sha256:') === true ? { sha256: digest.slice('sha256:'.length) } : undefined;

/** All materials: packages first, then further inputs in the order of the recipe, then the crates of the guest's programs. */
export function materialsOf(record: BuildRecord, lock: Lock): readonly Material[] {
  const { inputs, guest } = record;
  const packages = packagesOf(record, lock);
  const taken = new Set(packages.flatMap((each) => each.inputs));
  const others = inputs
    .filter((input) => !taken.has(input) && !IN_RECIPE.has(input.kind))
    .map((input) => materialOf(input, record, lock));
  const crates = (guest.crates ?? []).map(crateMaterial);
  return [...packages, ...merged(others), ...crates];
}

/** One material for inputs that are the same thing, such as the guest's programs in two partitions. */
function merged(materials: readonly Material[]): readonly Material[] {
  const found = new Map<string, Material>();
  for (const material of materials) {
    const known = found.get(material.ref);
    found.set(
      material.ref,
      known === undefined ? material : { ...known, inputs: [...known.inputs, ...material.inputs] },
    );
  }
  return [...found.values()];
}

interface Package {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly license?: string | undefined;
  readonly sha256?: string | undefined;
  readonly isKernel: boolean;
  readonly inputs: Set<BuildInput>;
}

const packageRef = ({ name, version, architecture }: Omit<Package, 'inputs'>): string =>
  `deb:${name}:${architecture}@${version}`;

function packagesOf(record: BuildRecord, lock: Lock): readonly Material[] {
  const found = new Map<string, Package>();
  const byAt = new Map(record.inputs.map((input) => [input.at, input]));
  const debs = Object.values(lock.debs);
  const add = (each: Omit<Package, 'inputs'>, input: BuildInput | undefined): void => {
    const ref = packageRef(each);
    const known = found.get(ref);
    const inputs = new Set([...(known?.inputs ?? []), ...(input ? [input] : [])]);
    found.set(ref, { ...known, ...each, isKernel: known?.isKernel ?? each.isKernel, inputs });
  };
  for (const input of record.inputs) {
    const deb = lock.debs[input.name];
    if (deb === undefined || !['kernel', 'deb'].includes(input.kind)) continue;
    add(lockedPackage(deb, input.kind === 'kernel'), input);
  }
  for (const { name, version, architecture, license, input: at } of record.packages ?? []) {
    const deb = debs.find((each) => each.package === name && each.version === version);
    const input = byAt.get(at);
    const isOwn = input?.version === `${name} ${version}` || deb === undefined;
    const sha256 = deb?.sha256 ?? sha256Of(input?.digest)?.['sha256'];
    add(
      { name, version, architecture, license, sha256, isKernel: false },
      isOwn ? input : undefined,
    );
  }
  const all = [...found.values()].sort((a, b) => (packageRef(a) < packageRef(b) ? -1 : 1));
  const refs = new Map(all.map((each) => [each.name, packageRef(each)]));
  return all.map((each): Material => {
    const { name, version, license, sha256, isKernel, inputs } = each;
    return {
      ref: packageRef(each),
      kind: isKernel ? 'kernel' : 'package',
      name,
      version,
      purl: debPurl(each),
      digest: sha256 === undefined ? undefined : { sha256 },
      license,
      inputs: [...inputs],
      dependsOn: [...neededBy(name, lock)].map((needed) => refs.get(needed)).filter(isKnown),
    };
  });
}

const lockedPackage = (deb: LockedDeb, isKernel: boolean): Omit<Package, 'inputs'> => ({
  name: deb.package,
  version: deb.version,
  architecture: deb.architecture,
  sha256: deb.sha256,
  isKernel,
});

/**
 * What the closure of a package brought in for it: whose relation led to which package. What nobody's relation led to was
 * named by the recipe.
 */
function neededBy(name: string, { debs }: Lock): ReadonlySet<string> {
  const needed = Object.values(debs).filter((deb) => deb.askedBy?.package === name);
  return new Set(needed.map((deb) => deb.package));
}

const isKnown = (ref: string | undefined): ref is string => ref !== undefined;

function materialOf(input: BuildInput, record: BuildRecord, lock: Lock): Material {
  const { kind, name, version, license, at } = input;
  const digest = sha256Of(input.digest);
  const base = {
    ref: `input:${at}`,
    name,
    version,
    license,
    digest,
    inputs: [input],
    dependsOn: [],
  };
  if (kind === 'guest') {
    const crates = record.guest.crates ?? [];
    // Crates without archive are the programs themselves.
    const own = crates.filter(({ sha256 }) => sha256 === undefined);
    return {
      ...base,
      ref: 'guest',
      kind: 'guest',
      name: 'microbuild-guest',
      version: record.microbuild,
      license: 'Apache-2.0',
      dependsOn: own.map((crate) => crateRef(`${crate.name} ${crate.version}`)),
    };
  }
  if (kind === 'oci' && !isLocalImage(name) && input.digest !== undefined) {
    const image = Object.values(lock.oci).find((each) => each.manifest.digest === input.digest);
    const purl = ociPurl(name, input.digest);
    return { ...base, kind: 'image', version: version ?? image?.platform, purl };
  }
  if (kind === 'git' && version !== undefined) {
    return { ...base, kind: 'commit', purl: gitPurl(name, version), url: name };
  }
  if (isAddress(name) && digest?.['sha256'] !== undefined) {
    return { ...base, kind: 'archive', purl: archivePurl(name, digest['sha256']), url: name };
  }
  return { ...base, kind: 'local' };
}

const crateRef = (label: string): string => `crate:${label.replace(' ', '@')}`;

const crateMaterial = (crate: RecordedCrate): Material => ({
  ref: crateRef(`${crate.name} ${crate.version}`),
  kind: 'crate',
  name: crate.name,
  version: crate.version,
  purl: crate.sha256 === undefined ? undefined : cargoPurl(crate.name, crate.version),
  digest: crate.sha256 === undefined ? undefined : { sha256: crate.sha256 },
  license: crate.license,
  inputs: [],
  dependsOn: crate.dependencies.map(crateRef),
});
