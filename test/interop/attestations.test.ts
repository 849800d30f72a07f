/** What a build attests, judged by the schema of CycloneDX and by OpenSSL; and what `verify` makes of what was changed. */

import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSandbox, type CliResult, type Sandbox } from '../support/cli.ts';
import { cyclonedxSchemas } from '../support/cyclonedx.ts';
import { copyHello } from '../support/recipes.ts';
import { runTool } from '../support/tools.ts';

let sandbox: Sandbox;
let built: CliResult;
const at = (name: string): string => join(sandbox.folder, name);

async function succeed(...args: string[]): Promise<CliResult> {
  const run = await sandbox.microbuild(args);
  expect([run.status, run.status === 0 ? '' : run.stderr]).toEqual([0, '']);
  return run;
}

const KEY = (): string => at('keys/image.pem');
const attestation = (bundle: string, name: string): string => at(`${bundle}/attestations/${name}`);
const FILES = ['provenance.dsse.json', 'sbom.cdx.json', 'sbom.dsse.json'];

interface Envelope {
  readonly payload: string;
  readonly payloadType: string;
  readonly signatures: readonly { readonly sig: string }[];
}

interface Statement {
  readonly _type: string;
  readonly subject: readonly {
    readonly name: string;
    readonly digest: { readonly sha256: string };
  }[];
  readonly predicateType: string;
  readonly predicate: object;
}

const envelopeIn = (path: string): Envelope => JSON.parse(readFileSync(path, 'utf8')) as Envelope;
const statementIn = (path: string): Statement =>
  JSON.parse(Buffer.from(envelopeIn(path).payload, 'base64').toString('utf8')) as Statement;
const sha256 = (path: string): string =>
  createHash('sha256').update(readFileSync(path)).digest('hex');

/** Two partitions, two payloads, and a package with what it depends on. */
const RICH = [
  [
    '\npayload:\n',
    `
  vendor:
    contents:
      - { inline: vendor, to: /name }
      - { dir: aidl, to: /aidl }

payloads:
  other:
    package: dev.microbuild.other
    versionCode: 2
    build: { command: [make], inputs: [Makefile, src], outputs: [build/libhello.so] }
    libraries: { x86_64: [build/libhello.so] }
    entry: libhello.so
    rpcPort: 9

payload:
`,
  ],
] as const;

beforeAll(async () => {
  sandbox = openSandbox();
  copyHello(at('hello'), RICH);
  const output = ['-o', at('bundle'), '--metadata-file', at('meta'), '--json'];
  built = await succeed('image', at('hello'), '--manifest-signature', ...output);
  const args = ['pkey', '-in', KEY(), '-pubout', '-out', at('image.pub')];
  expect(runTool('openssl', args).status).toBe(0);
});
afterAll(() => sandbox.dispose());

/** A copy of the bundle whose attestations may be changed. */
function copy(name: string): string {
  cpSync(at('bundle'), at(name), { recursive: true });
  return name;
}

/** What `verify` says: which link is broken, and why. */
async function verdict(bundle: string, ...options: string[]): Promise<readonly unknown[]> {
  const { status, stdout } = await sandbox.microbuild(['verify', at(bundle), '--json', ...options]);
  const { error, links } = JSON.parse(stdout) as {
    readonly error?: { readonly link: string; readonly code: string };
    readonly links: readonly { readonly link: string }[];
  };
  return error === undefined
    ? [status, links.filter(({ link }) => ['sbom', 'provenance'].includes(link)).length]
    : [status, error.link, error.code];
}

describe('attestations of a build', () => {
  test('the bill of materials is CycloneDX 1.6, by its own schema', () => {
    const judge = `
import json, sys, jsonschema
folder, document = sys.argv[1:]
load = lambda name: json.load(open(f'{folder}/{name}.SNAPSHOT.schema.json'))
main = load('bom-1.6')
store = {f'http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json': load(name) for name in ('spdx', 'jsf-0.82')}
resolver = jsonschema.RefResolver.from_schema(main, store=store)
validator = jsonschema.Draft7Validator(main, resolver=resolver, format_checker=jsonschema.FormatChecker())
problems = [f'{list(e.absolute_path)}: {e.message}' for e in validator.iter_errors(json.load(open(document)))]
print('\\n'.join(problems) or 'valid')
`;
    const path = attestation('bundle', 'sbom.cdx.json');
    const judged = (file: string): string =>
      runTool('/usr/bin/python3', ['-c', judge, cyclonedxSchemas, file]).stdout.trim();
    expect(judged(path)).toBe('valid');
    // The judge judges.
    const bom = JSON.parse(readFileSync(path, 'utf8')) as { components: { type: string }[] };
    bom.components.push({ type: 'strange' });
    writeFileSync(at('strange.json'), JSON.stringify(bom));
    expect(judged(at('strange.json'))).toContain("'strange' is not one of");
  });

  test.each(['sbom.dsse.json', 'provenance.dsse.json'])(
    '%s is signed by the image key, says OpenSSL',
    (name) => {
      const { payload, payloadType, signatures } = envelopeIn(attestation('bundle', name));
      const bytes = Buffer.from(payload, 'base64');
      const signed = Buffer.concat([
        Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${bytes.length} `),
        bytes,
      ]);
      writeFileSync(at('signed'), signed);
      writeFileSync(at('signature'), Buffer.from(signatures[0]?.sig ?? '', 'base64'));
      const args = ['dgst', '-sha256', '-verify', at('image.pub'), '-signature', at('signature')];
      expect(runTool('openssl', [...args, at('signed')]).stdout).toContain('Verified OK');
      expect(payloadType).toBe('application/vnd.in-toto+json');
    },
  );

  test('subjects are every file of the bundle, and the APKs and idsigs on its disks', async () => {
    const { subject, predicateType, _type } = statementIn(
      attestation('bundle', 'provenance.dsse.json'),
    );
    expect([_type, predicateType]).toEqual([
      'https://in-toto.io/Statement/v1',
      'https://slsa.dev/provenance/v1',
    ]);
    const files = readdirSync(at('bundle'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(at('bundle').length + 1))
      .filter((name) => !name.endsWith('.dsse.json') || name === 'manifest.dsse.json');
    const parts = ['payload.img', 'payload-other.img'].flatMap((disk) => [
      `${disk}#microdroid-apk`,
      `${disk}#microdroid-apk-idsig`,
    ]);
    expect(subject.map(({ name }) => name).sort()).toEqual([...files, ...parts].sort());
    for (const { name, digest } of subject) {
      if (!name.includes('#'))
        expect([name, digest.sha256]).toEqual([name, sha256(at(`bundle/${name}`))]);
    }
    const digestOf = (name: string): string | undefined =>
      subject.find((each) => each.name === name)?.digest.sha256;
    // Zeros behind an archive fill its partition.
    const table = runTool('sfdisk', ['-J', at('bundle/payload.img')]).stdout;
    const { partitions } = (
      JSON.parse(table) as {
        partitiontable: { partitions: { name: string; start: number; size: number }[] };
      }
    ).partitiontable;
    const { start = 0, size = 0 } = partitions.find(({ name }) => name === 'microdroid-apk') ?? {};
    const disk = readFileSync(at('bundle/payload.img'));
    const partition = disk.subarray(start * 512, (start + size) * 512);
    const end = partition.lastIndexOf('PK\u0005\u0006');
    const apk = partition.subarray(0, end + 22 + partition.readUInt16LE(end + 20));
    expect(digestOf('payload.img#microdroid-apk')).toBe(
      createHash('sha256').update(apk).digest('hex'),
    );
  });

  test('verify takes both, and requires what it is told to', async () => {
    expect(await verdict('bundle')).toEqual([0, 2]);
    expect(await verdict('bundle', '--require', 'sbom,provenance')).toEqual([0, 2]);
    expect(await verdict('bundle', '--builder-id', 'urn:microbuild:builder:local')).toEqual([0, 2]);
    expect(await verdict('bundle', '--builder-id', 'https://example.com/b')).toEqual([
      3,
      'provenance',
      'untrusted',
    ]);
    const unknown = await sandbox.microbuild(['verify', at('bundle'), '--require', 'sbom,virtue']);
    expect([unknown.status, unknown.stderr]).toEqual([2, expect.stringContaining('virtue')]);
  });

  test('each is missed where it must be, and not elsewhere', async () => {
    const bundle = copy('missing');
    rmSync(attestation(bundle, 'sbom.dsse.json'));
    expect(await verdict(bundle)).toEqual([0, 1]);
    expect(await verdict(bundle, '--require', 'sbom')).toEqual([3, 'sbom', 'missing']);
    rmSync(at(`${bundle}/attestations`), { recursive: true });
    expect(await verdict(bundle)).toEqual([0, 0]);
    expect(await verdict(bundle, '--require', 'provenance')).toEqual([3, 'provenance', 'missing']);
  });

  test('what was changed, or signed by somebody else, is a broken link', async () => {
    const bundle = copy('changed');
    const change = (name: string, edit: (text: string) => string): void => {
      const path = attestation(bundle, name);
      writeFileSync(path, edit(readFileSync(at(`bundle/attestations/${name}`), 'utf8')));
    };
    // One digit of a digest, inside of what is signed.
    change('sbom.dsse.json', (text) => {
      const envelope = JSON.parse(text) as Envelope;
      const payload = Buffer.from(envelope.payload, 'base64');
      const place = payload.indexOf('"sha256":"') + 10;
      payload[place] = payload[place] === 0x30 ? 0x31 : 0x30;
      return JSON.stringify({ ...envelope, payload: payload.toString('base64') });
    });
    expect(await verdict(bundle)).toEqual([3, 'sbom', 'untrusted']);
    change('sbom.dsse.json', (text) => text);
    change('sbom.cdx.json', (text) => text.replace('"name": "musl"', '"name": "glibc"'));
    expect(await verdict(bundle)).toEqual([3, 'sbom', 'digest-mismatch']);
    change('sbom.cdx.json', (text) => text);
    change('provenance.dsse.json', () => 'not JSON');
    expect(await verdict(bundle)).toEqual([3, 'provenance', 'bad-value']);
    // Signed by the right key, and the other thing.
    change('provenance.dsse.json', () =>
      readFileSync(attestation(bundle, 'sbom.dsse.json'), 'utf8'),
    );
    expect(await verdict(bundle)).toEqual([3, 'provenance', 'payload-type']);
  });

  test('attestations of another bundle are none of this one', async () => {
    copyHello(at('again'), [...RICH, ["versionName: '1.0'", "versionName: '1.1'"]]);
    await succeed('image', at('again'), '-o', at('second'), '--manifest-signature');
    const bundle = copy('mixed');
    for (const name of FILES) copyFileSync(attestation('second', name), attestation(bundle, name));
    expect(await verdict('second')).toEqual([0, 2]);
    expect(await verdict(bundle)).toEqual([3, 'sbom', 'digest-mismatch']);
    // Nor does one hold that is about less than the whole bundle.
    const { subject, predicate, predicateType, _type } = statementIn(
      attestation('bundle', 'sbom.dsse.json'),
    );
    const less = { _type, subject: subject.slice(1), predicateType, predicate };
    writeFileSync(at('less.json'), JSON.stringify(less));
    rmSync(at(`${bundle}/attestations`), { recursive: true });
    mkdirSync(at(`${bundle}/attestations`));
    const type = ['--payload-type', 'application/vnd.in-toto+json'];
    const output = ['-o', attestation(bundle, 'sbom.dsse.json')];
    await succeed('sign', 'dsse', at('less.json'), ...type, '--key', KEY(), ...output);
    expect(await verdict(bundle)).toEqual([3, 'sbom', 'digest-mismatch']);
  });
});

describe('attestations and the rest of the tool', () => {
  test('a build with nothing to do leaves them alone, and notices when they are gone or damaged', async () => {
    const build = async (): Promise<boolean> => {
      const { stdout } = await succeed('image', at('hello'), '-o', at('stamped'), '--json');
      return (JSON.parse(stdout) as { readonly upToDate: boolean }).upToDate;
    };
    const marks = (): readonly string[] =>
      FILES.map((name) => {
        const { ino, mtimeMs } = statSync(attestation('stamped', name));
        return `${ino} ${mtimeMs}`;
      });
    await build();
    // The sources may be as new as the first build.
    while (!(await build())) await new Promise((resolve) => setTimeout(resolve, 50));
    const before = marks();
    expect([await build(), marks()]).toEqual([true, before]);
    rmSync(attestation('stamped', 'provenance.dsse.json'));
    expect(await build()).toBe(false);
    writeFileSync(attestation('stamped', 'sbom.dsse.json'), '{}');
    expect(await build()).toBe(false);
    expect(await verdict('stamped', '--require', 'sbom,provenance')).toEqual([0, 2]);
  });

  test('those of an archive are beside it, and go when they are not wanted', async () => {
    const image = (...more: string[]): Promise<CliResult> =>
      succeed('image', at('hello'), '-o', at('one.mbundle'), ...more);
    await image();
    expect(FILES.map((name) => existsSync(at(`one.mbundle.${name}`)))).toEqual([true, true, true]);
    expect(await verdict('one.mbundle', '--require', 'sbom,provenance')).toEqual([0, 2]);
    await image('--no-attestations');
    expect(FILES.map((name) => existsSync(at(`one.mbundle.${name}`)))).toEqual([
      false,
      false,
      false,
    ]);
    expect(await verdict('one.mbundle')).toEqual([0, 0]);
  });

  test('attest writes the same bill of materials, and another key may sign', async () => {
    const bundle = copy('attested');
    await succeed('keys', 'generate', at('own.pem'), '--type', 'p256');
    const opened = runTool('openssl', [
      'pkey',
      '-in',
      at('own.pem'),
      '-pubout',
      '-out',
      at('own.pub'),
    ]);
    expect(opened.status).toBe(0);
    await succeed(
      'attest',
      at(bundle),
      '--key',
      at('own.pem'),
      '--builder-id',
      'https://example.com/b',
    );
    const [bom, signed] = ['sbom.cdx.json', 'sbom.dsse.json'].map((name) =>
      readFileSync(attestation(bundle, name)).equals(readFileSync(attestation('bundle', name))),
    );
    expect([bom, signed]).toEqual([true, false]);
    expect(await verdict(bundle)).toEqual([3, 'sbom', 'untrusted']);
    const trust = ['--trust', at('image.pub'), '--trust', at('own.pub')];
    expect(await verdict(bundle, ...trust, '--builder-id', 'https://example.com/b')).toEqual([
      0, 2,
    ]);
    const standalone = await succeed(
      'verify',
      attestation(bundle, 'provenance.dsse.json'),
      ...trust.slice(2),
    );
    expect(standalone.stdout).toContain('application/vnd.in-toto+json');
  });

  test('they are signed elsewhere as everything else is', async () => {
    const bundle = copy('prepared');
    rmSync(at(`${bundle}/attestations`), { recursive: true });
    await succeed('attest', at(bundle), '--key', at('image.pub'), '--prepare', at('requests'));
    expect(existsSync(at(`${bundle}/attestations`))).toBe(false);
    const requests = readdirSync(at('requests')).filter((name) => name.endsWith('.tbs'));
    expect(requests).toHaveLength(2);
    for (const name of requests) {
      const output = ['-out', at(`requests/${name.replace(/\.tbs$/, '.sig')}`)];
      const args = ['dgst', '-sha256', '-sign', KEY(), ...output, at(`requests/${name}`)];
      expect(runTool('openssl', args).status).toBe(0);
    }
    await succeed('attest', at(bundle), '--key', at('image.pub'), '--attach', at('requests'));
    expect(await verdict(bundle, '--require', 'sbom,provenance')).toEqual([0, 2]);
  });

  test('measure tells what the build told', async () => {
    const measured = await succeed('measure', at('bundle'), '--json');
    type Told = { readonly measurements: object };
    const [one, other, file] = [
      built.stdout,
      measured.stdout,
      readFileSync(at('meta'), 'utf8'),
    ].map((text) => (JSON.parse(text) as Told).measurements);
    expect(other).toEqual(one);
    expect(file).toEqual(one);
    expect(Object.keys((one as { partitions: object }).partitions)).toEqual(['system', 'vendor']);
    expect(one).toMatchObject({ dice: { debuggable: { payloads: { other: { mode: 'debug' } } } } });
  });
});
