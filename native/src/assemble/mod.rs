//! Writes an image from pieces of files and bytes, on several threads, in one pass: what is read is hashed and written while
//! it is in the cache. The same bytes come out whatever the number of threads is and whichever of them is first.
//!
//! What is not written stays a hole: the part of the file that becomes the image must read as zeros before.

pub mod batch;
mod image;
mod worker;

pub use image::{Hashing, Image, Previous, SEGMENT_SIZE};

use batch::{Limits, Piece, Task};
use image::lock;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use worker::Worker;

/// A task's own blocks: large enough to hide the calls, small enough to stay in the cache.
const TASK_SIZE: u64 = 1 << 20;

/// Bytes of batches that wait; with more of them `add` does.
const MAX_WAITING: usize = 16 << 20;

/// What went wrong. Of several failures the first one in the order of files is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The caller asked to stop.
    Cancelled,
    /// The system's error on reading a file.
    Read { number: u32, errno: i32 },
    /// A file has another size: at least `found` bytes if that is more than expected, else exactly so many.
    Size { number: u32, found: u64 },
    /// The system's error on writing the image.
    Write(i32),
    /// The system's error on reading the previous image; 0 where it ends early.
    Previous(i32),
    /// Shared bytes are missing, or came twice.
    Unfinished,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Task>,
    /// Sizes of the blobs of batches with tasks in the queue.
    waiting: VecDeque<(usize, usize)>,
    waiting_bytes: usize,
    closed: bool,
    failure: Option<Failure>,
}

struct Shared {
    image: Image,
    block_size: usize,
    queue: Mutex<Queue>,
    /// There are tasks, or none will come.
    filled: Condvar,
    /// There is room for another batch.
    drained: Condvar,
    /// Bytes of files and batches that are in the image.
    done: AtomicU64,
}

impl Shared {
    fn fail(&self, failure: Failure) {
        let mut queue = lock(&self.queue);
        queue.failure = Some(queue.failure.map_or(failure, |first| first.min(failure)));
        queue.tasks.clear();
        queue.waiting.clear();
        queue.waiting_bytes = 0;
        drop(queue);
        self.filled.notify_all();
        self.drained.notify_all();
    }

    /// The next task; `None` when there will be no more.
    fn next(&self) -> Option<Task> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.failure.is_some() {
                return None;
            }
            if let Some(task) = queue.tasks.pop_front() {
                queue.taken();
                drop(queue);
                self.drained.notify_all();
                return Some(task);
            }
            if queue.closed {
                return None;
            }
            queue = self
                .filled
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        let mut worker = Worker::new(&self.image, self.block_size, &self.done);
        while let Some(task) = self.next() {
            if let Err(failure) = worker.run(&task) {
                self.fail(failure);
            }
        }
    }
}

impl Queue {
    /// Counts the batches down: the first one is done when its last task was taken.
    fn taken(&mut self) {
        if let Some((tasks, bytes)) = self.waiting.front_mut() {
            *tasks -= 1;
            if *tasks == 0 {
                self.waiting_bytes -= *bytes;
                self.waiting.pop_front();
            }
        }
    }
}

/// An image in the making, and the threads that make it.
pub struct Assembly {
    shared: Arc<Shared>,
    limits: Limits,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Assembly {
    /// Starts the threads. Sizes are whole blocks, and a block of hashing divides them.
    pub fn start(
        image: Image,
        size: u64,
        shared_size: u64,
        block_size: usize,
        threads: usize,
    ) -> Self {
        let shared = Arc::new(Shared {
            image,
            block_size,
            queue: Mutex::default(),
            filled: Condvar::new(),
            drained: Condvar::new(),
            done: AtomicU64::new(0),
        });
        let threads = (0..threads.max(1))
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.work())
            })
            .collect();
        let previous_size = shared.image.previous_size();
        Self {
            shared,
            limits: Limits {
                size,
                previous_size,
                block_size: block_size as u64,
                shared_size,
                task_size: TASK_SIZE,
            },
            threads: Mutex::new(threads),
        }
    }

    /// Takes another batch; waits while enough of them do already. `None` when the batch is malformed.
    pub fn add(&self, blob: Vec<u8>, words: &[u32]) -> Option<()> {
        let pieces = batch::decode(&blob, words, &self.limits)?;
        self.add_pieces(blob, pieces);
        Some(())
    }

    /// The same with pieces that are within the image. Returns false when no more are wanted, as something went wrong.
    pub fn add_pieces(&self, blob: Vec<u8>, pieces: Vec<Piece>) -> bool {
        let size = blob.len() + size_of_val(pieces.as_slice());
        let tasks = batch::cut(blob, pieces, &self.limits);
        let mut queue = lock(&self.shared.queue);
        while queue.waiting_bytes > MAX_WAITING {
            queue = self
                .shared
                .drained
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let wanted = queue.failure.is_none();
        if wanted && !tasks.is_empty() {
            queue.waiting.push_back((tasks.len(), size));
            queue.waiting_bytes += size;
            queue.tasks.extend(tasks);
        }
        drop(queue);
        self.shared.filled.notify_all();
        wanted
    }

    /// Whether pieces that are within an image of these sizes are within this one.
    pub fn is_of(&self, size: u64, shared_size: u64, block_size: u64) -> bool {
        let limits = &self.limits;
        (limits.size, limits.shared_size, limits.block_size) == (size, shared_size, block_size)
    }

    /// Bytes that are done.
    pub fn progress(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Stops soon.
    pub fn cancel(&self) {
        self.shared.fail(Failure::Cancelled);
    }

    /// Waits for the threads.
    pub fn finish(&self) -> Result<&Image, Failure> {
        lock(&self.shared.queue).closed = true;
        self.shared.filled.notify_all();
        for thread in core::mem::take(&mut *lock(&self.threads)) {
            if thread.join().is_err() {
                return Err(Failure::Unfinished);
            }
        }
        match lock(&self.shared.queue).failure {
            Some(failure) => Err(failure),
            None if self.shared.image.is_complete() => Ok(&self.shared.image),
            None => Err(Failure::Unfinished),
        }
    }
}

impl Drop for Assembly {
    fn drop(&mut self) {
        self.cancel();
        let _ = self.finish();
    }
}
