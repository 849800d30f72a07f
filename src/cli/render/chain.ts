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
  const first = (name: string): Branch | undefined => all.find(({ link }) => link === name);
  /** The nearest that vouches for a link and was looked at. */
  const parentOf = ({ link }: ChainLink): Branch | undefined => {
    let name = VOUCHED_BY[link];
    while (name !== undefined && first(name) === undefined) name = VOUCHED_BY[name];
    return name === undefined ? undefined : first(name);
  };
  const below = (parent: Branch | undefined): readonly TreeLink[] =>
    all
      .filter((each) => parentOf(each) === parent)
      .map((each) => ({
        title: each.title,
        state: each.state,
        details: [each.detail],
        // Of two links of a name, the first is the one that is started.
        children: first(each.link) === each ? below(each) : [],
      }));
  return below(undefined);
}

/** The links of a chain, each below the one that vouches for it. */
export const renderChain = (
  links: readonly ChainLink[],
  terminal: Terminal,
  broken?: Broken,
): string => renderTree(chainTree(links, broken), terminal);
