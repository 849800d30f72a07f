//! `vm_payload.h`: what a payload asks of its VM.

use super::binder::{AIBinder, BinderService};
use crate::{manager, server};
use core::ffi::{c_char, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use microbuild_sys::payload::process;

/// Whether the host was told: it is told once.
static NOTIFIED: AtomicBool = AtomicBool::new(false);

#[no_mangle]
pub extern "C" fn AVmPayload_notifyPayloadReady() {
    if NOTIFIED.swap(true, Ordering::Relaxed) {
        return;
    }
    if let Err(why) = manager::notify_payload_ready() {
        process::abort(format_args!("Failed to notify payload ready: {why}"));
    }
}

/// # Safety
/// `service` is an object to which the caller has a reference; `on_ready` is null or takes `param`.
#[no_mangle]
pub unsafe extern "C" fn AVmPayload_runVsockRpcServer(
    service: *mut AIBinder,
    port: u32,
    on_ready: Option<unsafe extern "C" fn(*mut c_void)>,
    param: *mut c_void,
) -> ! {
    // SAFETY: the caller's promise.
    let Some(service) = (unsafe { BinderService::new(service) }) else {
        process::abort(format_args!(
            "Cannot serve on vsock port {port}: the service is null"
        ));
    };
    server::run(service, port, || {
        if let Some(on_ready) = on_ready {
            // SAFETY: the caller's promise.
            unsafe { on_ready(param) };
        }
    })
}

#[no_mangle]
pub extern "C" fn AVmPayload_getApkContentsPath() -> *const c_char {
    c"/mnt/apk".as_ptr()
}

#[no_mangle]
pub extern "C" fn AVmPayload_getEncryptedStoragePath() -> *const c_char {
    ptr::null() // no VM of ours has a writable disk
}
