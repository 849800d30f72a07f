//! Blocks of the most input that fits: LZ4 HC.
//!
//! A match is found where none is pending. Then, from its end, it is asked for matches that overlap it and go further, and
//! so on: a group of them. Which of them make it, and where one ends and the next begins, is then decided by what they cost.

use super::block::{match_bytes, BlockWriter, LAST_LITERALS, LAST_MATCH, MIN_MATCH, SHORT_MATCH};
use super::chains::{Chains, Effort, Limits, Match};

/// After so many literals without a match, every second position is searched, after twice as many every third.
const PATIENCE: u32 = 8;
/// Matches of a group; more begin a new one.
const MAX_GROUP: usize = 16;
/// How many of the matches before one are tried as its predecessor.
const PREDECESSORS: usize = 3;

/// A match of a group, on the cheapest way to its end.
#[derive(Clone, Copy, Default)]
struct Link {
    found: Match,
    /// Where it begins on that way: at its start or later.
    start: usize,
    /// Bytes that the way takes from the start of the group.
    cost: usize,
    /// The link before; 0 if literals lead here, else one more than its index.
    before: usize,
}

/// Fills one block with input from `start` on and returns where that ends: at `end` or before.
pub fn fill_block(
    chains: &mut Chains,
    input: &[u8],
    (start, end): (usize, usize),
    effort: Effort,
    mut writer: BlockWriter,
) -> usize {
    if end - start <= LAST_MATCH {
        return writer.finish(end);
    }
    let last = end - LAST_MATCH;
    let limits = Limits {
        start,
        end: end - LAST_LITERALS,
    };
    let mut at = start;
    let mut group = [Link::default(); MAX_GROUP];
    while at <= last && !writer.is_filled_by(at - writer.anchor()) {
        let found = if chains.has_candidate(input, at, &limits) {
            chains.longest(input, at, &limits, effort)
        } else {
            None
        };
        let Some(first) = found else {
            at += 1 + ((at - writer.anchor()) >> PATIENCE);
            continue;
        };
        group[0] = Link {
            found: first,
            start: at,
            cost: 3 + match_bytes(first.end - at),
            before: 0,
        };
        let mut count = 1;
        while count < MAX_GROUP {
            let Match { start, end, .. } = group[count - 1].found;
            // A match that goes further holds the last 2 bytes of this one, or costs more than it gains.
            let probe = end - if count == 1 { 2 } else { 3 };
            if end - start >= effort.enough || probe > last {
                break;
            }
            let found = chains.widest(input, probe, (start, end), &limits, effort);
            let Some(link) = found.map(|found| cheapest(&group[..count], found, last)) else {
                break;
            };
            let before = &group[count - 1];
            if link.cost >= before.cost + (link.found.end - end) {
                break;
            }
            group[count] = link;
            count += 1;
        }
        if !write_group(&mut group, count, &mut writer) {
            break;
        }
        at = writer.anchor();
    }
    writer.finish(end)
}

/// The cheapest way to the end of a match: by literals from the start of the group, or by a match before it.
/// No match begins behind `last`.
fn cheapest(group: &[Link], found: Match, last: usize) -> Link {
    let literals = found.start - group[0].start;
    let mut best = Link {
        found,
        start: found.start,
        cost: literals + 3 + match_bytes(found.end - found.start),
        before: 0,
    };
    for (index, link) in group.iter().enumerate().rev().take(PREDECESSORS) {
        let (start, cost) = if link.found.end <= found.start {
            let literals = found.start - link.found.end;
            (found.start, link.cost + literals)
        } else {
            // They overlap: the first goes on as far as its length costs nothing.
            let lowest = found.start.max(link.start + MIN_MATCH);
            let highest = link.found.end.min(found.end - MIN_MATCH).min(last);
            if lowest > highest {
                continue;
            }
            let cut = (link.start + SHORT_MATCH).max(lowest).min(highest);
            let saved = match_bytes(link.found.end - link.start) - match_bytes(cut - link.start);
            (cut, link.cost - saved)
        };
        let cost = cost + 3 + match_bytes(found.end - start);
        if cost < best.cost {
            best = Link {
                found,
                start,
                cost,
                before: index + 1,
            };
        }
    }
    best
}

/// Writes the way to the end of the last match. Returns whether there may be room for more.
fn write_group(group: &mut [Link; MAX_GROUP], count: usize, writer: &mut BlockWriter) -> bool {
    // Backwards, each link is told where the next one begins, and which one that is.
    let mut next = 0;
    let mut stop = group[count - 1].found.end;
    let mut index = count;
    while index != 0 {
        let link = &mut group[index - 1];
        link.found.end = link.found.end.min(stop);
        stop = link.start;
        let before = link.before;
        link.before = next;
        next = index;
        index = before;
    }
    while next != 0 {
        let link = &group[next - 1];
        let length = link.found.end - link.start;
        if !writer.push(link.start, length, link.found.distance) {
            return false;
        }
        next = link.before;
    }
    true
}
