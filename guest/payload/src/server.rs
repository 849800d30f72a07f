//! Servers: an object for whoever connects to a socket.

use crate::platform::{Process, SocketStream};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use microbuild_rpc::peer::{Object, PeerServer};
use microbuild_rpc::Error;
use microbuild_sys::payload::socket::{Listener, Socket};
use microbuild_sys::payload::thread::spawn;
use microbuild_sys::payload::{process, Errno};

/// Each connection has a thread; a peer may not use up the VM's memory with them.
const MAX_CONNECTIONS: usize = 128;

/// A server, from its first connection to its end.
pub struct Acceptor<O: Object<Environment = Process>> {
    server: PeerServer<O>,
    listener: Listener,
    /// The only CID that is served, if the socket is a vsock one.
    peer_cid: Option<u32>,
    connections: AtomicUsize,
    ended: AtomicBool,
}

impl<O: Object<Environment = Process>> Acceptor<O> {
    /// A server each of whose sessions may call by `max_threads` connections.
    pub fn new(
        root: Arc<O>,
        listener: Listener,
        peer_cid: Option<u32>,
        max_threads: u32,
    ) -> Arc<Self> {
        Arc::new(Self {
            server: PeerServer::new(root, max_threads),
            listener,
            peer_cid,
            connections: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        })
    }

    /// Accepts connections until `end` is called, or the socket cannot go on.
    ///
    /// # Errors
    /// Why the socket cannot go on.
    pub fn run(self: &Arc<Self>) -> Result<(), Errno> {
        loop {
            match self.listener.accept() {
                _ if self.ended.load(Ordering::Acquire) => return Ok(()),
                Ok((socket, cid)) if self.serves(cid) => self.start(socket),
                Ok((_, cid)) => process::print_error(format_args!(
                    "Refused a connection from CID {}: it is not the host",
                    cid.unwrap_or_default()
                )),
                Err(Errno::EINTR | Errno::ECONNABORTED) => {}
                Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                    process::sleep_milliseconds(100); // connections that end make room
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn serves(&self, cid: Option<u32>) -> bool {
        self.peer_cid.is_none_or(|only| cid == Some(only))
    }

    /// Ends all sessions and makes `run` return. False if that was done already.
    pub fn end(&self) -> bool {
        let first = !self.ended.swap(true, Ordering::AcqRel);
        self.listener.shut_down();
        self.server.end();
        first
    }

    /// Serves a connection in a thread of its own, or closes it where that is too much.
    fn start(self: &Arc<Self>, socket: Socket) {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            process::print_error(format_args!(
                "Refused a connection: there are {MAX_CONNECTIONS}"
            ));
            return;
        }
        let serving = Arc::clone(self);
        let started = spawn(move || {
            let id = match process::random_bytes() {
                Ok(id) => id,
                Err(error) => process::abort(format_args!("Cannot make a session id: {error}")),
            };
            // A host that goes away is no news; one that breaks the protocol is.
            if let Err(Error::Protocol(what)) = serving.server.serve(SocketStream(socket), id) {
                process::print_error(format_args!("An RPC connection was closed: {what}"));
            }
            serving.connections.fetch_sub(1, Ordering::Relaxed);
        });
        if let Err(error) = started {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            process::print_error(format_args!("Refused a connection: no thread, {error}"));
        }
    }
}
