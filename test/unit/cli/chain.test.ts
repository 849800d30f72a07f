import { describe, expect, test } from 'vitest';
import { chainTree } from '../../../src/cli/render/chain.ts';
import type { TreeLink } from '../../../src/cli/render/tree.ts';

const link = (name: string, title = name) => ({ link: name, title, detail: `${title} detail` });

/** `title(children)`, with a mark at what is broken. */
const shape = (links: readonly TreeLink[]): string =>
  links
    .map(({ title, state, children }) => {
      const below = children.length === 0 ? '' : `(${shape(children)})`;
      return `${state === 'broken' ? '!' : ''}${title}${below}`;
    })
    .join(' ');

describe('the chain of trust of a bundle', () => {
  const links = [
    link('kernel'),
    link('initrd', 'normal'),
    link('initrd', 'debuggable'),
    link('bootconfig'),
    link('system'),
    link('payload-metadata'),
    link('payload-signature'),
    link('payload-certificate'),
    link('idsig'),
    link('manifest'),
  ];

  test('puts each link below the one that vouches for it', () => {
    expect(shape(chainTree(links))).toBe(
      'kernel(normal(bootconfig(system payload-certificate(payload-signature(idsig)))) debuggable) payload-metadata manifest',
    );
  });

  test('puts partitions below the bootconfig, and each APK below its own signer', () => {
    const apk = (name: string) =>
      ['payload-signature', 'payload-certificate', 'idsig'].map((each) =>
        link(each, `${each} ${name}`),
      );
    const start = [link('kernel'), link('initrd', 'normal'), link('initrd', 'debuggable')];
    const disk = [link('system'), link('partition', 'vendor'), link('partition', 'odm')];
    const all = [...start, link('bootconfig'), ...disk, ...apk('a'), ...apk('b')];
    const signer = (name: string): string =>
      `payload-certificate ${name}(payload-signature ${name}(idsig ${name}))`;
    expect(shape(chainTree(all))).toBe(
      `kernel(normal(bootconfig(system vendor odm ${signer('a')} ${signer('b')})) debuggable)`,
    );
  });

  test.each([
    [0, 'kernel', '!kernel'],
    [1, 'initrd', 'kernel(!initrd)'],
    [4, 'vbmeta', 'kernel(normal(bootconfig(!vbmeta)) debuggable)'],
    // Its certificate was not looked at: the bootconfig is the nearest that vouches for it.
    [
      6,
      'payload-signature',
      'kernel(normal(bootconfig(system !payload-signature)) debuggable) payload-metadata',
    ],
    [
      9,
      'manifest',
      'kernel(normal(bootconfig(system payload-certificate(payload-signature(idsig)))) debuggable) payload-metadata !manifest',
    ],
    [
      9,
      'another',
      'kernel(normal(bootconfig(system payload-certificate(payload-signature(idsig)))) debuggable) payload-metadata !another',
    ],
  ])('after %i links, shows the broken one in its place: %s', (count, name, wanted) => {
    const tree = chainTree(links.slice(0, count), { link: name, message: 'why' });
    expect(shape(tree)).toBe(wanted);
  });
});
