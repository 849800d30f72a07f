//! How fast this machine can be at best.

use crate::sha256::{BlockHasher, Engine, DIGEST_SIZE};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;
/// A thread's memory: more than its part of the caches.
const MEMORY: usize = 64 << 20;
const PIECE: usize = 192 * BLOCK;

/// Bytes per second that the engine hashes in memory, all threads together. A warm-up of the same length comes first.
pub fn sha256(engine: Engine, threads: usize, milliseconds: u32) -> f64 {
    let threads = threads.clamp(1, crate::threads::MAX_THREADS);
    let time = Duration::from_millis(u64::from(milliseconds.clamp(1, 60_000)));
    let barrier = Barrier::new(threads);
    let rate = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let memory: Vec<u8> = (0..MEMORY).map(|at| (at % 251) as u8 | 1).collect();
                let mut out = vec![0; PIECE / BLOCK * DIGEST_SIZE];
                let mut hasher = BlockHasher::new(engine, BLOCK, &[]);
                let mut pieces = memory.chunks_exact(PIECE).cycle();
                let mut run = || {
                    let start = Instant::now();
                    let mut bytes = 0_u64;
                    while start.elapsed() < time {
                        hasher.hash(pieces.next().unwrap_or(&[]), &mut out);
                        bytes += PIECE as u64;
                    }
                    bytes as f64 / start.elapsed().as_secs_f64()
                };
                barrier.wait();
                run();
                let per_second = run();
                rate.fetch_add(per_second as u64, Ordering::Relaxed);
            });
        }
    });
    rate.into_inner() as f64
}
