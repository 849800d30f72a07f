/** `microbuild verify`: tells what it is pointed at by its bytes, and has that kind verified. */

import type { Options } from 'yargs';
import type { CommandDefinition } from '../command.ts';
import { detectKind, hasText, refuseForeignOptions, type VerifyKind } from './verify/target.ts';

const APK_OPTIONS = [
  'trust',
  'min-sdk-version',
  'max-sdk-version',
  'print-certs',
  'strict',
  'verify-source-stamp',
  'stamp-cert-digest',
  'warnings-as-errors',
];

/** In the order in which files are tried. */
const kinds = {
  bundle: {
    title: 'a bundle',
    options: ['trust', 'minimum-rollback-index', 'require', 'builder-id'],
    matches: ({ head }) => hasText(head, 'ustar\u0000', 257),
    load: async () => (await import('./verify/bundle.ts')).verifyBundleTarget,
  },
  image: {
    title: 'a vbmeta image or an image with AVB footer',
    options: ['trust', 'minimum-rollback-index'],
    // The footer says more than what an image starts with.
    matches: ({ head, tail }) => hasText(head, 'AVB0') || hasText(tail, 'AVBf', -64),
    load: async () => (await import('./verify/image.ts')).verifyImageTarget,
  },
  apk: {
    title: 'an APK',
    options: [...APK_OPTIONS, 'idsig'],
    // What starts as something else may end as an archive: that is for the verifier to judge.
    matches: ({ head, tail }) =>
      hasText(head, 'PK\u0003\u0004') || hasText(tail, 'PK\u0005\u0006', -22),
    load: async () => (await import('./verify/apk.ts')).verifyApkTarget,
  },
  idsig: {
    title: 'an idsig',
    options: [...APK_OPTIONS, 'apk'],
    matches: ({ head }) => hasText(head, '\u0002\u0000\u0000\u0000'),
    load: async () => (await import('./verify/idsig.ts')).verifyIdsigTarget,
  },
  dsse: {
    title: 'a DSSE envelope',
    options: ['trust', 'threshold', 'payload-type'],
    matches: ({ head }) =>
      /^\s*\{\s*"(?:payload|payloadType|signatures)"/.test(Buffer.from(head).toString('latin1')),
    load: async () => (await import('./verify/dsse.ts')).verifyDsseTarget,
  },
  pkcs7: {
    title: 'a PKCS #7 signature of a root hash or file',
    options: ['trust', 'root-hash', 'file', 'hash-alg', 'block-size', 'salt'],
    // A SEQUENCE with the object identifier of signedData at its start.
    matches: ({ head }) => {
      const signedData = Buffer.from('06092a864886f70d010702', 'hex');
      const at = Buffer.from(head.subarray(0, 20)).indexOf(signedData);
      return head[0] === 0x30 && at >= 2 && at <= 6;
    },
    load: async () => (await import('./verify/pkcs7.ts')).verifyPkcs7Target,
  },
} as const satisfies Readonly<Record<string, VerifyKind>>;

const kindNames = Object.keys(kinds) as (keyof typeof kinds)[];

const options = {
  as: {
    type: 'string',
    choices: kindNames,
    describe: 'Take the target as this kind, whatever its bytes say',
  },
  trust: {
    type: 'string',
    array: true,
    nargs: 1,
    describe:
      'Who must have signed; may be given several times. APKs: SHA-256 or SHA-512 of a certificate (hexadecimal, with or without colons or sha256: in front), or a file with certificates or public keys; default: anybody. Bundles and images: AVB public key (AVB encoding, PEM, DER or certificate), or a digest of it; default: this workspace’s development key. A bundle’s attestations may be signed by the same key, or any other that is named. DSSE: public keys or certificates, also by default this workspace’s development key. PKCS #7: certificates',
  },
  'minimum-rollback-index': {
    type: 'number',
    requiresArg: true,
    describe: 'Bundles and images: refuse a lower rollback index',
  },
  require: {
    type: 'string',
    requiresArg: true,
    describe: 'Bundles: attestations that must be there, comma-separated: sbom, provenance',
  },
  'builder-id': {
    type: 'string',
    requiresArg: true,
    describe: 'Bundles: URI of who must have built it, as its provenance says',
  },
  threshold: {
    type: 'number',
    requiresArg: true,
    describe: 'DSSE: how many of the trusted keys must have signed; default: one',
  },
  'payload-type': {
    type: 'string',
    requiresArg: true,
    describe: 'DSSE: the only type of payload that is taken; default: any',
  },
  'root-hash': {
    type: 'string',
    requiresArg: true,
    describe:
      'PKCS #7: the dm-verity root hash that it must be over: in hexadecimal, or a file (its digits, a hash area with superblock, a vbmeta image)',
  },
  file: {
    type: 'string',
    requiresArg: true,
    describe:
      'PKCS #7: the file whose fs-verity digest it must be over; default: the name without .fsverity-sig',
  },
  'hash-alg': {
    type: 'string',
    requiresArg: true,
    describe: 'PKCS #7 of a file: its hash algorithm, sha256 (default) or sha512',
  },
  'block-size': {
    type: 'string',
    requiresArg: true,
    describe: 'PKCS #7 of a file: bytes a block; default 4096',
  },
  salt: { type: 'string', requiresArg: true, describe: 'PKCS #7 of a file: in hexadecimal' },
  'min-sdk-version': {
    type: 'number',
    requiresArg: true,
    describe:
      'APKs: oldest Android release that must accept it; default: what its manifest asks for',
  },
  'max-sdk-version': {
    type: 'number',
    requiresArg: true,
    describe: 'APKs: newest Android release that must accept it; default: all',
  },
  'print-certs': { type: 'boolean', describe: 'APKs: show all of each certificate' },
  idsig: {
    type: 'string',
    alias: 'v4-signature-file',
    requiresArg: true,
    describe: 'APKs: its signature of scheme v4, to be verified with it',
  },
  apk: {
    type: 'string',
    requiresArg: true,
    describe: 'Idsigs: the APK; default: the file of the same name without .idsig',
  },
  strict: {
    type: 'boolean',
    describe:
      'APKs: also refuse archives that readers could read differently, and signing blocks that hold more than known signatures, as payloads in bundles are always judged',
  },
  'verify-source-stamp': {
    type: 'boolean',
    describe: 'APKs: there must be a source stamp, and it must hold',
  },
  'stamp-cert-digest': {
    type: 'string',
    requiresArg: true,
    describe: 'APKs: SHA-256 of the certificate that must have stamped it',
  },
  'warnings-as-errors': { type: 'boolean', alias: 'W', describe: 'APKs: refuse also for warnings' },
} as const satisfies Record<string, Options>;

export const verifyCommand: CommandDefinition = {
  name: 'verify',
  summary: 'Check every signature and digest of something that is signed, and whose it is',
  positionals: {
    target: { type: 'string', describe: 'Bundle folder or file; what it is, its bytes tell' },
  },
  options,
  examples: [
    ['verify out/hello', 'against this workspace’s development key'],
    ['verify out/hello --trust release.avbpubkey', 'against a release key'],
    ['verify hello.mbundle --trust release.avbpubkey', 'a bundle in one file'],
    ['verify out/hello --require sbom,provenance', 'with what is attested of it'],
    ['verify manifest.dsse.json --trust release.pub', 'who signed a manifest'],
    ['verify root.p7s --root-hash 9f86d0… --trust release.crt', 'what veritysetup would pass on'],
    ['verify app.so.fsverity-sig --trust release.crt', 'a file that was signed for fs-verity'],
    ['verify out/hello --json', 'for a pipeline; exit code 3 when a link is broken'],
    ['verify app.apk --trust sha256:4f2a…', 'an APK, which this certificate must have signed'],
    ['verify app.apk --idsig app.apk.idsig --strict', 'as a payload, with its v4 signature'],
    ['verify app.apk --min-sdk-version 24 --print-certs', 'as apksigner verify does'],
  ],
  verifying: true,
  title: (args) => `Verify ${args.text('target')}`,
  async run(args, context) {
    const path = args.text('target');
    const named = args.optionalText('as') as keyof typeof kinds | undefined;
    const name = named ?? (await detectKind(path, kinds, 'bundle'));
    refuseForeignOptions(args, kinds[name], options);
    const verify = await kinds[name].load();
    return verify(path, args, context);
  },
};
