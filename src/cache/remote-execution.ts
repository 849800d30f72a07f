/**
 * The messages of the Remote Execution API v2 that a cache is made of: what an action is, and what came of it.
 *
 * Names and numbers of the fields are those of `build/bazel/remote/execution/v2/remote_execution.proto`
 * (github.com/bazelbuild/remote-apis); fields that nothing here reads or writes are left out and passed over.
 */

import { sha256, toHex } from '../core/digest.ts';
import {
  bool,
  bytes,
  int32,
  int64,
  message,
  optional,
  repeated,
  string,
  strings,
  type MessageValue,
} from './protobuf.ts';

/** A blob: SHA-256 in lower-case hexadecimal and size in bytes. */
export const digestMessage = message('Digest', { hash: string(1), sizeBytes: int64(2) });

const property = message('Property', { name: string(1), value: string(2) });
export const platformMessage = message('Platform', { properties: repeated(1, property) });

const variable = message('EnvironmentVariable', { name: string(1), value: string(2) });
export const commandMessage = message('Command', {
  arguments: strings(1),
  environmentVariables: repeated(2, variable),
  workingDirectory: string(6),
  outputPaths: strings(7),
});

export const actionMessage = message('Action', {
  commandDigest: optional(1, digestMessage),
  inputRootDigest: optional(2, digestMessage),
  doNotCache: bool(7),
  salt: bytes(9),
  platform: optional(10, platformMessage),
});

const fileNode = message('FileNode', {
  name: string(1),
  digest: optional(2, digestMessage),
  isExecutable: bool(4),
});
const directoryNode = message('DirectoryNode', {
  name: string(1),
  digest: optional(2, digestMessage),
});
const symlinkNode = message('SymlinkNode', { name: string(1), target: string(2) });
export const directoryMessage = message('Directory', {
  files: repeated(1, fileNode),
  directories: repeated(2, directoryNode),
  symlinks: repeated(3, symlinkNode),
});
/** A folder with all that are below it. */
export const treeMessage = message('Tree', {
  root: optional(1, directoryMessage),
  children: repeated(2, directoryMessage),
});

const outputFile = message('OutputFile', {
  path: string(1),
  digest: optional(2, digestMessage),
  isExecutable: bool(4),
  contents: bytes(5),
});
const outputDirectory = message('OutputDirectory', {
  path: string(1),
  treeDigest: optional(3, digestMessage),
  isTopologicallySorted: bool(4),
});
const outputSymlink = message('OutputSymlink', { path: string(1), target: string(2) });
const executedActionMetadata = message('ExecutedActionMetadata', { worker: string(1) });
export const actionResultMessage = message('ActionResult', {
  outputFiles: repeated(2, outputFile),
  outputDirectories: repeated(3, outputDirectory),
  exitCode: int32(4),
  stdoutRaw: bytes(5),
  stdoutDigest: optional(6, digestMessage),
  stderrRaw: bytes(7),
  stderrDigest: optional(8, digestMessage),
  executionMetadata: optional(9, executedActionMetadata),
  outputFileSymlinks: repeated(10, outputSymlink),
  outputDirectorySymlinks: repeated(11, outputSymlink),
  outputSymlinks: repeated(12, outputSymlink),
});

export type Digest = MessageValue<typeof digestMessage>;
export type ActionResult = MessageValue<typeof actionResultMessage>;
export type DirectoryValue = MessageValue<typeof directoryMessage>;

/** The digest of bytes, such as an encoded message. */
export const digestOfBytes = (encoded: Uint8Array): Digest => ({
  hash: toHex(sha256(encoded)),
  sizeBytes: encoded.length,
});

/** Whether this can name a blob: it becomes part of a path, and a size that is allocated. */
export const isDigest = (digest: Digest | undefined): digest is Digest =>
  digest !== undefined &&
  /^[0-9a-f]{64}$/.test(digest.hash) &&
  Number.isSafeInteger(digest.sizeBytes) &&
  digest.sizeBytes >= 0;

/** The order that the API wants of names: by their UTF-8 bytes. */
export const byBytes = (a: string, b: string): number =>
  Buffer.compare(Buffer.from(a), Buffer.from(b));
