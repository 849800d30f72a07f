/** Our messages of the Remote Execution API, judged by protoc with a description that is written here from the API's field numbers. */

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { actionDigest, runAction } from '../../src/cache/action.ts';
import {
  actionMessage,
  actionResultMessage,
  commandMessage,
  directoryMessage,
  treeMessage,
} from '../../src/cache/remote-execution.ts';
import { listEntries } from '../../src/cache/prune.ts';
import { openCache } from '../../src/cache/store.ts';
import { runTool } from '../support/tools.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const PROTO = `
syntax = "proto3";
package v2;
message Digest { string hash = 1; int64 size_bytes = 2; }
message Platform { message Property { string name = 1; string value = 2; } repeated Property properties = 1; }
message Duration { int64 seconds = 1; int32 nanos = 2; }
message Action {
  Digest command_digest = 1; Digest input_root_digest = 2; Duration timeout = 6; bool do_not_cache = 7;
  bytes salt = 9; Platform platform = 10;
}
message Command {
  message EnvironmentVariable { string name = 1; string value = 2; }
  repeated string arguments = 1; repeated EnvironmentVariable environment_variables = 2;
  string working_directory = 6; repeated string output_paths = 7; repeated string output_node_properties = 8;
}
message FileNode { string name = 1; Digest digest = 2; bool is_executable = 4; }
message DirectoryNode { string name = 1; Digest digest = 2; }
message SymlinkNode { string name = 1; string target = 2; }
message Directory { repeated FileNode files = 1; repeated DirectoryNode directories = 2; repeated SymlinkNode symlinks = 3; }
message Tree { Directory root = 1; repeated Directory children = 2; }
message OutputFile { string path = 1; Digest digest = 2; bool is_executable = 4; bytes contents = 5; }
message OutputDirectory { string path = 1; Digest tree_digest = 3; bool is_topologically_sorted = 4; Digest root_directory_digest = 5; }
message OutputSymlink { string path = 1; string target = 2; }
message ExecutedActionMetadata { string worker = 1; }
message ActionResult {
  repeated OutputFile output_files = 2; repeated OutputDirectory output_directories = 3; int32 exit_code = 4;
  bytes stdout_raw = 5; Digest stdout_digest = 6; bytes stderr_raw = 7; Digest stderr_digest = 8;
  ExecutedActionMetadata execution_metadata = 9; repeated OutputSymlink output_file_symlinks = 10;
  repeated OutputSymlink output_directory_symlinks = 11; repeated OutputSymlink output_symlinks = 12;
}
`;

const PROTOC = 'protoc';
let folder: string;
beforeEach(() => {
  folder = tmpDir();
  writeFileSync(join(folder, 'v2.proto'), PROTO);
});

const protoc = (verb: string, name: string, input: string | Uint8Array): Buffer =>
  execFileSync(PROTOC, [`--${verb}=v2.${name}`, '-I', folder, join(folder, 'v2.proto')], {
    input,
  });

const hash = 'ab'.repeat(32);
const digest = { hash, sizeBytes: 5_000_000_000 };
const digestText = `{ hash: "${hash}" size_bytes: 5000000000 }`;

/** A message, a value with every field, and the same as protoc's text. */
const samples = {
  Action: {
    message: actionMessage,
    value: {
      commandDigest: digest,
      inputRootDigest: { hash: '', sizeBytes: -1 },
      doNotCache: true,
      salt: Uint8Array.from([0, 255]),
      platform: { properties: [{ name: 'OSFamily', value: 'linux' }] },
    },
    text: `command_digest ${digestText} input_root_digest { size_bytes: -1 } do_not_cache: true salt: "\\000\\377"
      platform { properties { name: "OSFamily" value: "linux" } }`,
  },
  Command: {
    message: commandMessage,
    value: {
      arguments: ['microbuild', 'kernel/4', '{"ä":1}', ''],
      environmentVariables: [{ name: 'TZ', value: 'UTC' }],
      workingDirectory: 'here',
      outputPaths: ['a', 'b/c'],
    },
    text: `arguments: "microbuild" arguments: "kernel/4" arguments: "{\\"ä\\":1}" arguments: ""
      environment_variables { name: "TZ" value: "UTC" } working_directory: "here" output_paths: "a" output_paths: "b/c"`,
  },
  Directory: {
    message: directoryMessage,
    value: {
      files: [{ name: 'f', digest, isExecutable: true }],
      directories: [{ name: 'd', digest }],
      symlinks: [{ name: 's', target: '../f' }],
    },
    text: `files { name: "f" digest ${digestText} is_executable: true } directories { name: "d" digest ${digestText} }
      symlinks { name: "s" target: "../f" }`,
  },
  Tree: {
    message: treeMessage,
    value: {
      root: { files: [], directories: [], symlinks: [] },
      children: [{ files: [], directories: [{ name: 'd', digest }], symlinks: [] }],
    },
    text: `root {} children { directories { name: "d" digest ${digestText} } }`,
  },
  ActionResult: {
    message: actionResultMessage,
    value: {
      outputFiles: [{ path: 'o', digest, isExecutable: true, contents: Uint8Array.from([65]) }],
      outputDirectories: [{ path: 'd', treeDigest: digest, isTopologicallySorted: true }],
      exitCode: -1,
      stdoutRaw: Uint8Array.from([1]),
      stdoutDigest: digest,
      stderrRaw: Uint8Array.from([2]),
      stderrDigest: digest,
      executionMetadata: { worker: 'microbuild' },
      outputFileSymlinks: [{ path: 'x', target: 'y' }],
      outputDirectorySymlinks: [{ path: 'x', target: 'y' }],
      outputSymlinks: [{ path: 'x', target: 'y' }],
    },
    text: `output_files { path: "o" digest ${digestText} is_executable: true contents: "A" }
      output_directories { path: "d" tree_digest ${digestText} is_topologically_sorted: true } exit_code: -1
      stdout_raw: "\\001" stdout_digest ${digestText} stderr_raw: "\\002" stderr_digest ${digestText}
      execution_metadata { worker: "microbuild" } output_file_symlinks { path: "x" target: "y" }
      output_directory_symlinks { path: "x" target: "y" } output_symlinks { path: "x" target: "y" }`,
  },
} as const;

test('protoc is there', () => {
  expect(runTool(PROTOC, ['--version']).stdout).toMatch(/^libprotoc /);
});

describe.each(Object.entries(samples))('%s', (name, { message, value, text }) => {
  test('has the bytes that protoc gives it', () => {
    const encoded = message.encode(value);
    expect(Buffer.from(encoded).toString('hex')).toBe(protoc('encode', name, text).toString('hex'));
  });

  test('is read from what protoc writes', () => {
    expect(message.decode(new Uint8Array(protoc('encode', name, text)))).toEqual(value);
  });
});

test('what a step leaves in the cache is read by protoc, and encodes to its own key again', async () => {
  const cache = await openCache(folder);
  const action = {
    mnemonic: 'demo/1',
    parameters: { b: [1, null], a: 'ü' },
    inputs: { 'src/x': { sha256: hash, size: 7 }, y: { sha256: hash, size: 0 } },
    outputs: ['out'],
    outputFolders: ['parts'],
  } as const;
  await runAction(cache, action, async (at) => {
    writeFileSync(join(at, 'out'), 'made');
    writeFileSync(join(at, 'parts/p'), 'part');
    return { value: { ok: true } };
  });
  const key = actionDigest(action);
  const entries = await listEntries(folder);
  const read = (kind: string, of: string): Buffer =>
    readFileSync(entries.find((entry) => entry.kind === kind && entry.key === of)?.path ?? '');

  const again = (name: string, bytes: Uint8Array): Buffer =>
    protoc('encode', name, protoc('decode', name, bytes));
  const stored = read('cas', key);
  expect(again('Action', stored)).toEqual(stored);
  const { commandDigest, inputRootDigest } = actionMessage.decode(new Uint8Array(stored));
  const command = read('cas', commandDigest?.hash ?? '');
  expect(again('Command', command)).toEqual(command);
  expect(protoc('decode', 'Command', command).toString()).toContain('arguments: "demo/1"');
  const root = read('cas', inputRootDigest?.hash ?? '');
  expect(again('Directory', root)).toEqual(root);
  const result = read('ac', key);
  expect(again('ActionResult', result)).toEqual(result);
  const tree = actionResultMessage.decode(new Uint8Array(result)).outputDirectories[0]?.treeDigest;
  const encodedTree = read('cas', tree?.hash ?? '');
  expect(again('Tree', encodedTree)).toEqual(encodedTree);
});
