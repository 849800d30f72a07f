/** CBOR item by item, and what it says in a DICE chain. */

import { toHex } from '../../core/digest.ts';
import type { DumpNode } from '../../core/dump.ts';
import { FormatError } from '../../core/errors.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { decodeChain, decodeHandover } from '../../dice/chain.ts';
import { field, partNode, type Parts } from './node.ts';

/** A chain has a certificate of a kilobyte for each stage. */
const MAX_SIZE = 1 << 20;
const MAX_DEPTH = 16;
const MAX_ITEMS = 20_000;

const MAJOR = ['unsigned', 'negative', 'bytes', 'text', 'array', 'map', 'tag', 'simple'] as const;

interface Position {
  readonly bytes: Uint8Array;
  at: number;
  items: number;
}

function headOf(from: Position): { major: number; argument: bigint } {
  const refuse = (code: 'truncated' | 'unsupported', why: string): FormatError =>
    new FormatError('cbor', code, `Cannot read CBOR: ${why}`, { offset: from.at });
  const initial = from.bytes[from.at];
  if (initial === undefined) throw refuse('truncated', 'an item is missing');
  const short = initial & 31;
  if (short > 27) throw refuse('unsupported', 'lengths that are not told are not used here');
  const size = short < 24 ? 0 : 2 ** (short - 24);
  if (from.at + 1 + size > from.bytes.length) throw refuse('truncated', 'an item is cut off');
  let argument = size === 0 ? BigInt(short) : 0n;
  for (let i = 1; i <= size; i += 1) {
    argument = (argument << 8n) | BigInt(from.bytes[from.at + i] ?? 0);
  }
  from.at += 1 + size;
  return { major: initial >> 5, argument };
}

/** Adds the item at the position, and what is in it. */
async function addItem(from: Position, name: string, parts: Parts, depth: number): Promise<void> {
  from.items += 1;
  if (depth > MAX_DEPTH || from.items > MAX_ITEMS) {
    throw new FormatError('cbor', 'too-large', 'Cannot read CBOR: it has too many items', {
      offset: from.at,
    });
  }
  const offset = from.at;
  const { major, argument } = headOf(from);
  const leaf = (value: string): void => {
    parts.fields.push(field(name, value, offset, from.at - offset));
  };
  if (major === 2 || major === 3) {
    const end = from.at + Number(argument);
    if (end > from.bytes.length) {
      throw new FormatError('cbor', 'truncated', `Cannot read CBOR: ${name} is cut off`, {
        offset,
      });
    }
    const value = from.bytes.subarray(from.at, end);
    from.at = end;
    leaf(major === 2 ? toHex(value) : Buffer.from(value).toString('utf8'));
    return;
  }
  if (major === 4 || major === 5) {
    const node = await partNode(
      { name: `${name} (${MAJOR[major]} of ${argument})`, offset },
      async (inner) => {
        for (let i = 0n; i < argument; i += 1n) {
          if (major === 4) await addItem(from, `[${i}]`, inner, depth + 1);
          else {
            const key: Parts = { fields: [], children: [] };
            await addItem(from, 'key', key, depth + 1);
            const [only] = key.fields;
            await addItem(from, String(only?.value ?? `key ${i}`), inner, depth + 1);
          }
        }
      },
    );
    parts.children.push({ ...node, size: from.at - offset });
    if (node.error !== undefined) {
      throw new FormatError('cbor', 'bad-value', node.error.message, {
        ...(node.error.offset !== undefined && { offset: node.error.offset }),
      });
    }
    return;
  }
  if (major === 6) {
    await addItem(from, `${name}, tag ${argument}`, parts, depth + 1);
    return;
  }
  if (major === 0) leaf(String(argument));
  else if (major === 1) leaf(String(-1n - argument));
  else leaf(['false', 'true', 'null'][Number(argument) - 20] ?? `simple ${argument}`);
}

/** A DICE handover or chain: every item, then what the certificates say. Secrets are left out. */
export async function dumpDice(source: ByteSource): Promise<DumpNode> {
  const bytes = await source.read(0, Math.min(source.size, MAX_SIZE));
  const isHandover = (bytes[0] ?? 0) >> 5 === 5;
  const items = await partNode({ name: 'CBOR', offset: 0 }, async (parts) => {
    const from: Position = { bytes, at: 0, items: 0 };
    await addItem(from, isHandover ? 'handover' : 'chain', parts, 0);
    if (from.at < source.size) {
      const size = source.size - from.at;
      parts.fields.push(field('trailing bytes', size, from.at, size));
    }
  });
  const meaning = await partNode({ name: 'DICE chain' }, (parts) => {
    const chain = isHandover ? decodeHandover(bytes).chain : bytes;
    if (chain === undefined) {
      parts.fields.push(field('chain', 'none'));
      return;
    }
    const { rootKey, certificates } = decodeChain(chain);
    parts.fields.push(field('root key', toHex(rootKey)));
    for (const [index, certificate] of certificates.entries()) {
      const fields = Object.entries(certificate).flatMap(([name, value]) => {
        if (value instanceof Uint8Array) return [field(name, toHex(value))];
        const plain = ['string', 'number', 'boolean'].includes(typeof value);
        return plain ? [field(name, value as string)] : [];
      });
      parts.children.push({ name: `certificate ${index}`, fields, children: [] });
    }
  });
  return {
    name: isHandover ? 'DICE handover' : 'DICE chain',
    fields: [field('size', source.size)],
    children: [isHandover ? hideSecrets(items) : items, meaning],
  };
}

/** The two CDIs of a handover: whoever sees them can be the guest. */
function hideSecrets(node: DumpNode): DumpNode {
  return {
    ...node,
    children: node.children.map((child) => ({
      ...child,
      fields: child.fields.map((each) =>
        each.name === '1' || each.name === '2' ? { ...each, value: 'secret, not shown' } : each,
      ),
    })),
  };
}
