/** JSON value by value; of envelopes also what they hold. */

import type { DumpField, DumpNode } from '../../core/dump.ts';
import { FormatError } from '../../core/errors.ts';
import { decodeEnvelope } from '../../formats/dsse/envelope.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { field } from './node.ts';

const MAX_SIZE = 64 << 20;
const MAX_DEPTH = 100;
const MAX_TEXT = 2000;

export function valueNode(name: string, value: unknown, depth = 0): DumpNode {
  const fields: DumpField[] = [];
  const children: DumpNode[] = [];
  const entries =
    typeof value === 'object' && value !== null ? Object.entries(value) : [['', value]];
  const isList = Array.isArray(value);
  for (const [key, each] of entries as [string, unknown][]) {
    const label = isList ? `[${key}]` : key || 'value';
    if (typeof each === 'object' && each !== null && depth < MAX_DEPTH) {
      children.push(valueNode(label, each, depth + 1));
      continue;
    }
    const text = typeof each === 'string' ? each : JSON.stringify(each);
    const shown = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}… (${text.length})` : text;
    fields.push(field(label, typeof each === 'number' || typeof each === 'boolean' ? each : shown));
  }
  return { name, fields, children };
}

function parse(bytes: Uint8Array, name: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : '';
    throw new FormatError('json', 'bad-value', `Cannot read ${name}: it is not JSON: ${why}`, {
      cause,
    });
  }
}

async function wholeOf(source: ByteSource): Promise<Uint8Array> {
  if (source.size > MAX_SIZE) {
    throw new FormatError('json', 'too-large', `Cannot read ${source.name}: ${source.size} bytes`);
  }
  return source.read(0, source.size);
}

export async function dumpJson(source: ByteSource): Promise<DumpNode> {
  return valueNode('JSON', parse(await wholeOf(source), source.name));
}

/** What an envelope holds, where that is JSON, as statements are. */
export async function dumpStatement(source: ByteSource): Promise<readonly DumpNode[]> {
  const { payload, payloadType } = decodeEnvelope(await wholeOf(source));
  if (!payloadType.includes('json')) return [];
  try {
    return [valueNode('payload', parse(payload, source.name))];
  } catch (error) {
    if (error instanceof FormatError) return [];
    throw error;
  }
}
