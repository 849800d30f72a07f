//! `android/binder_rpc_unstable.h`: servers and sessions on sockets of the caller's choice.

use super::binder::{give, share, AIBinder};
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use core::ffi::{c_char, c_int, c_uint, c_void, CStr};
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};
use microbuild_sys::payload::process;
use microbuild_sys::payload::socket::{Listener, Socket};
use microbuild_sys::payload::thread::{spawn, Mutex};
use microbuild_sys::payload::Errno;
use vm_payload::client::{self, ClientOptions};
use vm_payload::server::Acceptor;

/// libbinder's default.
const DEFAULT_MAX_OUTGOING: usize = 10;
/// Serves any CID.
const VMADDR_CID_ANY: c_uint = c_uint::MAX;

enum ServerState {
    Idle(Arc<AIBinder>, Listener, Option<u32>),
    Running(Arc<Acceptor<AIBinder>>),
    Ended,
}

pub struct ARpcServer {
    state: Mutex<ServerState>,
    max_threads: AtomicU32,
}

impl ARpcServer {
    fn give(root: Arc<AIBinder>, listener: Listener, peer_cid: Option<u32>) -> *mut Self {
        Box::into_raw(Box::new(Self {
            state: Mutex::new(ServerState::Idle(root, listener, peer_cid)),
            max_threads: AtomicU32::new(1),
        }))
    }

    /// The running server, started by the first who asks.
    fn acceptor(&self) -> Option<Arc<Acceptor<AIBinder>>> {
        let max_threads = self.max_threads.load(Ordering::Relaxed);
        self.state.with(|state| {
            *state = match core::mem::replace(state, ServerState::Ended) {
                ServerState::Idle(root, listener, cid) => {
                    ServerState::Running(Acceptor::new(root, listener, cid, max_threads))
                }
                other => other,
            };
            match state {
                ServerState::Running(acceptor) => Some(Arc::clone(acceptor)),
                _ => None,
            }
        })
    }
}

fn run(acceptor: &Arc<Acceptor<AIBinder>>) {
    if let Err(error) = acceptor.run() {
        process::print_error(format_args!("An RPC server has ended: {error}"));
    }
}

/// # Safety
/// `service` is null or an object to which the caller has a reference; `assigned` is null or has room for a number.
#[no_mangle]
pub unsafe extern "C" fn ARpcServer_newVsock(
    service: *mut AIBinder,
    cid: c_uint,
    port: c_uint,
    assigned: *mut c_uint,
) -> *mut ARpcServer {
    // SAFETY: the caller's promise.
    let Some(root) = (unsafe { share(service) }) else {
        return ptr::null_mut();
    };
    match Listener::bind_vsock(port) {
        Ok(listener) => {
            if !assigned.is_null() {
                // SAFETY: the caller's promise.
                unsafe { assigned.write(port) };
            }
            ARpcServer::give(root, listener, (cid != VMADDR_CID_ANY).then_some(cid))
        }
        Err(error) => {
            process::print_error(format_args!("Cannot serve on vsock port {port}: {error}"));
            ptr::null_mut()
        }
    }
}

/// # Safety
/// `service` is null or an object to which the caller has a reference; `socket` is a bound stream socket, given up.
#[no_mangle]
pub unsafe extern "C" fn ARpcServer_newBoundSocket(
    service: *mut AIBinder,
    socket: c_int,
) -> *mut ARpcServer {
    // SAFETY: the caller's promise.
    let (root, listener) = unsafe { (share(service), Listener::from_bound(socket)) };
    match (root, listener) {
        (Some(root), Ok(listener)) => ARpcServer::give(root, listener, None),
        (_, Err(error)) => {
            process::print_error(format_args!("Cannot serve on a socket: {error}"));
            ptr::null_mut()
        }
        (None, _) => ptr::null_mut(),
    }
}

/// # Safety
/// `server` is a server that is not freed.
#[no_mangle]
pub unsafe extern "C" fn ARpcServer_setMaxThreads(server: *mut ARpcServer, threads: usize) {
    // SAFETY: the caller's promise.
    if let Some(server) = unsafe { server.as_ref() } {
        let threads = u32::try_from(threads).unwrap_or(u32::MAX);
        server.max_threads.store(threads, Ordering::Relaxed);
    }
}

/// # Safety
/// `server` is a server that is not freed.
#[no_mangle]
pub unsafe extern "C" fn ARpcServer_start(server: *mut ARpcServer) {
    // SAFETY: the caller's promise.
    let acceptor = unsafe { server.as_ref() }.and_then(ARpcServer::acceptor);
    if let Some(acceptor) = acceptor {
        if let Err(error) = spawn(move || run(&acceptor)) {
            process::print_error(format_args!("Cannot start an RPC server: {error}"));
        }
    }
}

/// # Safety
/// `server` is a server that is not freed while this runs.
#[no_mangle]
pub unsafe extern "C" fn ARpcServer_join(server: *mut ARpcServer) {
    // SAFETY: the caller's promise.
    if let Some(acceptor) = unsafe { server.as_ref() }.and_then(ARpcServer::acceptor) {
        run(&acceptor);
    }
}

/// # Safety
/// `server` is a server that is not freed.
#[no_mangle]
pub unsafe extern "C" fn ARpcServer_shutdown(server: *mut ARpcServer) -> bool {
    // SAFETY: the caller's promise.
    let Some(server) = (unsafe { server.as_ref() }) else {
        return false;
    };
    let before = server
        .state
        .with(|state| core::mem::replace(state, ServerState::Ended));
    match before {
        ServerState::Running(acceptor) => acceptor.end(),
        ServerState::Idle(..) | ServerState::Ended => false,
    }
}

/// # Safety
/// `server` is null or a server that is not freed.
#[no_mangle]
pub unsafe extern "C" fn ARpcServer_free(server: *mut ARpcServer) {
    if !server.is_null() {
        // SAFETY: one of the functions above gave it away.
        drop(unsafe { Box::from_raw(server) });
    }
}

pub struct ARpcSession(Mutex<ClientOptions>);

#[no_mangle]
pub extern "C" fn ARpcSession_new() -> *mut ARpcSession {
    Box::into_raw(Box::new(ARpcSession(Mutex::new(ClientOptions {
        max_outgoing: DEFAULT_MAX_OUTGOING,
        incoming: 0,
    }))))
}

/// # Safety
/// `session` is null or a session that is not freed.
#[no_mangle]
pub unsafe extern "C" fn ARpcSession_free(session: *mut ARpcSession) {
    if !session.is_null() {
        // SAFETY: `ARpcSession_new` gave it away.
        drop(unsafe { Box::from_raw(session) });
    }
}

/// # Safety
/// `session` is a session that is not freed.
#[no_mangle]
pub unsafe extern "C" fn ARpcSession_setMaxIncomingThreads(
    session: *mut ARpcSession,
    threads: usize,
) {
    // SAFETY: the caller's promise.
    if let Some(session) = unsafe { session.as_ref() } {
        session.0.with(|options| options.incoming = threads);
    }
}

/// # Safety
/// `session` is a session that is not freed.
#[no_mangle]
pub unsafe extern "C" fn ARpcSession_setMaxOutgoingConnections(
    session: *mut ARpcSession,
    connections: usize,
) {
    // SAFETY: the caller's promise.
    if let Some(session) = unsafe { session.as_ref() } {
        session.0.with(|options| options.max_outgoing = connections);
    }
}

/// Opens a session; null, and a line on stderr, where that fails.
///
/// # Safety
/// `session` is null or a session that is not freed.
unsafe fn set_up(
    session: *mut ARpcSession,
    what: core::fmt::Arguments<'_>,
    dial: impl FnMut() -> Result<Socket, Errno>,
) -> *mut AIBinder {
    // SAFETY: the caller's promise.
    let Some(session) = (unsafe { session.as_ref() }) else {
        return ptr::null_mut();
    };
    match client::open(session.0.with(|options| *options), dial) {
        Ok(root) => give(root),
        Err(error) => {
            process::print_error(format_args!("Cannot connect to {what}: {error}"));
            ptr::null_mut()
        }
    }
}

/// # Safety
/// `session` is a session that is not freed.
#[no_mangle]
pub unsafe extern "C" fn ARpcSession_setupVsockClient(
    session: *mut ARpcSession,
    cid: c_uint,
    port: c_uint,
) -> *mut AIBinder {
    let what = format_args!("CID {cid}, vsock port {port}");
    // SAFETY: the caller's promise.
    unsafe { set_up(session, what, || Socket::connect_vsock(cid, port)) }
}

/// # Safety
/// `session` is a session that is not freed; `name` is a C string.
#[no_mangle]
pub unsafe extern "C" fn ARpcSession_setupUnixDomainClient(
    session: *mut ARpcSession,
    name: *const c_char,
) -> *mut AIBinder {
    // SAFETY: the caller's promise.
    let name = (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_str());
    let Some(Ok(name)) = name else {
        return ptr::null_mut();
    };
    let path = format!("/dev/socket/{name}");
    let dial = || Socket::connect_unix(&path);
    // SAFETY: the caller's promise.
    unsafe { set_up(session, format_args!("{path}"), dial) }
}

/// # Safety
/// `session` is a session that is not freed; `request` takes `param` and gives connected stream sockets away;
/// `delete` is null or takes `param`.
#[no_mangle]
pub unsafe extern "C" fn ARpcSession_setupPreconnectedClient(
    session: *mut ARpcSession,
    request: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    param: *mut c_void,
    delete: Option<unsafe extern "C" fn(*mut c_void)>,
) -> *mut AIBinder {
    let Some(request) = request else {
        return ptr::null_mut();
    };
    let dial = || {
        // SAFETY: the caller's promise.
        match unsafe { request(param) } {
            // SAFETY: as above.
            fd @ 0.. => Ok(unsafe { Socket::from_descriptor(fd) }),
            _ => Err(Errno::EBADF),
        }
    };
    // SAFETY: the caller's promise.
    let root = unsafe { set_up(session, format_args!("a given socket"), dial) };
    if let Some(delete) = delete {
        // SAFETY: the caller's promise; connections are opened while the session is set up and never later.
        unsafe { delete(param) };
    }
    root
}
