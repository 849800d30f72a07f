//! Writes an image whose files are compressed, in one pass over them: the twin of `src/formats/erofs/compressed-writer.ts`,
//! which says what goes where. Threads read and compress, the calling one writes what they made in the order of the inodes.
//!
//! Fragments are the twin's alone.

mod appender;
mod extents;
mod groups;
mod index;
mod queue;
mod segments;
mod tails;
mod writer;

use super::plan::Plan;
use crate::cluster_batch::{self, Algorithm, Sizes};
use queue::Queue;
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use writer::Writer;

pub struct Settings {
    pub algorithm: Algorithm,
    pub level: u32,
    /// The block is that of the plan.
    pub sizes: Sizes,
    /// Whether what does not fill a cluster may stand behind the inode.
    pub inline_tails: bool,
    pub threads: usize,
}

/// What others see of the work, and how they stop it.
#[derive(Default)]
pub struct Control {
    /// Bytes of files that are in the image.
    pub done: AtomicU64,
    pub cancelled: AtomicBool,
}

/// What the superblock tells.
pub struct Written {
    pub blocks: u64,
    pub root_offset: u64,
    pub compressed_files: u64,
    /// Whether data stands behind an index.
    pub has_tails: bool,
}

/// What went wrong: the first thing in the order of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The caller asked to stop.
    Cancelled,
    /// The system's error on reading a file.
    Read { number: u32, errno: i32 },
    /// A file has another size: at least `found` bytes if that is more than expected, else exactly so many.
    Size { number: u32, found: u64 },
    /// The system's error on writing the image.
    Write(i32),
    /// It would have this many blocks, or more.
    Blocks(u64),
    /// No such algorithm or level.
    Refused,
}

impl Failure {
    fn of_file(number: usize, failure: cluster_batch::Failure) -> Self {
        let number = number as u32;
        match failure {
            cluster_batch::Failure::Refused => Self::Refused,
            cluster_batch::Failure::System(errno) => Self::Read { number, errno },
            cluster_batch::Failure::Size(found) => Self::Size { number, found },
        }
    }
}

/// Writes the image of an unplaced plan at an offset of a file, all but the superblock and what stands behind that.
pub fn write(
    plan: &Plan,
    settings: &Settings,
    file: &File,
    base: u64,
    control: &Control,
) -> Result<Written, Failure> {
    let queue = Queue::new(plan, settings.threads);
    thread::scope(|scope| {
        let mut helpers = 0;
        for _ in 0..settings.threads {
            let work = || queue.work(plan, settings, &control.cancelled);
            if thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
            helpers += 1;
        }
        if helpers == 0 {
            return Err(Failure::Refused);
        }
        let written = Writer::new(plan, settings, file, base, control).write(&queue);
        queue.stop();
        written
    })
}
