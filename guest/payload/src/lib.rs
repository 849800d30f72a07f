//! What a payload in Rust asks of its VM: Android's payload API, and services by AIDL.
//!
//! A payload is a `cdylib` without std that runs on the libc of the image. `vm_main!` names its entry point,
//! [`run_vsock_rpc_server`] serves an object that `microbuild aidl rust` made from an interface (with
//! `--runtime vm_payload::aidl`), [`connect_unix`] and [`connect_vsock`] reach the objects of others. `docs/payloads.md`
//! shows a whole one.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod client;
pub mod manager;
pub mod platform;
pub mod server;

/// What generated code is built on.
pub use microbuild_aidl_runtime as aidl;
pub use microbuild_sys::payload::process::{abort, print_error, print_line};
pub use microbuild_sys::payload::Errno;

use crate::client::ClientOptions;
use crate::manager::{Manager, ManagerError};
use crate::platform::Process;
use crate::server::Acceptor;
use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use microbuild_aidl_runtime::{AidlObject, Binder, StatusCode};
use microbuild_rpc::Error;
use microbuild_sys::payload::process;
use microbuild_sys::payload::socket::{Listener, Socket, VMADDR_CID_HOST};
use microbuild_sys::payload::thread::Global;

/// Names the payload's entry point: a `fn() -> i32`, whose result is the payload's exit code.
#[macro_export]
macro_rules! vm_main {
    ($main:path) => {
        #[no_mangle]
        pub extern "C" fn AVmPayload_main() -> core::ffi::c_int {
            let main: fn() -> i32 = $main;
            main()
        }
    };
}

/// Writes a line to the VM's log, formatted as by `format!`.
#[macro_export]
macro_rules! log {
    ($($argument:tt)*) => {
        $crate::print_error(core::format_args!($($argument)*))
    };
}

/// How many calls each client may make at once.
const THREADS: u32 = 8;

static MANAGER: Global<Manager> = Global::new(Manager::default);
static NOTIFIED: AtomicBool = AtomicBool::new(false);

/// The manager of this VM.
pub fn manager() -> &'static Manager {
    MANAGER.get()
}

/// Tells the host that the payload is ready, and waits until it knows. Calls after the first do nothing.
///
/// # Errors
/// When the host cannot be told: the VM is then beyond help.
pub fn notify_payload_ready() -> Result<(), ManagerError> {
    match NOTIFIED.swap(true, Ordering::Relaxed) {
        true => Ok(()),
        false => manager().notify_payload_ready(),
    }
}

/// `size` bytes, at most 32, that are the same at each boot of this instance: see `docs/secrets.md`.
///
/// # Errors
/// For a size above 32, and when the manager cannot be asked.
pub fn vm_instance_secret(identifier: &[u8], size: usize) -> Result<Vec<u8>, ManagerError> {
    manager().vm_instance_secret(identifier, size)
}

/// Whether this is the first boot of the instance, whose secrets are then new.
///
/// # Errors
/// When the manager cannot be asked.
pub fn is_new_instance() -> Result<bool, ManagerError> {
    manager().is_new_instance()
}

/// The directory with the contents of the payload's APK, verified and read-only.
pub fn apk_contents_path() -> &'static str {
    "/mnt/apk"
}

/// The directory of the VM's encrypted storage: none, as a VM of this kind keeps nothing.
pub fn encrypted_storage_path() -> Option<&'static str> {
    None
}

/// Makes an object of this process that can be served, or given to a peer.
pub fn new_binder(service: impl aidl::Service) -> Binder {
    Binder::new::<Process>(service)
}

/// Serves an object on a vsock port, for the host alone, and never returns. `on_ready` is called once connections are
/// accepted: the place for [`notify_payload_ready`]. Ends the process when it cannot serve.
pub fn run_vsock_rpc_server(root: &Binder, port: u32, on_ready: impl FnOnce()) -> ! {
    let what = format!("Cannot serve on vsock port {port}");
    let Some(root) = root.object::<Process>() else {
        process::abort(format_args!("{what}: the object is of another environment"));
    };
    let listener = match Listener::bind_vsock(port) {
        Ok(listener) => listener,
        Err(error) => process::abort(format_args!("{what}: {error}")),
    };
    on_ready();
    match Acceptor::new(root, listener, Some(VMADDR_CID_HOST), THREADS).run() {
        Ok(()) => process::abort(format_args!("{what}: the server was ended")),
        Err(error) => process::abort(format_args!("{what}: {error}")),
    }
}

fn open(dial: impl FnMut() -> Result<Socket, Errno>) -> Result<Binder, Error> {
    let options = ClientOptions {
        max_outgoing: 1,
        incoming: 0,
    };
    let root = client::open::<AidlObject<Process>>(options, dial)?;
    let root = root.ok_or(StatusCode::NAME_NOT_FOUND)?;
    Ok(Binder::from_object(&root))
}

/// The object that is served at the unix socket `/dev/socket/NAME`, such as the keystore's (`microbuild_keystore`).
///
/// # Errors
/// When nobody serves there.
pub fn connect_unix(name: &str) -> Result<Binder, Error> {
    let path = format!("/dev/socket/{name}");
    open(|| Socket::connect_unix(&path))
}

/// The object that is served at a vsock port; the host's CID is 2.
///
/// # Errors
/// When nobody serves there.
pub fn connect_vsock(cid: u32, port: u32) -> Result<Binder, Error> {
    open(|| Socket::connect_vsock(cid, port))
}
