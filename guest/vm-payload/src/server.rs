//! The payload's own service, on vsock, for the host alone.

use crate::stream::SocketStream;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};
use microbuild_rpc::{Error, Lock, Server, Service, SessionTable};
use microbuild_sys::payload::socket::{Socket, VsockListener, VMADDR_CID_HOST};
use microbuild_sys::payload::thread::{spawn, Mutex};
use microbuild_sys::payload::{process, Errno};

/// Each connection has a thread; the host may not use up the VM's memory with them.
const MAX_CONNECTIONS: usize = 128;

struct Sessions(Mutex<SessionTable>);

impl Lock<SessionTable> for Sessions {
    fn with<R>(&self, change: impl FnOnce(&mut SessionTable) -> R) -> R {
        self.0.with(change)
    }
}

struct Shared<S> {
    server: Server<S, Sessions>,
    connections: AtomicUsize,
}

/// Serves an object on a vsock port. `ready` runs once connections are accepted. Ends the process when it cannot serve.
pub fn run<S: Service + Send + Sync + 'static>(service: S, port: u32, ready: impl FnOnce()) -> ! {
    let listener = match VsockListener::bind(port) {
        Ok(listener) => listener,
        Err(error) => process::abort(format_args!("Cannot serve on vsock port {port}: {error}")),
    };
    ready();
    let shared = Arc::new(Shared {
        server: Server::new(service, Sessions(Mutex::new(SessionTable::new()))),
        connections: AtomicUsize::new(0),
    });
    loop {
        match listener.accept() {
            Ok((socket, VMADDR_CID_HOST)) => start(&shared, socket),
            Ok((_, cid)) => process::print_error(format_args!(
                "Refused a connection from CID {cid}: it is not the host"
            )),
            Err(Errno::EINTR | Errno::ECONNABORTED) => {}
            Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                process::sleep_milliseconds(100); // connections that end make room
            }
            Err(error) => process::abort(format_args!(
                "Cannot accept connections on vsock port {port}: {error}"
            )),
        }
    }
}

/// Serves a connection in a thread of its own, or closes it where that is too much.
fn start<S: Service + Send + Sync + 'static>(shared: &Arc<Shared<S>>, socket: Socket) {
    if shared.connections.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
        shared.connections.fetch_sub(1, Ordering::Relaxed);
        process::print_error(format_args!(
            "Refused a connection: there are {MAX_CONNECTIONS}"
        ));
        return;
    }
    let serving = Arc::clone(shared);
    let started = spawn(move || {
        let id = match process::random_bytes() {
            Ok(id) => id,
            Err(error) => process::abort(format_args!("Cannot make a session id: {error}")),
        };
        // A host that goes away is no news; one that breaks the protocol is.
        if let Err(Error::Protocol(what)) = serving.server.serve(&mut SocketStream(socket), id) {
            process::print_error(format_args!("An RPC connection was closed: {what}"));
        }
        serving.connections.fetch_sub(1, Ordering::Relaxed);
    });
    if let Err(error) = started {
        shared.connections.fetch_sub(1, Ordering::Relaxed);
        process::print_error(format_args!("Refused a connection: no thread, {error}"));
    }
}
