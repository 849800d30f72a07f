/** The chain of trust of a bundle: what vouches for what, as a tree. */

import type { ChainLink } from '../../bundle/verify.ts';
import type { Terminal } from '../terminal.ts';
import { renderTree, type TreeLink } from './tree.ts';

/** What vouches for each link; those that are not here begin at the trusted key, or vouch for themselves. */
const VOUCHED_BY: Readonly<Record<string, string>> = {
  initrd: 'kernel',
  bootconfig: 'initrd',
  system: 'bootconfig',
  vbmeta: 'bootconfig',
  partition: 'bootconfig',
  'payload-certificate': 'bootconfig',
  'payload-signature': 'payload-certificate',
  idsig: 'payload-signature',
  'payload-config': 'payload-signature',
};

interface Broken {
  readonly link: string;
  readonly message: string;
}

interface Branch extends ChainLink {
  readonly state: TreeLink['state'];
}

/** @param broken The first link that does not hold, if any: nothing after it was looked at. */
export function chainTree(links: readonly ChainLink[], broken?: Broken): readonly TreeLink[] {
  const all: Branch[] = links.map((each) => ({ ...each, state: 'ok' }));
  if (broken !== undefined) {
    const { link, message } = broken;
    all.push({ link, title: link, detail: message, state: 'broken' });
  }
  const named = (name: string): readonly Branch[] => all.filter(({ link }) => link === name);
  /**
   * The nearest that vouches for a link and was looked at. Links of several APKs come in the same order; where there is
   * one for all, or of two initrds the one that is started, it is the first.
   */
  const parentOf = (child: Branch): Branch | undefined => {
    let name = VOUCHED_BY[child.link];
    while (name !== undefined && named(name).length === 0) name = VOUCHED_BY[name];
    if (name === undefined) return undefined;
    const parents = named(name);
    return parents[named(child.link).indexOf(child)] ?? parents[0];
  };
  const below = (parent: Branch | undefined): readonly TreeLink[] =>
    all
      .filter((each) => parentOf(each) === parent)
      .map((each) => ({
        title: each.title,
        state: each.state,
        details: [each.detail],
        children: below(each),
      }));
  return below(undefined);
}

/** The links of a chain, each below the one that vouches for it. */
export const renderChain = (
  links: readonly ChainLink[],
  terminal: Terminal,
  broken?: Broken,
): string => renderTree(chainTree(links, broken), terminal);
