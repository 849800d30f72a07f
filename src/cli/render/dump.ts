/** A dump as an indented tree, and as JSON. */

import type { DumpNode } from '../../core/dump.ts';
import { printable, type Terminal } from '../terminal.ts';

/** Fields aligned below their part, offsets in hexadecimal at the right place. */
export function renderDump(node: DumpNode, terminal: Terminal, depth = 0): string {
  const indent = '  '.repeat(depth);
  const at = placeOf(node.offset, node.size);
  const lines = [
    `${indent}${terminal.style('bold', printable(node.name))}${terminal.style('dim', at)}`,
  ];
  const width = Math.min(34, Math.max(0, ...node.fields.map(({ name }) => name.length)));
  for (const { name, value, offset, size } of node.fields) {
    const place = terminal.style('dim', placeOf(offset, size));
    lines.push(`${indent}  ${printable(name).padEnd(width)}  ${printable(String(value))}${place}`);
  }
  if (node.error !== undefined) {
    const { code, message } = node.error;
    lines.push(`${indent}  ${terminal.style('red', `damaged (${code}):`)} ${printable(message)}`);
  }
  for (const child of node.children) lines.push(renderDump(child, terminal, depth + 1));
  return lines.join('\n');
}

/** Offset in hexadecimal, then how many bytes. */
function placeOf(offset: number | undefined, size: number | undefined): string {
  const at = offset === undefined ? '' : `  @0x${offset.toString(16)}`;
  return size === undefined ? at : `${at} +${size}`;
}
