//! Threads that nobody waits for, and a mutex.

use super::bindings::{self, PthreadAttr, PthreadMutex, PTHREAD_CREATE_DETACHED};
use super::{process, Errno};
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::ffi::c_void;

/// musl's default is 128 KiB, which is little for code that was written for Android, where it is about 1 MiB.
const STACK_SIZE: usize = 1 << 20;

type Start = Box<dyn FnOnce() + Send>;

extern "C" fn run(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `spawn` made this pointer of a box and gave it up.
    let start: Box<Start> = unsafe { Box::from_raw(argument.cast()) };
    start();
    core::ptr::null_mut()
}

fn check(error: i32) -> Result<(), Errno> {
    match error {
        0 => Ok(()),
        error => Err(Errno(error)),
    }
}

/// Runs a function in a thread of its own.
pub fn spawn(start: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
    let start: Box<Start> = Box::new(Box::new(start));
    let mut attributes = PthreadAttr([0; 128]);
    // SAFETY: the room is large enough for what either libc writes there.
    check(unsafe { bindings::pthread_attr_init(&mut attributes) })?;
    // SAFETY: the attributes are initialised, up to their destruction below.
    let prepared = check(unsafe {
        bindings::pthread_attr_setdetachstate(&mut attributes, PTHREAD_CREATE_DETACHED)
    })
    // SAFETY: as above.
    .and_then(|()| {
        check(unsafe { bindings::pthread_attr_setstacksize(&mut attributes, STACK_SIZE) })
    });
    let created = prepared.and_then(|()| {
        let argument = Box::into_raw(start);
        let mut thread = 0;
        // SAFETY: attributes as above; `run` takes the box back, and is the only one to, unless no thread was made.
        check(unsafe { bindings::pthread_create(&mut thread, &attributes, run, argument.cast()) })
            .inspect_err(|_| {
                // SAFETY: no thread was made, so the box is still ours.
                drop(unsafe { Box::from_raw(argument) });
            })
    });
    // SAFETY: initialised above and used no more.
    unsafe { bindings::pthread_attr_destroy(&mut attributes) };
    created
}

/// A value that one thread at a time may change.
pub struct Mutex<T> {
    /// Boxed: a mutex in use must not move.
    lock: Box<UnsafeCell<PthreadMutex>>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only in `with`, by one thread at a time, so sending it between threads is all that is asked
// of it; a pthread mutex may be used from any thread.
unsafe impl<T: Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        let lock = Box::new(UnsafeCell::new(PthreadMutex([0; 64])));
        // SAFETY: the room is large enough for what either libc writes there, and has its final address.
        let error = unsafe { bindings::pthread_mutex_init(lock.get(), core::ptr::null()) };
        if error != 0 {
            process::abort(format_args!("Cannot make a mutex: {}", Errno(error)));
        }
        Self {
            lock,
            value: UnsafeCell::new(value),
        }
    }

    /// Runs a function on the value, which must not lock the same mutex again.
    pub fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the mutex is initialised.
        let error = unsafe { bindings::pthread_mutex_lock(self.lock.get()) };
        if error != 0 {
            process::abort(format_args!("Cannot lock a mutex: {}", Errno(error)));
        }
        // SAFETY: the lock is held, so this is the only reference until it is given back below. A panic in between leaves
        // the mutex locked for good and so the value out of reach.
        let result = change(unsafe { &mut *self.value.get() });
        // SAFETY: the mutex is initialised and held by this thread.
        unsafe { bindings::pthread_mutex_unlock(self.lock.get()) };
        result
    }
}

impl<T> Drop for Mutex<T> {
    fn drop(&mut self) {
        // SAFETY: initialised, and nobody else has it any more.
        unsafe { bindings::pthread_mutex_destroy(self.lock.get()) };
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use alloc::sync::Arc;
    use std::sync::mpsc;

    #[test]
    fn a_mutex_lets_one_thread_at_a_time_change_its_value() {
        let counter = Arc::new(Mutex::new((0_u32, 0_u32)));
        let (done, finished) = mpsc::channel();
        for _ in 0..8 {
            let (counter, done) = (Arc::clone(&counter), done.clone());
            let work = move || {
                for _ in 0..2000 {
                    counter.with(|(first, second)| {
                        *first += 1;
                        std::thread::yield_now();
                        *second += 1;
                        assert_eq!(first, second);
                    });
                }
                done.send(()).unwrap();
            };
            spawn(work).unwrap();
        }
        (0..8).for_each(|_| finished.recv().unwrap());
        assert_eq!(counter.with(|value| *value), (16_000, 16_000));
    }

    #[test]
    fn a_thread_has_a_stack_of_the_size_that_payloads_expect() {
        let (done, finished) = mpsc::channel();
        spawn(move || {
            let mut large = [1_u8; 900 << 10];
            std::hint::black_box(&mut large);
            done.send(large.iter().map(|byte| u64::from(*byte)).sum::<u64>())
                .unwrap();
        })
        .unwrap();
        assert_eq!(finished.recv(), Ok(900 << 10));
    }
}
