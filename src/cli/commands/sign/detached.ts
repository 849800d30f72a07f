/**
 * `microbuild sign extract|replace|compare`: signatures apart from what they are over. Whoever rebuilds a
 * release gets its very bytes by putting its signature onto the build.
 */

import { readFile } from 'node:fs/promises';
import { UsageError } from '../../../core/errors.ts';
import { AVB_FOOTER_SIZE, hasFooter } from '../../../formats/avb/footer.ts';
import { isSparse } from '../../../formats/sparse/reader.ts';
import { writeFileAtomic } from '../../../io/atomic-output.ts';
import { openFileSource } from '../../../io/byte-source.ts';
import { createFileSink } from '../../../io/image-sink.ts';
import { replaceFiles } from '../../../io/replace-files.ts';
import { compareApks } from '../../../signing/detached/apk-compare.ts';
import {
  DETACHED_APK_START,
  formatDetachedApk,
  MAX_DETACHED_SIZE,
  parseDetachedApk,
} from '../../../signing/detached/apk-file.ts';
import { isSigned, splitApk, type ApkPieces } from '../../../signing/detached/apk-pieces.ts';
import { putApkTogether } from '../../../signing/detached/apk-replace.ts';
import type { Comparison, ContentDifference } from '../../../signing/detached/difference.ts';
import {
  compareImages,
  putVbmeta,
  readDetachedVbmeta,
  requireSignedVbmeta,
} from '../../../signing/detached/vbmeta.ts';
import type { CommandDefinition } from '../../command.ts';
import { EXIT } from '../../exit-code.ts';
import { required, requiredText, textOption } from '../avb/options.ts';
import { expectOutputs } from '../output-files.ts';
import { copyImage } from './image.ts';

type Kind = 'apk' | 'apk-signature' | 'image';

/** What a file is, by its bytes. */
async function kindOf(path: string): Promise<Kind> {
  const source = await openFileSource(path);
  try {
    const read = async (from: number, length: number): Promise<Buffer> =>
      Buffer.from(await source.read(Math.max(0, from), Math.min(length, source.size)));
    const head = (await read(0, DETACHED_APK_START.length)).toString('latin1');
    const tail = await read(source.size - AVB_FOOTER_SIZE, AVB_FOOTER_SIZE);
    if (head.startsWith('AVB0') || hasFooter(tail) || (await isSparse(source))) return 'image';
    if (head.startsWith('PK\x03\x04')) return 'apk';
    if (head === DETACHED_APK_START) return 'apk-signature';
  } finally {
    await source.close();
  }
  throw new UsageError('input', `Cannot use ${path}: its format is not known`, {
    hint: 'Known are APKs, their signatures, vbmeta images and images with an AVB footer. Signatures of fs-verity, root hashes, DSSE and .idsig files are apart from what they sign already',
  });
}

async function readApk(path: string, kind: Kind, signal: AbortSignal): Promise<ApkPieces> {
  const source = await openFileSource(path);
  try {
    if (kind === 'apk') return await splitApk(source, signal);
    if (source.size > MAX_DETACHED_SIZE) {
      throw new UsageError('input', `Cannot use ${path}: it is too large for a signature`);
    }
    return parseDetachedApk(await readFile(path, 'utf8'), path);
  } finally {
    await source.close();
  }
}

const unsigned = (path: string): UsageError =>
  new UsageError('input', `Cannot use ${path}: it has no signature`);

export const extractSignatureCommand: CommandDefinition = {
  name: 'extract',
  summary: 'Take the signature out of an APK or image, into a file of its own',
  positionals: {
    target: {
      type: 'string',
      required: true,
      describe: 'Signed APK, vbmeta image, or image with AVB footer',
    },
  },
  options: {
    output: textOption('File of the signature', { alias: 'o', ...required }),
  },
  examples: [
    ['sign extract app.apk -o app.signature', 'all schemes, and where everything stands'],
    ['sign extract boot.img -o boot.vbmeta', 'the vbmeta, as a vbmeta image'],
  ],
  async run(args, { signal }) {
    const path = args.text('target');
    const output = requiredText(args, 'output');
    await expectOutputs([['--output', output]], [path]);
    const kind = await kindOf(path);
    if (kind === 'image') {
      const detached = await readDetachedVbmeta(path);
      requireSignedVbmeta(detached, path);
      await writeFileAtomic(output, detached.bytes);
      const { algorithm } = detached.vbmeta;
      return {
        text: `${output}: vbmeta of ${detached.bytes.length} bytes, signed with ${algorithm}`,
        json: { kind, output, algorithm, size: detached.bytes.length },
      };
    }
    if (kind === 'apk-signature') {
      throw new UsageError('input', `Cannot take a signature out of ${path}: it is one already`);
    }
    const pieces = await readApk(path, kind, signal);
    if (!isSigned(pieces)) throw unsigned(path);
    await writeFileAtomic(output, formatDetachedApk(pieces));
    const files = pieces.pieces.flatMap((each) =>
      each.kind === 'signature-file' ? [each.name] : [],
    );
    const block = pieces.pieces.find((each) => each.kind === 'signing-block');
    const parts = [
      ...files,
      ...(block === undefined ? [] : [`APK Signing Block of ${block.bytes.length} bytes`]),
    ];
    return {
      text: `${output}: ${parts.join(', ')}`,
      json: {
        kind,
        output,
        files,
        signingBlockSize: block?.bytes.length ?? null,
        sha256: pieces.sha256,
      },
    };
  },
};

export const replaceSignatureCommand: CommandDefinition = {
  name: 'replace',
  summary: 'Put a signature from elsewhere onto the same content: the signed file, byte for byte',
  positionals: {
    target: {
      type: 'string',
      required: true,
      describe: 'APK, signed by anybody or not at all; or image with a vbmeta',
    },
    signature: {
      type: 'string',
      required: true,
      describe: 'File of the signature, or what carries it',
    },
  },
  options: {
    output: textOption('The signed file', { alias: 'o', ...required }),
  },
  examples: [
    ['sign replace rebuilt.apk app.signature -o app.apk', 'the release, from a build of one’s own'],
    ['sign replace boot.img boot.vbmeta -o signed.img', 'an image with another vbmeta'],
  ],
  async run(args, { signal }) {
    const [path, signature] = [args.text('target'), args.text('signature')];
    const output = requiredText(args, 'output');
    await expectOutputs([['--output', output]], [path, signature]);
    const [kind, from] = [await kindOf(path), await kindOf(signature)];
    if (kind === 'image' && from === 'image') {
      const detached = await readDetachedVbmeta(signature);
      requireSignedVbmeta(detached, signature);
      await replaceFiles([output], async ([temporary = '']) => {
        await copyImage(path, temporary, signal);
        await putVbmeta(temporary, detached, signal);
      });
      const { algorithm } = detached.vbmeta;
      return {
        text: `${output}: signed with ${algorithm}, as ${signature} is`,
        json: { kind, output, algorithm },
      };
    }
    if (kind !== 'apk' || from === 'image') throw differentKinds(path, signature);
    const pieces = await readApk(signature, from, signal);
    if (!isSigned(pieces)) throw unsigned(signature);
    const source = await openFileSource(path);
    try {
      await replaceFiles([output], async ([temporary = '']) => {
        const sink = await createFileSink(temporary);
        try {
          await putApkTogether(pieces, source, sink, signal);
        } finally {
          await sink.close();
        }
      });
    } finally {
      await source.close();
    }
    return {
      text: `${output}: the APK that was signed, byte for byte (sha256 ${pieces.sha256})`,
      json: { kind, output, size: pieces.size, sha256: pieces.sha256 },
    };
  },
};

const differentKinds = (a: string, b: string): UsageError =>
  new UsageError('usage', `Cannot use ${a} with ${b}: they are of different kinds`);

export const compareSignaturesCommand: CommandDefinition = {
  name: 'compare',
  summary: 'Compare two APKs or images apart from their signatures, and the signatures',
  positionals: {
    a: { type: 'string', required: true, describe: 'APK, file of its signature, or image' },
    b: { type: 'string', required: true, describe: 'Another one' },
  },
  options: {},
  examples: [
    ['sign compare app.apk rebuilt.apk', 'exit code 0 when a rebuild is what was signed, else 1'],
    ['sign compare app.signature rebuilt.apk --json', 'the same, without the release at hand'],
  ],
  async run(args, { signal }) {
    const [a, b] = [args.text('a'), args.text('b')];
    const [kindA, kindB] = [await kindOf(a), await kindOf(b)];
    if ((kindA === 'image') !== (kindB === 'image')) throw differentKinds(a, b);
    const { differences, signatureDifferences }: Comparison =
      kindA === 'image'
        ? await compareImages(a, b)
        : compareApks(await readApk(a, kindA, signal), await readApk(b, kindB, signal));
    const sameContent = differences.length === 0;
    const sameSignature = signatureDifferences.length === 0;
    const lines = (list: readonly ContentDifference[]): string[] =>
      list.map(({ path, what }) => `  ${path}: ${what}`);
    return {
      text: [
        `content: ${sameContent ? 'the same' : 'different'}`,
        ...lines(differences),
        `signature: ${sameSignature ? 'the same' : 'different'}`,
        ...lines(signatureDifferences),
      ].join('\n'),
      json: { sameContent, sameSignature, differences, signatureDifferences },
      exitCode: sameContent ? EXIT.ok : EXIT.failed,
    };
  },
};
