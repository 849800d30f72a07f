/** What was verified, as a tree: each link with what was checked and against what. */

import { printable, type Terminal } from '../terminal.ts';

export type LinkState =
  | 'ok'
  /** Refused. */
  | 'broken'
  /** Does not hold, and nothing depends on it. */
  | 'warning'
  /** Not there, or not looked at. */
  | 'skipped';

export interface TreeLink {
  readonly title: string;
  readonly state: LinkState;
  /** One line each. */
  readonly details: readonly string[];
  readonly children: readonly TreeLink[];
}

const LABELS: Readonly<
  Record<LinkState, readonly [text: string, style: 'green' | 'red' | 'yellow' | 'dim']>
> = {
  ok: ['ok', 'green'],
  broken: ['BROKEN', 'red'],
  warning: ['warning', 'yellow'],
  skipped: ['–', 'dim'],
};

const WIDTH = 8;

function renderLink(link: TreeLink, terminal: Terminal, depth: number): readonly string[] {
  const [label, style] = LABELS[link.state];
  const indent = '  '.repeat(depth + 1);
  const padding = ' '.repeat(WIDTH - label.length);
  const below = `${indent}${' '.repeat(WIDTH + 2)}`;
  return [
    `${indent}${terminal.style(style, label)}${padding}${printable(link.title)}`,
    ...link.details.map((line) => `${below}${terminal.style('dim', printable(line))}`),
    ...link.children.flatMap((child) => renderLink(child, terminal, depth + 1)),
  ];
}

export const renderTree = (links: readonly TreeLink[], terminal: Terminal): string =>
  links.flatMap((link) => renderLink(link, terminal, 0)).join('\n');
