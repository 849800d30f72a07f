//! The inodes of a scan, each once, in the order of a walk by name.

use crate::scan::{Record, Scan};
use core::ops::Range;
use std::collections::HashMap;

pub const S_IFMT: u32 = 0o170_000;
pub const S_IFDIR: u32 = 0o040_000;
pub const S_IFCHR: u32 = 0o020_000;
pub const S_IFBLK: u32 = 0o060_000;
pub const S_IFREG: u32 = 0o100_000;
pub const S_IFLNK: u32 = 0o120_000;

/// What leads to an inode, and what it leads to.
pub struct Node {
    pub record: usize,
    /// The directory with its first name; of the root itself.
    pub parent: usize,
    /// Of a directory as usual 2 and one for each directory in it.
    pub links: u32,
    /// Of directories: the records of what they hold, in the order of the names.
    pub children: Range<usize>,
}

pub struct Tree {
    pub scan: Scan,
    /// The first is the root.
    pub nodes: Vec<Node>,
    /// The node of each record.
    node_of: Vec<usize>,
}

/// A name in a directory and the node that it leads to.
pub type Entry<'a> = (&'a [u8], usize);

impl Tree {
    /// Gives the scan back where something of it cannot be stored, or not by us.
    pub fn new(scan: Scan) -> Result<Self, Scan> {
        match walk(&scan) {
            Some((nodes, node_of)) => Ok(Self {
                scan,
                nodes,
                node_of,
            }),
            None => Err(scan),
        }
    }

    pub fn record(&self, node: usize) -> Record<'_> {
        self.scan.record(self.nodes[node].record)
    }

    /// The entries of a directory with `.` and `..`, by the bytes of their names.
    pub fn entries<'a>(&'a self, node: usize, entries: &mut Vec<Entry<'a>>) {
        let Node {
            parent, children, ..
        } = &self.nodes[node];
        entries.clear();
        let mut dots = [(&b"."[..], node), (&b".."[..], *parent)]
            .into_iter()
            .peekable();
        for child in children.clone() {
            let name = self.scan.record(child).name();
            // `!` and `-` come before the dots.
            while let Some(dot) = dots.next_if(|(dot, _)| *dot < name) {
                entries.push(dot);
            }
            entries.push((name, self.node_of[child]));
        }
        entries.extend(dots);
    }
}

fn walk(scan: &Scan) -> Option<(Vec<Node>, Vec<usize>)> {
    let count = scan.len();
    if count == 0 {
        return None;
    }
    let children = children_of(scan)?;
    let mut nodes: Vec<Node> = Vec::with_capacity(count);
    let mut node_of = vec![0; count];
    let mut links: HashMap<[u32; 4], usize> = HashMap::new();
    // Records to visit, the next one last, and the nodes that have them.
    let mut stack = vec![(0, 0)];
    while let Some((index, parent)) = stack.pop() {
        let record = scan.record(index);
        let is_directory = record.mode() & S_IFMT == S_IFDIR;
        let node = nodes.len();
        if record.links() > 1 && !is_directory {
            let known = *links.entry(record.link()).or_insert(node);
            if known != node {
                node_of[index] = known;
                nodes[known].links = nodes[known].links.checked_add(1)?;
                continue;
            }
        }
        node_of[index] = node;
        let children = if is_directory {
            children.get(record.number())?.clone()
        } else {
            0..0
        };
        stack.extend(children.clone().rev().map(|child| (child, node)));
        if is_directory && node > 0 {
            nodes[parent].links = nodes[parent].links.checked_add(1)?;
        }
        nodes.push(Node {
            record: index,
            parent,
            links: if is_directory { 2 } else { 1 },
            children,
        });
    }
    Some((nodes, node_of))
}

/// The records of each directory by its number; `None` when a record cannot be used or is out of place.
fn children_of(scan: &Scan) -> Option<Vec<Range<usize>>> {
    let is_directory = |record: &Record<'_>| record.mode() & S_IFMT == S_IFDIR;
    let directories = (0..scan.len())
        .filter(|&index| is_directory(&scan.record(index)))
        .count();
    let mut children = vec![0..0; directories];
    let root = scan.record(0);
    if !is_directory(&root) || !is_usable(&root) {
        return None;
    }
    for index in 1..scan.len() {
        let record = scan.record(index);
        let is_name = (1..=255).contains(&record.name().len());
        if !is_name || !is_usable(&record) {
            return None;
        }
        // One thread finds all of a directory, one name after the other.
        let siblings = children.get_mut(record.parent())?;
        if siblings.start == siblings.end {
            *siblings = index..index;
        }
        if siblings.end != index {
            return None;
        }
        siblings.end += 1;
    }
    Some(children)
}

fn is_usable(record: &Record<'_>) -> bool {
    let is_text = |bytes: &[u8]| core::str::from_utf8(bytes).is_ok();
    record.errno() == 0
        && record.xattrs() == 0
        && is_text(record.name())
        && is_text(record.target())
}
