import { fecMatrix } from '../../verity/fec/matrix.ts';
import { wrongRounds } from '../../verity/fec/parity.ts';
import { verifyHashTree } from '../../verity/verify-hash-tree.ts';
import { UsageError } from '../../core/errors.ts';
import { verifyRootHash } from '../../signing/root-hash.ts';
import type {
  CommandArguments,
  CommandContext,
  CommandDefinition,
  CommandResult,
} from '../command.ts';
import { engineOption, openEngine, type Engine } from '../engine.ts';
import { EXIT } from '../exit-code.ts';
import { hashPart, imagePositionals, openVerityImage, type VerityImage } from './verity-image.ts';
import {
  certificateId,
  readSignature,
  trustedCertificates,
  trustOption,
} from './trusted-certificates.ts';
import {
  SHOWN_PARITY,
  fecOptions,
  lastText,
  step,
  textOption,
  treeOptions,
} from './verity-options.ts';
import { ownersOf, reportJson, reportText } from './verity-report.ts';

export const verifyVerityCommand: CommandDefinition = {
  name: 'verify',
  summary: 'Check every block against the root digest; names the corrupt ones and their files',
  positionals: imagePositionals,
  options: {
    ...treeOptions,
    ...fecOptions,
    'root-hash-signature': textOption('Signature of the root digest, verified with --trust'),
    trust: trustOption,
    engine: engineOption,
  },
  examples: [
    ['verity verify system.img system.hash 9f86d0…', 'exit code 3 when a block is corrupt'],
    ['verity verify system.img --hash-offset 1048576 --root-hash-file root', 'all in one file'],
    ['verity verify data hash --root-hash-file root --fec-device fec', 'the parity too'],
    [
      'verity verify data hash --root-hash-file root --root-hash-signature root.p7s --trust release.crt',
      'and who signed it',
    ],
  ],
  verifying: true,
  async run(args, context) {
    const image = await openVerityImage(args);
    const engine = await openEngine(lastText(args, 'engine'));
    try {
      const signer = await verifySignature(args, image.rootDigest);
      const result =
        engine.name === 'system'
          ? await verifyBySystem(image)
          : await verify(context, image, engine);
      return signer === undefined ? result : withSigner(context, result, signer);
    } finally {
      await engine.close();
      await image.close();
    }
  },
};

/** Who signed the root digest, or undefined when nobody has to. */
async function verifySignature(
  args: CommandArguments,
  rootDigest: Uint8Array,
): Promise<string | undefined> {
  const path = lastText(args, 'root-hash-signature');
  if (path === undefined) {
    if (args.list('trust').length === 0) return undefined;
    throw new UsageError('usage', 'Cannot verify who signed: there is no --root-hash-signature');
  }
  const trusted = await trustedCertificates(args, path);
  return certificateId(verifyRootHash(rootDigest, await readSignature(path), trusted));
}

function withSigner(
  { terminal }: CommandContext,
  result: CommandResult,
  signer: string,
): CommandResult {
  const text = `${terminal.style('green', 'ok')}      the root digest is signed by ${signer}`;
  return {
    ...result,
    text: `${text}\n${result.text}`,
    json: { ...(result.json as object), rootHashSigner: signer },
  };
}

async function verify(
  context: CommandContext,
  image: VerityImage,
  { hasher, fecEncoder, name }: Engine,
): ReturnType<CommandDefinition['run']> {
  const { data, hashFile, treeOffset, layout, parameters, rootDigest } = image;
  const { signal, terminal } = context;
  const tree = hashPart(hashFile, treeOffset, treeOffset + layout.treeSize);
  const report = await step(context, `Verify ${image.dataPath}`, data.size, (onProgress) =>
    verifyHashTree(data, tree, { ...parameters, rootDigest, hasher, signal, onProgress }),
  );
  const owners = await ownersOf(image, report, signal);
  const parity = await checkParity(context, image, fecEncoder);
  const isOk = report.intact && report.strayBytes.length === 0 && parity?.wrongRounds !== true;
  const text = [reportText(image, report, owners, terminal)];
  if (parity !== undefined) {
    text.push(
      parity.wrongRounds
        ? `${terminal.style(['red', 'bold'], 'BROKEN')}  parity and data disagree in ${parity.count} of ${parity.rounds} rounds${report.intact ? ': the parity is wrong' : ''}`
        : `${terminal.style('green', 'ok')}      the parity is that of data and tree`,
    );
    if (!report.intact) text.push('help: microbuild verity repair takes the same arguments');
  }
  return {
    text: text.join('\n'),
    json: {
      ...reportJson(image, report, owners),
      ...(parity === undefined
        ? {}
        : { parity: { intact: !parity.wrongRounds, wrongRounds: parity.count } }),
      engine: name,
    },
    exitCode: isOk ? EXIT.ok : EXIT.verification,
  };
}

async function checkParity(
  context: CommandContext,
  { fec, data, dataPath }: VerityImage,
  encoder: Engine['fecEncoder'],
): Promise<{ wrongRounds: boolean; count: number; rounds: number } | undefined> {
  if (fec === undefined) return undefined;
  const { signal } = context;
  const { layout, hashArea, parity } = fec;
  const matrix = fecMatrix([data, hashArea], layout);
  const title = `Check the parity of ${dataPath}`;
  const count = await step(
    context,
    title,
    layout.coveredSize,
    async (onProgress) => {
      let wrong = 0;
      for await (const _ of wrongRounds(matrix, parity, { encoder, signal, onProgress }))
        wrong += 1;
      return wrong;
    },
    SHOWN_PARITY,
  );
  return { wrongRounds: count > 0, count, rounds: layout.rounds };
}

/** libcryptsetup says that something is wrong, not what. */
async function verifyBySystem(image: VerityImage): ReturnType<CommandDefinition['run']> {
  const { dataPath, hashPath, hashOffset, rootDigest, parameters, hasSuperblock, fec } = image;
  const { verifyWithLibcryptsetup } = await import('../../native/libcryptsetup.ts');
  const { messages } = await verifyWithLibcryptsetup({
    dataPath,
    hashPath,
    hashOffset,
    rootDigest,
    tree: hasSuperblock ? undefined : parameters,
    fec: fec && { path: fec.path, roots: fec.layout.roots, offset: fec.offset },
  });
  return {
    text: [
      `ok      ${parameters.dataBlocks} data blocks are what the root digest stands for`,
      ...messages.map((each) => `  ${each}`),
    ].join('\n'),
    json: { intact: true, dataBlocks: parameters.dataBlocks, messages, engine: 'system' },
  };
}
