/** Entries of the cache: messages of the Remote Execution API, which have no magic number. */

import { basename, dirname } from 'node:path';
import type { MessagePlaces, Message } from '../../cache/protobuf.ts';
import {
  actionMessage,
  actionResultMessage,
  commandMessage,
  directoryMessage,
  isDigest,
  treeMessage,
} from '../../cache/remote-execution.ts';
import type { DumpField, DumpNode } from '../../core/dump.ts';
import { FormatError } from '../../core/errors.ts';

/** Messages are small; contents of files are not. In bytes. */
export const MAX_MESSAGE_SIZE: number = 16 << 20;

const MESSAGES = {
  action: actionMessage,
  'action-result': actionResultMessage,
  command: commandMessage,
  directory: directoryMessage,
  tree: treeMessage,
} as const satisfies Readonly<Record<string, Pick<Message<unknown>, 'name' | 'places'>>>;

export type MessageKind = keyof typeof MESSAGES;
export const messageKinds = Object.keys(MESSAGES) as MessageKind[];

/** The folder of the store that a file is in, if its name is a digest: `ac` or `cas`. */
function storeOf(path: string): string | undefined {
  const hash = basename(path);
  const shard = dirname(path);
  return /^[0-9a-f]{64}$/.test(hash) && basename(shard) === hash.slice(0, 2)
    ? basename(dirname(shard))
    : undefined;
}

/** Which message a file of the cache holds; undefined when it is none, as contents of files are. */
export function messageKind(path: string, bytes: Uint8Array): MessageKind | undefined {
  const store = storeOf(path);
  if (store === 'ac') return 'action-result';
  if (store !== 'cas' || bytes.length === 0) return undefined;
  // What is hashed is canonical: it comes out again byte for byte.
  const isCanonical = <T>(message: Message<T>, fits: (value: T) => boolean): boolean => {
    try {
      const value = message.decode(bytes);
      return fits(value) && Buffer.from(message.encode(value)).equals(bytes);
    } catch (error) {
      if (error instanceof FormatError) return false;
      throw error;
    }
  };
  if (isCanonical(actionMessage, (value) => isDigest(value.commandDigest))) return 'action';
  const areDigests = (nodes: readonly { readonly digest?: unknown }[]): boolean =>
    nodes.every(({ digest }) => isDigest(digest as Parameters<typeof isDigest>[0]));
  if (
    isCanonical(
      directoryMessage,
      ({ files, directories }) => areDigests(files) && areDigests(directories),
    )
  ) {
    return 'directory';
  }
  if (isCanonical(treeMessage, ({ root }) => root !== undefined)) return 'tree';
  const isCommand = isCanonical(commandMessage, (value) => value.arguments.length > 0);
  return isCommand ? 'command' : undefined;
}

/** A message field by field, with their places. */
export const dumpMessage = (kind: MessageKind, bytes: Uint8Array): DumpNode => ({
  ...nodeOf(MESSAGES[kind].places(bytes), MESSAGES[kind].name),
  offset: 0,
  size: bytes.length,
});

function nodeOf({ fields, error }: MessagePlaces, name: string): DumpNode {
  const shown: DumpField[] = [];
  const children: DumpNode[] = [];
  for (const { name: known, number, offset, size, value, inner } of fields) {
    const label = known ?? `field ${number}, unknown`;
    if (inner !== undefined) children.push({ ...nodeOf(inner, label), offset, size });
    else shown.push({ name: label, value: shownValue(value), offset, size });
  }
  return {
    name,
    fields: shown,
    children,
    ...(error !== undefined && { error: { code: error.code, message: error.message } }),
  };
}

function shownValue(value: unknown): DumpField['value'] {
  if (value instanceof Uint8Array) {
    const text = Buffer.from(value).toString('utf8');
    const isText = Buffer.from(text).equals(value) && !text.includes('\0');
    return isText ? text : `0x${Buffer.from(value).toString('hex')}`;
  }
  return ['number', 'boolean', 'string'].includes(typeof value)
    ? (value as DumpField['value'])
    : '';
}
