//! Pieces of guest memory, one behind the other.

use crate::sys::Part;

/// The first bytes of some parts.
#[must_use]
pub fn first<'m>(parts: &[Part<'m>], size: usize) -> Vec<Part<'m>> {
    let mut left = size;
    let mut out = Vec::with_capacity(parts.len());
    for part in parts {
        if left == 0 {
            break;
        }
        let (part, _) = part.split(left);
        left -= part.size();
        out.push(part);
    }
    out
}

/// The parts before `at` and those behind. None when there are not so many bytes.
#[must_use]
#[allow(clippy::type_complexity)]
pub fn split<'m>(parts: &[Part<'m>], at: usize) -> Option<(Vec<Part<'m>>, Vec<Part<'m>>)> {
    let (mut head, mut data) = (Vec::with_capacity(2), Vec::with_capacity(parts.len()));
    let mut left = at;
    for part in parts {
        let (first, rest) = part.split(left);
        left -= first.size();
        if first.size() > 0 {
            head.push(first);
        }
        if rest.size() > 0 {
            data.push(rest);
        }
    }
    (left == 0).then_some((head, data))
}
