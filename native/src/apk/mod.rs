//! One pass over a section of an APK: its bytes are put together out of a file and a buffer, written to another file, and hashed
//! in every way that a signature wants while they are in the cache.
//!
//! A chunk is one message of a MiB, and one message alone leaves most of the processor idle; so a thread takes as many chunks as
//! the engine has lanes and goes through them slice by slice.

mod slices;

pub use slices::{Piece, Pieces};

use crate::file::{ReadError, PAGE};
use crate::sha256::{BlockHasher, Engine, LongMessages, DIGEST_SIZE};
use crate::threads;
use rustix::fs::{fadvise, Advice};
use sha2::{Digest, Sha512};
use slices::Lane;
use std::fs::File;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

/// What is hashed as one message.
pub const CHUNK_SIZE: u64 = 1 << 20;
/// Of a Merkle tree.
pub const BLOCK_SIZE: usize = 4096;
pub const SHA512_SIZE: usize = 64;

/// Before the bytes of each chunk: a mark, and how many there are.
const PREFIX_SIZE: usize = 5;
const CHUNK_MARK: u8 = 0xa5;

/// The salt of the tree that a content digest is made of.
const VERITY_SALT: [u8; 8] = [0; 8];

/// Bytes of a chunk that are worked on at a time: a slice for each lane fits into the second cache, and is written in one go.
const SLICE: usize = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Read(ReadError),
    /// An `errno`.
    Write(i32),
}

/// A section, and where it goes.
pub struct Section<'a> {
    pub pieces: Pieces<'a>,
    /// In bytes: where the pieces end before, zeros follow.
    pub size: u64,
    /// A file and where in it the section starts.
    pub output: Option<(&'a File, u64)>,
    pub engine: Engine,
    pub threads: usize,
}

/// Where the digests go, of those that are wanted: one for each chunk, or for each block, the last padded with zeros.
#[derive(Default)]
pub struct Digests<'a> {
    pub sha256: Option<&'a mut [u8]>,
    pub sha512: Option<&'a mut [u8]>,
    pub leaves: Option<&'a mut [u8]>,
    pub salted_leaves: Option<&'a mut [u8]>,
}

impl Digests<'_> {
    /// Whether each has exactly the room that a section of this size takes.
    pub fn fit(&self, size: u64) -> bool {
        let fits = |out: &Option<&mut [u8]>, unit: u64, digest: usize| {
            let room = size.div_ceil(unit).checked_mul(digest as u64);
            out.as_ref()
                .is_none_or(|out| Some(out.len() as u64) == room)
        };
        fits(&self.sha256, CHUNK_SIZE, DIGEST_SIZE)
            && fits(&self.sha512, CHUNK_SIZE, SHA512_SIZE)
            && fits(&self.leaves, BLOCK_SIZE as u64, DIGEST_SIZE)
            && fits(&self.salted_leaves, BLOCK_SIZE as u64, DIGEST_SIZE)
    }

    /// Takes off the first bytes of each, for so many chunks and blocks.
    fn take(&mut self, chunks: usize, blocks: usize) -> Self {
        Self {
            sha256: take(&mut self.sha256, chunks * DIGEST_SIZE),
            sha512: take(&mut self.sha512, chunks * SHA512_SIZE),
            leaves: take(&mut self.leaves, blocks * DIGEST_SIZE),
            salted_leaves: take(&mut self.salted_leaves, blocks * DIGEST_SIZE),
        }
    }
}

fn take<'a>(out: &mut Option<&'a mut [u8]>, size: usize) -> Option<&'a mut [u8]> {
    let (first, rest) = out
        .take()
        .map(|bytes| bytes.split_at_mut(size.min(bytes.len())))?;
    *out = Some(rest);
    Some(first)
}

/// Chunks of one size that a thread works on side by side.
struct Group<'a> {
    start: u64,
    chunks: usize,
    chunk_size: u64,
    digests: Digests<'a>,
}

/// Copies and hashes the section. The digests fit its size.
pub fn pass(section: &Section<'_>, mut digests: Digests<'_>) -> Result<(), Failure> {
    let lanes = section.engine.lanes();
    let wants = [
        digests.sha256.is_some(),
        digests.leaves.is_some(),
        digests.salted_leaves.is_some(),
    ];
    let mut groups = Vec::new();
    let mut start = 0;
    while start < section.size {
        let left = section.size - start;
        let whole = usize::try_from(left / CHUNK_SIZE).unwrap_or(usize::MAX);
        let (chunks, chunk_size) = match whole.min(lanes) {
            0 => (1, left),
            chunks => (chunks, CHUNK_SIZE),
        };
        let blocks = chunks * usize::try_from(chunk_size.div_ceil(BLOCK_SIZE as u64)).unwrap_or(0);
        groups.push(Group {
            start,
            chunks,
            chunk_size,
            digests: digests.take(chunks, blocks),
        });
        start += chunks as u64 * chunk_size;
    }
    threads::for_each(
        groups.into_iter(),
        section.threads,
        || Worker {
            section,
            lanes: (0..lanes).map(|_| Lane::new(SLICE)).collect(),
            leaves: wants[1].then(|| BlockHasher::new(section.engine, BLOCK_SIZE, &[])),
            salted: wants[2].then(|| BlockHasher::new(section.engine, BLOCK_SIZE, &VERITY_SALT)),
        },
        |worker, _, group| worker.run(group),
    )
}

/// What a thread works with.
struct Worker<'a> {
    section: &'a Section<'a>,
    lanes: Vec<Lane>,
    leaves: Option<BlockHasher>,
    salted: Option<BlockHasher>,
}

impl Worker<'_> {
    fn run(&mut self, group: Group<'_>) -> Result<(), Failure> {
        let Group {
            start,
            chunks,
            chunk_size,
            mut digests,
        } = group;
        let size = usize::try_from(chunk_size).unwrap_or(usize::MAX);
        let mut prefix = [CHUNK_MARK, 0, 0, 0, 0];
        prefix[1..].copy_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
        let mut sha256 = digests
            .sha256
            .is_some()
            .then(|| LongMessages::new(self.section.engine, chunks));
        let mut sha512: Vec<Sha512> = match digests.sha512 {
            Some(_) => vec![Sha512::new_with_prefix(prefix); chunks],
            None => Vec::new(),
        };
        for lane in &mut self.lanes {
            lane.start(&prefix);
        }
        for at in (0..size).step_by(SLICE) {
            let length = SLICE.min(size - at);
            for index in 0..chunks {
                let offset = start + (index * size + at) as u64;
                let data = self.copy(index, length, offset)?;
                if let Some(hash) = sha512.get_mut(index) {
                    hash.update(data);
                }
                let first = index * size.div_ceil(BLOCK_SIZE) + at / BLOCK_SIZE;
                self.hash_blocks(index, first * DIGEST_SIZE, &mut digests);
            }
            if let Some(sha256) = &mut sha256 {
                sha256.update(&each_lane(&self.lanes, Lane::whole)[..chunks]);
            }
            for lane in &mut self.lanes[..chunks] {
                lane.carry();
            }
        }
        if let (Some(sha256), Some(out)) = (sha256, digests.sha256) {
            let rests = each_lane(&self.lanes, Lane::carried);
            sha256.finish(&rests[..chunks], out.as_chunks_mut().0);
        }
        if let Some(out) = digests.sha512 {
            for (hash, digest) in sha512.into_iter().zip(out.chunks_exact_mut(SHA512_SIZE)) {
                digest.copy_from_slice(&hash.finalize());
            }
        }
        start_writing(self.section, start, (chunks * size) as u64);
        Ok(())
    }

    /// Reads the next slice of a chunk and writes it.
    fn copy(&mut self, lane: usize, length: usize, offset: u64) -> Result<&[u8], Failure> {
        let data = self.lanes[lane].fill(length);
        let Section { pieces, output, .. } = self.section;
        pieces.read(data, offset).map_err(Failure::Read)?;
        if let Some((file, base)) = output {
            file.write_all_at(data, base + offset)
                .map_err(|error| Failure::Write(error.raw_os_error().unwrap_or(0)))?;
        }
        Ok(data)
    }

    /// Hashes the blocks of a slice; `at` is where their digests go.
    fn hash_blocks(&mut self, lane: usize, at: usize, digests: &mut Digests<'_>) {
        let blocks = self.lanes[lane].blocks();
        for (hasher, out) in [
            (&mut self.leaves, &mut digests.leaves),
            (&mut self.salted, &mut digests.salted_leaves),
        ] {
            if let (Some(hasher), Some(out)) = (hasher, out) {
                hasher.hash(blocks, &mut out[at..]);
            }
        }
    }
}

/// Has the kernel start to write to the device what was just written to the file, so that the flush at the end finds little to
/// wait for. Only advice: what fails, or does nothing, costs time only.
fn start_writing(section: &Section<'_>, start: u64, size: u64) {
    if let (Some((file, base)), Some(size)) = (section.output, NonZeroU64::new(size)) {
        let _ = fadvise(file, base + start, Some(size), Advice::DontNeed);
    }
}

/// Part of the slice of each lane.
fn each_lane<'a>(
    lanes: &'a [Lane],
    part: impl Fn(&'a Lane) -> &'a [u8],
) -> [&'a [u8]; Engine::MAX_LANES] {
    let mut parts: [&[u8]; Engine::MAX_LANES] = [&[]; Engine::MAX_LANES];
    for (place, lane) in parts.iter_mut().zip(lanes) {
        *place = part(lane);
    }
    parts
}
