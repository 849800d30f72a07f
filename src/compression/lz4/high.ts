/**
 * LZ4 HC: blocks of the most input that fits. The twin of `native/src/lz4/high.rs`.
 *
 * A match is found where none is pending. Then, from its end, it is asked for matches that overlap it
 * and go further, and so on: a group of them. Which of them make it, and where one ends and the next
 * begins, is then decided by what they cost.
 */

import { LAST_LITERALS, LAST_MATCH, matchBytes, SHORT_MATCH, type BlockWriter } from './block.ts';
import type { Chains, Effort, Limits, Match } from './chains.ts';
import { LZ4_MIN_MATCH } from './decode.ts';

/** After so many literals without a match (as a power of two), every second position is searched, after twice as many every third. */
const PATIENCE = 8;
/** Matches of a group; more begin a new one. */
const MAX_GROUP = 16;
/** How many of the matches before one are tried as its predecessor. */
const PREDECESSORS = 3;

/** A match of a group, on the cheapest way to its end. */
interface Link {
  readonly found: Match;
  /** Where it begins on that way: at its start or later. */
  readonly start: number;
  /** Bytes that the way takes from the start of the group. */
  readonly cost: number;
  /** The link before; undefined if literals lead here. */
  readonly before: Link | undefined;
}

/** Writes input from `start` on, up to `end` at most. */
export function fillHighBlock(
  chains: Chains,
  start: number,
  end: number,
  effort: Effort,
  writer: BlockWriter,
): void {
  if (end - start <= LAST_MATCH) return;
  const last = end - LAST_MATCH;
  const limits: Limits = { start, end: end - LAST_LITERALS };
  for (let at = start; at <= last && !writer.isFilledBy(at - writer.anchor);) {
    const found = chains.longest(at, limits, effort);
    if (found === undefined) {
      at += 1 + ((at - writer.anchor) >> PATIENCE);
      continue;
    }
    const cost = 3 + matchBytes(found.end - at);
    const group: Link[] = [{ found, start: at, cost, before: undefined }];
    while (group.length < MAX_GROUP && extendGroup(group, chains, last, limits, effort)) continue;
    if (!writeGroup(group, writer)) break;
    at = writer.anchor;
  }
}

/** Adds a match that goes further than the last one; false if there is none or it does not pay. */
function extendGroup(
  group: Link[],
  chains: Chains,
  last: number,
  limits: Limits,
  effort: Effort,
): boolean {
  const before = group.at(-1) as Link;
  const { start, end } = before.found;
  // A match that goes further holds the last 2 bytes of this one, or costs more than it gains.
  const probe = end - (group.length === 1 ? 2 : 3);
  if (end - start >= effort.enough || probe > last) return false;
  const found = chains.widest(probe, start, end, limits, effort);
  if (found === undefined) return false;
  const link = cheapest(group, found, last);
  if (link.cost >= before.cost + (found.end - end)) return false;
  group.push(link);
  return true;
}

/**
 * The cheapest way to the end of a match: by literals from the start of the group, or by a match
 * before it. No match begins behind `last`.
 */
function cheapest(group: readonly Link[], found: Match, last: number): Link {
  const literals = found.start - (group[0] as Link).start;
  let best: Link = {
    found,
    start: found.start,
    cost: literals + 3 + matchBytes(found.end - found.start),
    before: undefined,
  };
  for (const link of group.slice(-PREDECESSORS).reverse()) {
    let { start } = found;
    let { cost } = link;
    if (link.found.end <= start) {
      cost += start - link.found.end;
    } else {
      // They overlap: the first goes on as far as its length costs nothing.
      const lowest = Math.max(start, link.start + LZ4_MIN_MATCH);
      const highest = Math.min(link.found.end, found.end - LZ4_MIN_MATCH, last);
      if (lowest > highest) continue;
      start = Math.min(Math.max(link.start + SHORT_MATCH, lowest), highest);
      cost -= matchBytes(link.found.end - link.start) - matchBytes(start - link.start);
    }
    cost += 3 + matchBytes(found.end - start);
    if (cost < best.cost) best = { found, start, cost, before: link };
  }
  return best;
}

/** Writes the way to the end of the last match. Returns whether there may be room for more. */
function writeGroup(group: readonly Link[], writer: BlockWriter): boolean {
  const way: Link[] = [];
  for (let link = group.at(-1); link !== undefined; link = link.before) way.push(link);
  way.reverse();
  return way.every(({ found, start }, index) => {
    const end = Math.min(found.end, way[index + 1]?.start ?? found.end);
    return writer.push(start, end - start, found.distance);
  });
}
