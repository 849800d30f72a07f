/** A dump as an indented tree, and as JSON. */

import type { DumpNode } from '../../core/dump.ts';
import { printable, type Terminal } from '../terminal.ts';

/** Fields aligned below their part, offsets in hexadecimal at the right place. */
export function renderDump(node: DumpNode, terminal: Terminal, depth = 0): string {
  const indent = '  '.repeat(depth);
  const lines = [`${indent}${terminal.style('bold', printable(node.name))}`];
  const width = Math.min(34, Math.max(0, ...node.fields.map(({ name }) => name.length)));
  for (const { name, value, offset } of node.fields) {
    const place = offset === undefined ? '' : terminal.style('dim', `  @0x${offset.toString(16)}`);
    lines.push(`${indent}  ${printable(name).padEnd(width)}  ${printable(String(value))}${place}`);
  }
  for (const child of node.children) lines.push(renderDump(child, terminal, depth + 1));
  return lines.join('\n');
}
