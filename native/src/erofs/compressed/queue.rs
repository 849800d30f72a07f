//! Jobs for threads that compress, and their results for the one that writes, in order.

use super::super::plan::Plan;
use super::segments::{Batch, Jobs, Worker};
use super::{Failure, Settings};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Jobs of each thread that may wait to be written, or be at work: it bounds the memory.
const AHEAD: usize = 4;

struct State<'a> {
    jobs: Jobs<'a>,
    /// How many were given out, and how many taken back.
    given: usize,
    taken: usize,
    /// No more will be given out.
    ended: bool,
    finished: BTreeMap<usize, Result<Batch, Failure>>,
    spare: Vec<Batch>,
}

pub struct Queue<'a> {
    state: Mutex<State<'a>>,
    window: usize,
    /// There may be room for another job.
    drained: Condvar,
    /// There is a result, or none will come.
    filled: Condvar,
}

impl<'a> Queue<'a> {
    pub fn new(plan: &'a Plan, threads: usize) -> Self {
        Self {
            state: Mutex::new(State {
                jobs: Jobs::new(plan),
                given: 0,
                taken: 0,
                ended: false,
                finished: BTreeMap::new(),
                spare: Vec::new(),
            }),
            window: threads * AHEAD,
            drained: Condvar::new(),
            filled: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        // Nothing panics while it holds the lock, as a panic ends the process.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does jobs until there are no more.
    pub fn work(&self, plan: &Plan, settings: &Settings, cancelled: &AtomicBool) {
        let mut worker = Worker::new(plan, settings);
        let mut segments = Vec::new();
        loop {
            let mut state = self.lock();
            while !state.ended && state.given - state.taken >= self.window {
                state = self
                    .drained
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if state.ended || !state.jobs.next(&mut segments) {
                state.ended = true;
                drop(state);
                self.filled.notify_all();
                return;
            }
            let number = state.given;
            state.given += 1;
            let mut batch = state.spare.pop().unwrap_or_default();
            drop(state);
            let result = if cancelled.load(Ordering::Relaxed) {
                Err(Failure::Cancelled)
            } else {
                worker
                    .run(&segments, &mut batch)
                    .map_err(|(node, failure)| Failure::of_file(node, failure))
            };
            self.lock().finished.insert(number, result.map(|()| batch));
            self.filled.notify_all();
        }
    }

    /// The next result, in order. The batch before comes back with it.
    pub fn next(&self, before: Option<Batch>) -> Option<Result<Batch, Failure>> {
        let mut state = self.lock();
        state.spare.extend(before);
        loop {
            let number = state.taken;
            if let Some(result) = state.finished.remove(&number) {
                state.taken += 1;
                drop(state);
                self.drained.notify_all();
                return Some(result);
            }
            if state.ended && state.taken == state.given {
                return None;
            }
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// No more jobs are wanted.
    pub fn stop(&self) {
        self.lock().ended = true;
        self.drained.notify_all();
    }
}
