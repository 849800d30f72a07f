//! Threads that nobody waits for; a mutex, a condition to wait for, values that live as long as the process.

use super::bindings::{self, PthreadAttr, PthreadCond, PthreadMutex, PTHREAD_CREATE_DETACHED};
use super::{process, Errno};
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::sync::atomic::{AtomicPtr, Ordering};

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

/// A value that one thread at a time may change, and on whose changes others wait.
pub struct Monitor<T> {
    value: Mutex<T>,
    /// Boxed: a condition that is waited for must not move.
    changed: Box<UnsafeCell<PthreadCond>>,
}

// SAFETY: the value is the mutex's, and a pthread condition may be used from any thread.
unsafe impl<T: Send> Send for Monitor<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Monitor<T> {}

impl<T> Monitor<T> {
    pub fn new(value: T) -> Self {
        let changed = Box::new(UnsafeCell::new(PthreadCond([0; 64])));
        // SAFETY: the room is large enough for what either libc writes there, and has its final address.
        let error = unsafe { bindings::pthread_cond_init(changed.get(), core::ptr::null()) };
        if error != 0 {
            process::abort(format_args!("Cannot make a condition: {}", Errno(error)));
        }
        Self {
            value: Mutex::new(value),
            changed,
        }
    }

    /// Runs a function on the value, then wakes all that wait for a change. The function must not use this monitor.
    pub fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = self.value.with(change);
        // SAFETY: the condition is initialised.
        unsafe { bindings::pthread_cond_broadcast(self.changed.get()) };
        result
    }

    /// Runs a function on the value, again after each change, until it gives a result.
    pub fn wait<R>(&self, mut attempt: impl FnMut(&mut T) -> Option<R>) -> R {
        self.value.with(|value| loop {
            if let Some(result) = attempt(value) {
                return result;
            }
            // SAFETY: the condition is initialised, and the mutex held by this thread: `with` locked it. While the thread
            // waits it is not; nobody uses `value` here meanwhile, and others change it one at a time.
            unsafe { bindings::pthread_cond_wait(self.changed.get(), self.value.lock.get()) };
        })
    }
}

impl<T> Drop for Monitor<T> {
    fn drop(&mut self) {
        // SAFETY: initialised, and nobody else has it any more, so nobody waits.
        unsafe { bindings::pthread_cond_destroy(self.changed.get()) };
    }
}

/// A value made when it is first asked for, which lives as long as the process.
pub struct Global<T> {
    value: AtomicPtr<T>,
    make: fn() -> T,
}

impl<T: Send + Sync + 'static> Global<T> {
    pub const fn new(make: fn() -> T) -> Self {
        Self {
            value: AtomicPtr::new(core::ptr::null_mut()),
            make,
        }
    }

    /// The value. Threads that ask at once may each make one; all get the same, and the others are dropped.
    pub fn get(&self) -> &T {
        let mut value = self.value.load(Ordering::Acquire);
        if value.is_null() {
            let made = Box::into_raw(Box::new((self.make)()));
            let stored = self.value.compare_exchange(
                core::ptr::null_mut(),
                made,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            value = match stored {
                Ok(_) => made,
                Err(other) => {
                    // SAFETY: it was made above of a box, and not stored.
                    drop(unsafe { Box::from_raw(made) });
                    other
                }
            };
        }
        // SAFETY: not null, so made of a box by the lines above, on this thread or, seen by Acquire, on another. What is
        // stored is never changed nor freed.
        unsafe { &*value }
    }
}

/// A number of the calling thread, no other's as long as it lives.
pub fn current() -> u64 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { bindings::pthread_self() as u64 }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use alloc::sync::Arc;
    use alloc::vec::Vec;
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
    fn a_monitor_wakes_those_who_wait_for_its_change() {
        let turn = Arc::new(Monitor::new(0_u32));
        let (done, finished) = mpsc::channel();
        for mine in (1..=8).rev() {
            let (turn, done) = (Arc::clone(&turn), done.clone());
            spawn(move || {
                turn.wait(|value| (*value == mine).then_some(()));
                turn.with(|value| *value += 1);
                done.send(mine).unwrap();
            })
            .unwrap();
        }
        turn.with(|value| *value = 1);
        let mut order: Vec<u32> = (0..8).map(|_| finished.recv().unwrap()).collect();
        order.sort_unstable();
        assert_eq!(order, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(turn.with(|value| *value), 9);
    }

    #[test]
    fn a_global_value_is_the_same_for_all_threads() {
        static VALUE: Global<Mutex<u32>> = Global::new(|| Mutex::new(7));
        let (done, finished) = mpsc::channel();
        for _ in 0..8 {
            let done = done.clone();
            let ask = move || {
                done.send(core::ptr::from_ref(VALUE.get()) as usize)
                    .unwrap()
            };
            spawn(ask).unwrap();
        }
        let seen: Vec<usize> = (0..8).map(|_| finished.recv().unwrap()).collect();
        assert!(seen.iter().all(|address| *address == seen[0]));
        assert_eq!(VALUE.get().with(|value| *value), 7);
    }

    #[test]
    fn threads_that_live_at_once_have_different_numbers() {
        let (done, finished) = mpsc::channel();
        let (end, until) = mpsc::channel::<()>();
        spawn(move || {
            done.send(current()).unwrap();
            until.recv().unwrap_err();
        })
        .unwrap();
        assert_ne!(finished.recv(), Ok(current()));
        drop(end);
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
