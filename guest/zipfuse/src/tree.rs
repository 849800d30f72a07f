//! Directories and files by number, as the names of an archive imply them.
//!
//! Modes after AOSP guest/zipfuse/src/inode.rs: what the archive says, else files can be read, those below `bin/` executed,
//! and directories listed, by owner and group.

use std::collections::HashMap;
use std::fmt;

use microbuild_formats::zip::{Archive, Entry};

const FILE_MODE: u32 = 0o440;
const PROGRAM_MODE: u32 = 0o550;
const DIRECTORY_MODE: u32 = 0o550;
const PROGRAM_DIRECTORY: &str = "bin";

/// Twice what an archive can name: its names may imply a directory at every second byte, and each costs memory.
const NODE_COUNT_MAX: usize = 128 * 1024;

/// Why an archive cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeError {
    /// The name leaves the archive, or is not a plain relative path.
    Name(String),
    /// Two entries, or a file and a directory, claim the name.
    Clash(String),
    TooLarge,
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "the entry {name:?} is not below the archive's root"),
            Self::Clash(name) => write!(f, "the entry {name:?} is there twice"),
            Self::TooLarge => write!(
                f,
                "there are more than {NODE_COUNT_MAX} files and directories"
            ),
        }
    }
}

impl std::error::Error for TreeError {}

pub struct Node {
    pub name: Box<str>,
    pub parent: usize,
    pub mode: u32,
    pub content: Content,
}

pub enum Content {
    /// The numbers of its members, in the order of their names.
    Directory(Vec<usize>),
    File(Entry),
}

/// Node 0 is the root, its own parent.
pub struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    pub fn new(archive: Archive) -> Result<Self, TreeError> {
        let mut builder = Builder::new();
        for directory in &archive.directories {
            let node = builder.directory(&directory.name, &directory.name)?;
            if let (Some(node), Some(mode)) = (builder.nodes.get_mut(node), directory.mode) {
                node.mode = mode;
            }
        }
        for entry in archive.files {
            builder.file(entry)?;
        }
        Ok(builder.finish())
    }

    pub fn get(&self, index: usize) -> Option<&Node> {
        self.nodes.get(index)
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The member of that name.
    pub fn find(&self, members: &[usize], name: &[u8]) -> Option<usize> {
        let name_of = |member: &usize| self.get(*member).map(|node| node.name.as_bytes());
        let at = members
            .binary_search_by(|member| name_of(member).cmp(&Some(name)))
            .ok()?;
        members.get(at).copied()
    }
}

/// The same while it grows, with an index of names.
struct Builder {
    nodes: Vec<Node>,
    by_name: HashMap<(usize, Box<str>), usize>,
}

impl Builder {
    fn new() -> Self {
        let root = Node {
            name: "".into(),
            parent: 0,
            mode: DIRECTORY_MODE,
            content: Content::Directory(Vec::new()),
        };
        Self {
            nodes: vec![root],
            by_name: HashMap::new(),
        }
    }

    /// The directory of that path below the root, made if need be with all above it.
    fn directory(&mut self, path: &str, entry: &str) -> Result<usize, TreeError> {
        let mut at = 0;
        for segment in path.split('/') {
            let known = self.by_name.get(&(at, segment.into())).copied();
            at = match known.map(|index| (index, self.nodes.get(index))) {
                Some((index, Some(node))) if matches!(node.content, Content::Directory(_)) => index,
                Some(_) => return Err(TreeError::Clash(entry.to_owned())),
                None => self.add(
                    at,
                    segment,
                    DIRECTORY_MODE,
                    Content::Directory(Vec::new()),
                    entry,
                )?,
            };
        }
        Ok(at)
    }

    fn file(&mut self, entry: Entry) -> Result<(), TreeError> {
        let path = entry.name.clone();
        let (parent, name) = match path.rsplit_once('/') {
            Some((folder, name)) => (self.directory(folder, &path)?, name),
            None => (0, path.as_str()),
        };
        if self.by_name.contains_key(&(parent, name.into())) {
            return Err(TreeError::Clash(path));
        }
        let is_program = path
            .split_once('/')
            .is_some_and(|(first, _)| first == PROGRAM_DIRECTORY);
        let mode = entry
            .mode
            .unwrap_or(if is_program { PROGRAM_MODE } else { FILE_MODE });
        self.add(parent, name, mode, Content::File(entry), &path)?;
        Ok(())
    }

    fn add(
        &mut self,
        parent: usize,
        name: &str,
        mode: u32,
        content: Content,
        entry: &str,
    ) -> Result<usize, TreeError> {
        if matches!(name, "" | "." | "..") || name.contains('\0') {
            return Err(TreeError::Name(entry.to_owned()));
        }
        if self.nodes.len() == NODE_COUNT_MAX {
            return Err(TreeError::TooLarge);
        }
        let index = self.nodes.len();
        self.nodes.push(Node {
            name: name.into(),
            parent,
            mode,
            content,
        });
        self.by_name.insert((parent, name.into()), index);
        if let Some(Content::Directory(members)) =
            self.nodes.get_mut(parent).map(|node| &mut node.content)
        {
            members.push(index);
        }
        Ok(index)
    }

    fn finish(self) -> Tree {
        let names: Vec<Box<str>> = self.nodes.iter().map(|node| node.name.clone()).collect();
        let mut nodes = self.nodes;
        for node in &mut nodes {
            if let Content::Directory(members) = &mut node.content {
                members.sort_by(|one, other| names.get(*one).cmp(&names.get(*other)));
            }
        }
        Tree { nodes }
    }
}

#[cfg(test)]
mod tests {
    use microbuild_formats::zip::{Directory, Method};

    use super::*;

    fn entry(name: &str, mode: Option<u32>) -> Entry {
        Entry {
            name: name.to_owned(),
            mode,
            method: Method::Stored,
            crc32: 0,
            compressed_size: 0,
            size: 0,
            data_offset: 0,
        }
    }

    fn tree(
        files: &[(&str, Option<u32>)],
        directories: &[(&str, Option<u32>)],
    ) -> Result<Tree, TreeError> {
        Tree::new(Archive {
            files: files
                .iter()
                .map(|(name, mode)| entry(name, *mode))
                .collect(),
            directories: directories
                .iter()
                .map(|(name, mode)| Directory {
                    name: (*name).to_owned(),
                    mode: *mode,
                })
                .collect(),
        })
    }

    /// Every path with its mode; a directory's ends in a slash.
    fn listing(tree: &Tree, at: usize, prefix: &str) -> Vec<(String, u32)> {
        let Some(Content::Directory(members)) = tree.get(at).map(|node| &node.content) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for member in members {
            let node = tree.get(*member).expect("a member");
            assert_eq!(tree.find(members, node.name.as_bytes()), Some(*member));
            let path = format!("{prefix}{}", node.name);
            let is_directory = matches!(node.content, Content::Directory(_));
            let suffix = if is_directory { "/" } else { "" };
            found.push((format!("{path}{suffix}"), node.mode));
            found.extend(listing(tree, *member, &format!("{path}/")));
        }
        found
    }

    #[test]
    fn names_imply_directories_and_modes_have_androids_defaults() {
        let tree = tree(
            &[
                ("lib/x86_64/libb.so", None),
                ("a", Some(0o644)),
                ("bin/tool", None),
                ("bin/sub/tool", None),
                ("binary", None),
                ("x/bin/y", None),
                ("bin/data", Some(0o600)),
            ],
            &[("empty", None), ("lib", Some(0o755))],
        )
        .expect("valid");
        let expected = [
            ("a", 0o644),
            ("bin/", 0o550),
            ("bin/data", 0o600),
            ("bin/sub/", 0o550),
            ("bin/sub/tool", 0o550),
            ("bin/tool", 0o550),
            ("binary", 0o440),
            ("empty/", 0o550),
            ("lib/", 0o755),
            ("lib/x86_64/", 0o550),
            ("lib/x86_64/libb.so", 0o440),
            ("x/", 0o550),
            ("x/bin/", 0o550),
            ("x/bin/y", 0o440),
        ];
        let expected: Vec<_> = expected.map(|(path, mode)| (path.to_owned(), mode)).into();
        assert_eq!(listing(&tree, 0, ""), expected);
        assert_eq!(tree.len(), 15);
    }

    #[test]
    fn names_that_leave_the_archive_are_refused() {
        for name in [
            "a/../../b",
            "a/..",
            "a/b/../c",
            "..",
            "",
            "/a",
            "a//b",
            "./a",
            "a/",
            "a\0b",
        ] {
            let error = tree(&[(name, None)], &[]).err();
            assert_eq!(error, Some(TreeError::Name(name.to_owned())), "{name:?}");
        }
    }

    #[test]
    fn names_that_clash_are_refused() {
        let clash = |name: &str| Some(TreeError::Clash(name.to_owned()));
        assert_eq!(tree(&[("a", None), ("a", None)], &[]).err(), clash("a"));
        assert_eq!(tree(&[("a", None), ("a/b", None)], &[]).err(), clash("a/b"));
        assert_eq!(tree(&[("a/b", None), ("a", None)], &[]).err(), clash("a"));
        assert_eq!(tree(&[("a", None)], &[("a", None)]).err(), clash("a"));
    }

    #[test]
    fn names_of_many_directories_are_bounded() {
        let deep = "d/".repeat(500);
        let files: Vec<_> = (0..300).map(|index| format!("{index}/{deep}f")).collect();
        let files: Vec<_> = files.iter().map(|name| (name.as_str(), None)).collect();
        assert_eq!(tree(&files, &[]).err(), Some(TreeError::TooLarge));
    }
}
