/** The chain of trust as a list of links. */

import type { ChainLink } from '../../bundle/verify.ts';
import { printable, type Terminal } from '../terminal.ts';

/** One line a link; the broken one, if any, comes last. */
export function renderChain(
  links: readonly ChainLink[],
  terminal: Terminal,
  broken?: { readonly link: string; readonly message: string },
): string {
  const lines = links.map(
    ({ title, detail }) =>
      `  ${terminal.style('green', 'ok')}      ${title}\n            ${terminal.style('dim', printable(detail))}`,
  );
  if (broken !== undefined) {
    lines.push(
      `  ${terminal.style(['red', 'bold'], 'BROKEN')}  ${printable(broken.link)}\n            ${printable(broken.message)}`,
    );
  }
  return lines.join('\n');
}
