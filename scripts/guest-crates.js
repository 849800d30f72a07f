// Lists the crates that the guest's programs are made of, as JSON on standard output: what the compiler links into them, not what
// tests or build scripts use.
//
//   node scripts/guest-crates.js TARGET
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PROGRAMS = ['microbuild-init', 'microbuild-launcher', 'microbuild-vm-payload'];

const [target = ''] = process.argv.slice(2);
const root = fileURLToPath(new URL('..', import.meta.url));
const { packages, resolve } = JSON.parse(
  execFileSync(
    'cargo',
    ['metadata', '--format-version', '1', '--locked', '--filter-platform', target],
    { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20, stdio: ['ignore', 'pipe', 'inherit'] },
  ),
);

/** SHA-256 of the archives of the registry, which only the lock file tells. */
const checksums = new Map(
  [
    ...readFileSync(join(root, 'Cargo.lock'), 'utf8').matchAll(
      /^name = "(.+)"\nversion = "(.+)"\nsource = .+\nchecksum = "([0-9a-f]{64})"$/gm,
    ),
  ].map(([, name, version, sha256]) => [`${name} ${version}`, sha256]),
);

const byId = new Map(packages.map((each) => [each.id, each]));
const nodes = new Map(resolve.nodes.map((node) => [node.id, node]));
const label = ({ name, version }) => `${name} ${version}`;
/** `null` is the kind of what is linked. Macros run in the compiler. */
const linked = (id) =>
  nodes
    .get(id)
    .deps.filter(({ pkg, dep_kinds }) => {
      const isMacro = byId.get(pkg).targets.some(({ kind }) => kind.includes('proc-macro'));
      return !isMacro && dep_kinds.some(({ kind }) => kind === null);
    })
    .map(({ pkg }) => pkg);

const found = new Set(packages.filter(({ name }) => PROGRAMS.includes(name)).map(({ id }) => id));
for (const id of found) for (const next of linked(id)) found.add(next);

const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
const crates = [...found]
  .map((id) => {
    const crate = byId.get(id);
    const sha256 = checksums.get(label(crate));
    return {
      name: crate.name,
      version: crate.version,
      // Cargo once took a slash for OR.
      ...(crate.license && {
        license: crate.license.replaceAll('/', ' OR ').replaceAll(/ +/g, ' '),
      }),
      ...(sha256 && { sha256 }),
      dependencies: linked(id)
        .map((each) => label(byId.get(each)))
        .sort(order),
    };
  })
  .sort((a, b) => order(label(a), label(b)));
process.stdout.write(`${JSON.stringify(crates, undefined, 1)}\n`);
