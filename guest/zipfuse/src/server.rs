//! From a request's bytes to a reply's. Nothing is remembered between two requests but places in compressed files, so that
//! every inode number stays what it is and nothing needs to be released.

use microbuild_formats::zip::Archive;

use crate::protocol::{
    self as fuse, Attr, AttrOut, Dirent, EntryOut, InHeader, InitIn, InitOut, OutHeader, ReadIn,
    StatfsOut,
};
use crate::reader::Reader;
use crate::tree::{Content, Node, Tree, TreeError};
use crate::Source;

/// Seconds: nothing here ever changes.
const FOREVER: u64 = u32::MAX as u64;
const BLOCK_SIZE: u32 = 4096;
const NAME_SIZE_MAX: u32 = 1024;
/// The kernel writes nothing to a read-only file system, but wants a number of at least a page.
const MAX_WRITE: u32 = 4096;
const MAX_BACKGROUND: u16 = 12;
const CONGESTION_THRESHOLD: u16 = 9;

/// Who owns every file and directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

pub struct FileSystem<S> {
    tree: Tree,
    reader: Reader<S>,
    owner: Owner,
    /// Of all files, in bytes.
    size: u64,
}

type Errno = i32;

impl<S: Source> FileSystem<S> {
    /// `source` is what `archive` was read from, checked by the strict profile.
    ///
    /// # Errors
    /// When a name leaves the archive or is there twice, or there are too many directories.
    pub fn new(source: S, archive: Archive, owner: Owner) -> Result<Self, TreeError> {
        let size = archive
            .files
            .iter()
            .fold(0u64, |sum, file| sum.saturating_add(file.size));
        Ok(Self {
            tree: Tree::new(archive)?,
            reader: Reader::new(source),
            owner,
            size,
        })
    }

    /// Puts the reply to a request into `reply`; false when it has none. Any bytes are answered, with an error at worst.
    pub fn answer(&self, request: &[u8], reply: &mut Vec<u8>) -> bool {
        reply.clear();
        let Some((header, body)) = InHeader::decode(request) else {
            return false;
        };
        if matches!(
            header.opcode,
            fuse::FORGET | fuse::BATCH_FORGET | fuse::INTERRUPT
        ) {
            return false;
        }
        let unique = header.unique;
        OutHeader::default().encode(reply);
        let error = match self.answer_body(&header, body, reply) {
            Ok(()) => 0,
            Err(errno) => {
                reply.truncate(OutHeader::SIZE);
                -errno
            }
        };
        let mut head = Vec::with_capacity(OutHeader::SIZE);
        // A reply is at most a read's size and some hundred bytes.
        let len = reply.len() as u32;
        OutHeader { len, error, unique }.encode(&mut head);
        if let Some(space) = reply.get_mut(..OutHeader::SIZE) {
            space.copy_from_slice(&head);
        }
        true
    }

    fn answer_body(&self, header: &InHeader, body: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        match header.opcode {
            fuse::INIT => init(body, out),
            fuse::DESTROY => Ok(()),
            fuse::LOOKUP => self.lookup(header.nodeid, body, out),
            fuse::GETATTR => self.get_attributes(header.nodeid, out),
            fuse::READ => self.read(header.nodeid, body, out),
            fuse::READDIR => self.read_directory(header.nodeid, body, false, out),
            fuse::READDIRPLUS => self.read_directory(header.nodeid, body, true, out),
            fuse::STATFS => {
                self.file_system_size(out);
                Ok(())
            }
            // The kernel takes it for "never ask again". Of OPEN and OPENDIR too: whatever is there can be opened, and what
            // the page cache has of it stays true. No locks, links or extended attributes; and nothing can be written.
            _ => Err(fuse::ENOSYS),
        }
    }

    fn node(&self, id: u64) -> Result<(usize, &Node), Errno> {
        id.checked_sub(fuse::ROOT_ID)
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| Some((index, self.tree.get(index)?)))
            .ok_or(fuse::ENOENT)
    }

    fn directory(&self, id: u64) -> Result<(usize, &Node, &[usize]), Errno> {
        let (index, node) = self.node(id)?;
        match &node.content {
            Content::Directory(members) => Ok((index, node, members)),
            Content::File(_) => Err(fuse::ENOTDIR),
        }
    }

    fn attributes(&self, index: usize, node: &Node) -> Attr {
        let (kind, size, nlink) = match &node.content {
            // Two names and one `..` for each directory below, of which nobody wants the exact number: 1 says "not counted".
            Content::Directory(_) => (fuse::S_IFDIR, 0, 1),
            Content::File(entry) => (fuse::S_IFREG, entry.size, 1),
        };
        Attr {
            ino: id_of(index),
            size,
            blocks: size.div_ceil(512),
            mode: kind | node.mode,
            nlink,
            uid: self.owner.uid,
            gid: self.owner.gid,
            blksize: BLOCK_SIZE,
            ..Attr::default()
        }
    }

    /// What LOOKUP says of a node, and READDIRPLUS of each.
    fn entry(&self, index: usize, node: &Node, out: &mut Vec<u8>) {
        EntryOut {
            nodeid: id_of(index),
            entry_valid: FOREVER,
            attr_valid: FOREVER,
            ..EntryOut::default()
        }
        .encode(out);
        self.attributes(index, node).encode(out);
    }

    fn lookup(&self, parent: u64, body: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        let name = body.strip_suffix(&[0]).ok_or(fuse::EINVAL)?;
        let (_, _, members) = self.directory(parent)?;
        let found = self.tree.find(members, name);
        match found.and_then(|index| Some((index, self.tree.get(index)?))) {
            Some((index, node)) => self.entry(index, node, out),
            None => {
                // Node 0 means that there is no such name, for as long as the entry is valid.
                let entry_valid = FOREVER;
                EntryOut {
                    entry_valid,
                    ..EntryOut::default()
                }
                .encode(out);
                Attr::default().encode(out);
            }
        }
        Ok(())
    }

    fn get_attributes(&self, id: u64, out: &mut Vec<u8>) -> Result<(), Errno> {
        let (index, node) = self.node(id)?;
        let attr_valid = FOREVER;
        AttrOut {
            attr_valid,
            ..AttrOut::default()
        }
        .encode(out);
        self.attributes(index, node).encode(out);
        Ok(())
    }

    fn read(&self, id: u64, body: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
        let (request, _) = ReadIn::decode(body).ok_or(fuse::EINVAL)?;
        let (index, node) = self.node(id)?;
        let Content::File(entry) = &node.content else {
            return Err(fuse::EISDIR);
        };
        let size = request.size.min(fuse::MAX_READ) as usize;
        let start = out.len();
        out.resize(start + size, 0);
        let buffer = out.get_mut(start..).unwrap_or(&mut []);
        let read = self
            .reader
            .read(index, entry, request.offset, buffer)
            .map_err(|_| fuse::EIO)?;
        out.truncate(start + read);
        Ok(())
    }

    /// Offsets count members; the first two are the directory itself and its parent.
    fn read_directory(
        &self,
        id: u64,
        body: &[u8],
        is_plus: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        let (request, _) = ReadIn::decode(body).ok_or(fuse::EINVAL)?;
        let limit = out.len() + request.size.min(fuse::MAX_READ) as usize;
        let (own, directory, members) = self.directory(id)?;
        let dots = [(own, Some(".")), (directory.parent, Some(".."))];
        let all = dots
            .into_iter()
            .chain(members.iter().map(|member| (*member, None)));
        let first = usize::try_from(request.offset).unwrap_or(usize::MAX);
        for (at, (index, dot)) in all.enumerate().skip(first) {
            let Some(node) = self.tree.get(index) else {
                break;
            };
            let name = dot.unwrap_or(&node.name).as_bytes();
            let head = if is_plus {
                EntryOut::SIZE + Attr::SIZE
            } else {
                0
            };
            if out.len() + head + (Dirent::SIZE + name.len()).next_multiple_of(8) > limit {
                break;
            }
            match (is_plus, dot) {
                (true, None) => self.entry(index, node, out),
                // Node 0: the kernel knows these two itself.
                (true, Some(_)) => out.resize(out.len() + head, 0),
                (false, _) => {}
            }
            let attributes = self.attributes(index, node);
            Dirent {
                ino: attributes.ino,
                off: at as u64 + 1,
                namelen: name.len() as u32,
                kind: attributes.mode >> 12,
            }
            .encode(out);
            out.extend_from_slice(name);
            out.resize(out.len().next_multiple_of(8), 0);
        }
        Ok(())
    }

    fn file_system_size(&self, out: &mut Vec<u8>) {
        StatfsOut {
            blocks: self.size.div_ceil(BLOCK_SIZE.into()),
            files: self.tree.len() as u64,
            bsize: BLOCK_SIZE,
            frsize: BLOCK_SIZE,
            namelen: NAME_SIZE_MAX,
            ..StatfsOut::default()
        }
        .encode(out);
    }
}

fn id_of(index: usize) -> u64 {
    index as u64 + fuse::ROOT_ID
}

fn init(body: &[u8], out: &mut Vec<u8>) -> Result<(), Errno> {
    let (request, _) = InitIn::decode(body).ok_or(fuse::EINVAL)?;
    // To a newer major version the answer is one's own, whereupon the kernel asks again.
    let needed = fuse::NO_OPEN_SUPPORT | fuse::NO_OPENDIR_SUPPORT;
    let is_too_old = request.minor < fuse::VERSION_MINOR_MIN || request.flags & needed != needed;
    if request.major < fuse::VERSION_MAJOR || (request.major == fuse::VERSION_MAJOR && is_too_old) {
        return Err(fuse::EPROTO);
    }
    let wanted = needed
        | fuse::ASYNC_READ
        | fuse::DO_READDIRPLUS
        | fuse::READDIRPLUS_AUTO
        | fuse::PARALLEL_DIROPS;
    InitOut {
        major: fuse::VERSION_MAJOR,
        minor: fuse::VERSION_MINOR,
        max_readahead: request.max_readahead,
        flags: request.flags & wanted,
        max_background: MAX_BACKGROUND,
        congestion_threshold: CONGESTION_THRESHOLD,
        max_write: MAX_WRITE,
        time_gran: 1,
        ..InitOut::default()
    }
    .encode(out);
    Ok(())
}
