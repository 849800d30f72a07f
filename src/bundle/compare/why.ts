/** Answers why a digest is another: from the link of the chain of trust down to the line of the recipe. */

import type { Finding, Measurement, Reason } from './finding.ts';

/** More names say no more. */
const MAX_REASONS = 8;

interface Group {
  readonly measurement: string;
  readonly member: RegExp;
  /** How paths in the member begin. */
  readonly path: string;
}

const short = (digest: string | undefined): string | undefined =>
  digest !== undefined && /^[0-9a-f]{40,}$/.test(digest) ? `${digest.slice(0, 12)}…` : digest;

function groupOf(name: string): Group | undefined {
  const partition = /^(.+) root digest$/.exec(name)?.[1];
  if (name === 'payload root digest') {
    return { measurement: name, member: /^payload\.img$/, path: 'microdroid-apk' };
  }
  const extra = /^extra APK (\d+)$/.exec(partition ?? '')?.[1];
  if (extra !== undefined) {
    return { measurement: name, member: /^payload\.img$/, path: `extra-apk-${extra}` };
  }
  const payload = /^payload (.+)$/.exec(partition ?? '')?.[1];
  if (payload !== undefined) {
    const member = new RegExp(`^payload-${payload.replaceAll(/[^a-z0-9_-]/g, '.')}\\.img$`);
    return { measurement: name, member, path: 'microdroid-apk' };
  }
  if (partition !== undefined) {
    return { measurement: name, member: /^os\.img$/, path: `${partition}_a` };
  }
  if (name === 'kernel digest') return { measurement: name, member: /^kernel$/, path: '' };
  if (name === 'initrd digest') return { measurement: name, member: /^initrd\.img$/, path: '' };
  if (name === 'debuggable initrd digest') {
    return { measurement: name, member: /^initrd_debuggable\.img$/, path: '' };
  }
  return undefined;
}

const isIn = ({ member, path }: Finding, group: Group): boolean =>
  group.member.test(member) &&
  (group.path === '' || path === group.path || path.startsWith(`${group.path}!`));

/** What differs in a group by itself: one reason a path. */
function reasonsIn(group: Group, findings: readonly Finding[]): Reason[] {
  const byPath = new Map<string, Finding[]>();
  for (const finding of findings) {
    if (finding.nature === 'consequence' || !isIn(finding, group)) continue;
    const inner = finding.path.slice(group.path.length).replace(/^!/, '') || finding.field;
    byPath.set(inner, [...(byPath.get(inner) ?? []), finding]);
  }
  // Certificates and signatures of the APK are part of what its root digest is over.
  const reasons = [...byPath].map(([path, all]) => reasonOf(path, all));
  return reasons.length <= MAX_REASONS
    ? reasons
    : [
        ...reasons.slice(0, MAX_REASONS),
        { title: `and ${reasons.length - MAX_REASONS} more`, because: [] },
      ];
}

function reasonOf(path: string, findings: readonly Finding[]): Reason {
  const [first] = findings;
  const fields = [...new Set(findings.map(({ field, change }) => (field === '' ? change : field)))];
  const only = findings.length === 1 ? first : undefined;
  const cause = findings.find((each) => each.cause !== undefined)?.cause;
  const input = findings.find((each) => each.input !== undefined)?.input;
  return {
    title: fields.length === 1 && fields[0] === path ? path : `${path}: ${fields.join(', ')}`,
    ...(only?.a !== undefined && { a: only.a }),
    ...(only?.b !== undefined && { b: only.b }),
    ...(input && { input }),
    ...(cause && { cause }),
    because: [],
  };
}

function blocksReason(group: Group, findings: readonly Finding[]): string | undefined {
  const found = findings.find((each) => each.field === 'blocks' && isIn(each, group));
  return found?.b;
}

/** One reason for each digest that is another and does not only follow from another one. */
export function whyOf(
  measurements: readonly Measurement[],
  findings: readonly Finding[],
): readonly Reason[] {
  const changed = measurements.filter(({ a, b }) => a !== b);
  const link = ({ name, a, b }: Measurement, because: readonly Reason[]): Reason => {
    const [x, y] = [short(a), short(b)];
    return { title: name, ...(x && { a: x }), ...(y && { b: y }), because };
  };
  const roots: Reason[] = [];
  const others: Reason[] = [];
  for (const each of changed) {
    const group = groupOf(each.name);
    if (group === undefined) continue;
    const inside = reasonsIn(group, findings);
    const blocks = blocksReason(group, findings);
    const because =
      blocks === undefined ? inside : [{ title: blocks, because: inside } satisfies Reason];
    const isPartition = group.member.source === '^os\\.img$';
    if (isPartition) roots.push(link(each, because));
    // An initrd pins the vbmeta: it has a reason of its own only when more than that differs.
    else if (inside.length > 0) others.push(link(each, inside));
  }
  const vbmeta = changed.find(({ name }) => name === 'vbmeta digest');
  const group: Group = { measurement: 'vbmeta digest', member: /^os\.img$/, path: 'vbmeta_a' };
  const own = reasonsIn(group, findings);
  const chain = vbmeta === undefined ? roots : [link(vbmeta, [...roots, ...own])];
  return [...chain, ...others];
}
