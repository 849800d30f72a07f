//! Work in equal pieces on several threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;
use std::thread;

/// More is a mistake of the caller.
pub const MAX_THREADS: usize = 256;

/// Gives each piece to the next thread that is free; the calling thread is one of them. Each thread makes itself a state
/// to work with (buffers) when it starts. Stops early at an error; of several, the one of the first piece counts.
///
/// A system that refuses a thread gets the work done by fewer.
pub fn for_each<T: Send, S, E: Send>(
    pieces: impl ExactSizeIterator<Item = T> + Send,
    threads: usize,
    new_state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize, T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let helpers = threads.clamp(1, MAX_THREADS).min(pieces.len().max(1)) - 1;
    let pieces = Mutex::new(pieces.enumerate());
    let failure = Mutex::new(None::<(usize, E)>);
    let failed = AtomicBool::new(false);
    let run = || {
        let mut state = new_state();
        while !failed.load(Ordering::Relaxed) {
            let Some((index, piece)) = lock(&pieces).next() else {
                return;
            };
            if let Err(error) = work(&mut state, index, piece) {
                failed.store(true, Ordering::Relaxed);
                let mut failure = lock(&failure);
                if failure.as_ref().is_none_or(|(first, _)| index < *first) {
                    *failure = Some((index, error));
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..helpers {
            if thread::Builder::new().spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
    let failure = lock(&failure).take();
    failure.map_or(Ok(()), |(_, error)| Err(error))
}

/// Nothing unwinds here, so no lock is ever poisoned; if one were, its value would still be whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
