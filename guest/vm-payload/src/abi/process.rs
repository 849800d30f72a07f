//! `android/binder_process.h`, and who calls: what has a meaning with Android's kernel driver and little here.

use super::binder::AIBinder;
use core::ffi::{c_char, c_int};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use microbuild_rpc::StatusCode;
use microbuild_sys::payload::process;

/// Connections by which a client may call at once, where the payload does not say.
const DEFAULT_THREADS: u32 = 8;

static THREADS: AtomicU32 = AtomicU32::new(DEFAULT_THREADS);
static STARTED: AtomicBool = AtomicBool::new(false);

/// Connections by which each client of the payload's server may call.
pub fn threads() -> u32 {
    THREADS.load(Ordering::Relaxed)
}

#[no_mangle]
pub extern "C" fn ABinderProcess_setThreadPoolMaxThreadCount(threads: u32) -> bool {
    // With Android's driver the thread that joins the pool comes on top.
    THREADS.store(threads.saturating_add(1), Ordering::Relaxed);
    true
}

#[no_mangle]
pub extern "C" fn ABinderProcess_startThreadPool() {
    STARTED.store(true, Ordering::Relaxed); // servers here bring their own threads
}

#[no_mangle]
pub extern "C" fn ABinderProcess_isThreadPoolStarted() -> bool {
    STARTED.load(Ordering::Relaxed)
}

#[no_mangle]
pub extern "C" fn ABinderProcess_joinThreadPool() {
    loop {
        process::sleep_milliseconds(u32::MAX);
    }
}

/// # Safety
/// `fd` is null or has room for a number.
#[no_mangle]
pub unsafe extern "C" fn ABinderProcess_setupPolling(fd: *mut c_int) -> i32 {
    if !fd.is_null() {
        // SAFETY: the caller's promise.
        unsafe { fd.write(-1) };
    }
    StatusCode::INVALID_OPERATION.0
}

#[no_mangle]
pub extern "C" fn ABinderProcess_handlePolledCommands() -> i32 {
    StatusCode::INVALID_OPERATION.0
}

#[no_mangle]
pub extern "C" fn AIBinder_getCallingUid() -> u32 {
    process::user_id() // as libbinder answers for RPC, which does not say who calls
}

#[no_mangle]
pub extern "C" fn AIBinder_getCallingPid() -> i32 {
    process::process_id()
}

#[no_mangle]
pub extern "C" fn AIBinder_getCallingSid() -> *const c_char {
    ptr::null()
}

#[no_mangle]
pub extern "C" fn AIBinder_isHandlingTransaction() -> bool {
    false // as libbinder answers for RPC: no transaction of the kernel driver
}

/// # Safety
/// Takes any pointer.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_setRequestingSid(_binder: *mut AIBinder, _requesting: bool) {}

/// # Safety
/// Takes any pointer.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_setMinSchedulerPolicy(
    _binder: *mut AIBinder,
    _policy: c_int,
    _priority: c_int,
) {
}

/// # Safety
/// Takes any pointer.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_setInheritRt(_binder: *mut AIBinder, _inherit: bool) {}

/// # Safety
/// Takes any pointer.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_setMinRpcThreads(binder: *mut AIBinder, threads: u16) -> i32 {
    match (threads, binder.is_null()) {
        (0, _) => StatusCode::BAD_VALUE.0,
        (_, true) => StatusCode::UNEXPECTED_NULL.0,
        _ => {
            THREADS.fetch_max(u32::from(threads), Ordering::Relaxed);
            StatusCode::OK.0
        }
    }
}
