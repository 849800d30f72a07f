/** The page of recipes, from the schema that they are checked with: they cannot disagree. */

import {
  compositionJsonSchema,
  wholeRecipeSchema,
  type JsonSchema,
} from '../recipe/json-schema.ts';
import { NOTE } from './reference.ts';

/** A part of the page: the keys that it is about, with something to copy. */
export interface ReferenceSection {
  readonly title: string;
  readonly keys: readonly string[];
  readonly text: string;
  /** What a recipe may have; a test lays each over a whole recipe. */
  readonly example: string;
}

const INTRODUCTION = `A recipe tells what is in a guest: one YAML file, \`microbuild.yaml\`, in a folder with the files that it names. \`microbuild init\` writes one to start from; \`microbuild image FOLDER\` builds it.

\`\`\`yaml
apiVersion: microbuild/v1
name: hello
partitions:
  system:
    contents:
      - { guest: runtime } # microbuild's own programs
      - { deb: musl } # the C library of the payload
payload:
  package: dev.example.hello
  versionCode: 1
  libraries: { x86_64: [libhello.so] }
  entry: libhello.so # exports AVmPayload_main
\`\`\`

Before anything is built, all that can be known to be wrong is told at once, with file, line and remedy: \`microbuild lint FOLDER\` does only that. Keys that nobody knows are errors. Paths are relative to the file that writes them, and stay below its folder. Editors complete and check recipes with \`schema/recipe.schema.json\` (\`microbuild schema\` prints it):

\`\`\`yaml
# yaml-language-server: $schema=../../schema/recipe.schema.json
\`\`\`

A recipe is YAML 1.2 without aliases, anchors that they need, tags and second documents; at most 1 MiB and 64 levels deep.`;

export const SECTIONS: readonly ReferenceSection[] = [
  {
    title: 'Name, architecture, runtime',
    keys: ['apiVersion', 'name', 'arch', 'runtime'],
    text: 'Who the guest is, and what its programs are made for.',
    example: 'name: hello\narch: x86_64\nruntime: musl\n',
  },
  {
    title: 'Standing on other recipes',
    keys: ['extends', 'include'],
    text: `A recipe may stand on others, and share fragments with them. From the bottom up: bases in their order, fragments in theirs, the file itself, profiles. Where two say something, mappings merge and everything else is replaced; \`KEY+: [...]\` appends to the list below, \`KEY: null\` removes. Bases and fragments are files on this machine, named by a relative path, which may lead out of the folder; symbolic links may not. Their own paths stay relative to them.`,
    example: `partitions:
  system:
    contents+:
      - { inline: "only here\\n", to: /system/etc/note }
`,
  },
  {
    title: 'Variables',
    keys: ['vars'],
    text: `\`\${NAME}\` stands for the value in any text of the recipe, \`$\${\` for \`\${\` itself. A text that is nothing but one variable takes its type. \`--var NAME=VALUE\` sets another value for one build. Between \`{ }\` and \`[ ]\` a text with a variable needs quotes, for YAML has braces of its own. Variables may use others; one that nobody declared, or that stands for itself, is an error.`,
    example: `vars: { version: '1.2', cpus: 2 }
payload: { versionName: '\${version}-test' }
vm: { cpus: '\${cpus}' }
`,
  },
  {
    title: 'Profiles',
    keys: ['profiles'],
    text: `A profile is a part of a recipe that is laid over the rest when it is chosen: \`microbuild image . --profile release --profile big\`, the last one on top. One with \`when\` applies by itself where all of its conditions hold: they look at architecture, runtime, variables and chosen profiles as they are without profiles that have conditions. \`--profile release\` also turns on what a release must fulfil, whether the recipe has a profile of that name or not.`,
    example: `profiles:
  release: { signing: { image: { rollbackIndex: 3 } } }
  big: { when: { var: { size: [large, huge] } }, vm: { memory: 2GiB } }
vars: { size: small }
`,
  },
  {
    title: 'Kernel',
    keys: ['kernel'],
    text: 'A kernel of Debian, pinned by the lock, or one of your own.',
    example: `kernel:
  source: { deb: linux-image-cloud-amd64 }
  modules: [virtio_net] # in addition to what the guest needs
`,
  },
  {
    title: 'Partitions',
    keys: ['partitions'],
    text: `\`system\` is the root of the guest. Further partitions have any name, and are mounted read-only at \`/NAME\` or where \`mount\` says. Each is an EROFS image with a hash tree of its own. Sources are merged in order; two may name the same file only if it is the same. A pattern of \`include\`, \`exclude\` and \`match\` is a path, which means what is below it, too; \`*\` and \`?\` stand for characters of a name, \`**\` for any, \`[a-z]\` for one of several; without a slash it is a name in any folder.`,
    example: `partitions:
  system:
    filesystem: { compression: lz4hc, level: 9 }
    verity: { hash: sha256, fec: { roots: 2 } }
    contents:
      - { guest: runtime }
      - { deb: musl, exclude: [/usr] }
      - { deb: busybox-static, dependencies: true }
      - { dir: rootfs, to: /system }
      - { file: files/motd, to: /system/etc/motd, mode: '0644', uid: 0, gid: 0 }
      - { tar: 'https://example.org/tool-1.2.tar.xz', to: /opt/tool, strip: 1 }
      - { oci: 'registry.example.org/team/base:1.2', to: /opt/base, include: [/usr/bin] }
      - { zip: files/extra.zip, to: /opt/extra }
      - { apk: files/other.apk, to: /opt/other }
      - { git: 'https://example.org/config.git', ref: v1.2, path: etc, to: /system/etc/config }
      - { inline: "127.0.0.1 localhost\\n", to: /system/etc/hosts }
      - { symlink: tool/bin/tool, to: /opt/run }
      - { folder: /system/spool, mode: '0755' }
    rules:
      - { match: '*.sh', mode: '0755' }
      - { match: /opt/tool, uid: 1000, gid: 1000, xattrs: { user.origin: tool } }
      - { match: [/opt/tool/doc, '*.pyc'], remove: true }
  vendor:
    mount: /vendor
    contents: [{ dir: vendor }]
`,
  },
  {
    title: 'Payload',
    keys: ['payload'],
    text: 'What runs: an APK, as on Android, that the guest verifies and mounts. `entry` names a library, `config` whatever a `vm_config.json` can.',
    example: `payload:
  package: dev.example.hello
  versionCode: 2
  versionName: '2.0'
  build:
    command: [make]
    inputs: [Makefile, src]
    outputs: [build/libhello.so]
  libraries: { x86_64: [build/libhello.so] }
  assets: assets
  files: [{ file: models/model.bin, to: res/raw/model.bin }]
  interfaces: [aidl/IHello.aidl]
  entry: libhello.so
`,
  },
  {
    title: 'Further payloads',
    keys: ['payloads'],
    text: 'Others that the same guest can run instead: `microbuild run out/hello --payload probe`. Each has the keys of `payload`, and its own `rpcPort`.',
    example: `payloads:
  probe:
    package: dev.example.probe
    versionCode: 1
    libraries: { x86_64: [libprobe.so] }
    entry: libprobe.so
    rpcPort: 5679
`,
  },
  {
    title: 'Signing and trust',
    keys: ['signing', 'trust'],
    text: 'Keys are files below the recipe, or references to key stores, tokens and helpers (docs/signing.md). A recipe without keys is signed with development keys.',
    example: `signing:
  image: { key: keys/image.pem, algorithm: SHA256_RSA4096, rollbackIndex: 1 }
  payload: { key: 'p12:keys/payload.p12', schemes: [v3, v4] }
`,
  },
  {
    title: 'The machine',
    keys: ['vm'],
    text: 'What the guest gets when it runs.',
    example: 'vm: { memory: 256MiB, cpus: 2, debug: none, rpcPort: 5678 }\n',
  },
];

/** docs/recipe.md: what a recipe can say, with something to copy for each part. */
export function recipeReference(): string {
  const whole = wholeRecipeSchema();
  const schema: JsonSchema = {
    ...whole,
    properties: { ...whole.properties, ...compositionJsonSchema().properties },
  };
  return [
    NOTE,
    '# The recipe',
    INTRODUCTION,
    ...SECTIONS.map((section) => sectionText(section, schema)),
    '',
  ].join('\n\n');
}

function sectionText({ title, keys, text, example }: ReferenceSection, schema: JsonSchema): string {
  const rows = keys.flatMap((key) => {
    const value = schema.properties?.[key];
    return value === undefined
      ? []
      : rowsOf(key, value, (schema.required ?? []).includes(key), schema);
  });
  return [
    `## ${title}`,
    text,
    `\`\`\`yaml\n${example}\`\`\``,
    ['| key | form | default | meaning |', '|---|---|---|---|', ...rows].join('\n'),
  ].join('\n\n');
}

/** Parts that another part is like, and that are written down there. */
const LIKE: Readonly<Record<string, string>> = {
  'partitions.NAME': 'system',
  'payloads.NAME': 'payload',
};

function rowsOf(path: string, value: JsonSchema, isRequired: boolean, top: JsonSchema): string[] {
  const row = [form(value), defaultOf(value, isRequired), cell(value.description ?? '')];
  const rows = [`| \`${path}\` | ${row.join(' | ')} |`];
  rows.push(...inside(path, value, isRequired, top));
  for (const option of value.anyOf ?? []) rows.push(...inside(path, option, false, top));
  return rows;
}

function inside(path: string, value: JsonSchema, isRequired: boolean, top: JsonSchema): string[] {
  const like = LIKE[path];
  const own = Object.entries(value.properties ?? {});
  const shown =
    like === undefined ? own : own.filter(([key]) => key === 'mount' || key === 'rpcPort');
  const rows = shown.flatMap(([key, each]) =>
    rowsOf(`${path}.${key}`, each, isRequired && (value.required ?? []).includes(key), top),
  );
  if (like !== undefined) return rows;
  if (isKnown(value.additionalProperties)) {
    rows.push(...rowsOf(`${path}.NAME`, value.additionalProperties, false, top));
  }
  const { items } = value;
  if (items === undefined) return rows;
  rows.push(...inside(`${path}[]`, items, false, top));
  for (const option of items.anyOf ?? []) {
    const [first = ''] = Object.keys(option.properties ?? {});
    if (first === '') continue;
    const about = cell(option.description ?? '');
    rows.push(`| \`${path}[]\` with \`${first}\` | mapping | | ${about} |`);
    rows.push(...inside(`${path}[]`, option, false, top).filter((each) => !isCommon(each, first)));
  }
  return rows;
}

const isKnown = (schema: JsonSchema | boolean | undefined): schema is JsonSchema =>
  typeof schema === 'object' && Object.keys(schema).length > 0;

/** Every source has these; they are written down with the first. */
const isCommon = (row: string, kind: string): boolean =>
  kind !== 'guest' && /^\| `partitions\.system\.contents\[\]\.(?:include|exclude|rules)/.test(row);

const cell = (text: string): string => text.replaceAll('|', '\\|');

function form(schema: JsonSchema): string {
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum !== undefined) {
    return schema.enum.map((each) => `\`${JSON.stringify(each)}\``).join(' or ');
  }
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(form))].join(' or ');
  if (schema.type === 'array') {
    return `list of ${schema.items === undefined ? 'values' : form(schema.items)}`;
  }
  const [example] = schema.examples ?? [];
  if (schema.type === 'string') {
    return example === undefined ? 'text' : `text, such as \`${JSON.stringify(example)}\``;
  }
  if (schema.type === 'object') return 'mapping';
  if (schema.type === 'null') return 'null';
  return [schema.type ?? 'value'].flat().join(' or ');
}

function defaultOf(schema: JsonSchema, required: boolean): string {
  if (schema.default !== undefined && schema.type !== 'object') {
    return `\`${JSON.stringify(schema.default)}\``;
  }
  return required ? 'required' : '';
}
