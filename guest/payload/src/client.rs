//! Clients: the root object of a server elsewhere.

use crate::platform::{Process, SocketStream};
use alloc::sync::Arc;
use microbuild_rpc::peer::{Object, Session};
use microbuild_rpc::Error;
use microbuild_sys::payload::socket::Socket;
use microbuild_sys::payload::thread::spawn;
use microbuild_sys::payload::{process, Errno};

/// How a session is set up.
#[derive(Clone, Copy)]
pub struct ClientOptions {
    /// The most connections to call by; no more than the server offers.
    pub max_outgoing: usize,
    /// Connections, and threads, for the server to call back by outside of our calls.
    pub incoming: usize,
}

/// Opens a session and returns the server's root object, `None` if it has none. `dial` gives connections to the server.
///
/// # Errors
/// Why there is no session.
pub fn open<O: Object<Environment = Process>>(
    options: ClientOptions,
    mut dial: impl FnMut() -> Result<Socket, Errno>,
) -> Result<Option<Arc<O>>, Error> {
    let mut connect = || {
        let socket = dial().map_err(|errno| microbuild_rpc::TransportError::Os(errno.0))?;
        Ok::<_, Error>(SocketStream(socket))
    };
    let session = Session::<O>::connect(connect()?)?;
    let offered = usize::try_from(session.remote_threads()?).unwrap_or(1);
    let outgoing = offered.min(options.max_outgoing).max(1);
    if outgoing > 1 || options.incoming > 0 {
        let id = session.remote_id()?;
        for _ in 1..outgoing {
            session.add_calling(connect()?, id)?;
        }
        for _ in 0..options.incoming {
            let (stream, serving) = (connect()?, Arc::clone(&session));
            let started = spawn(move || {
                let outcome = serving.serve_incoming(stream, id);
                // Also where the server never took the connection: else nobody would notice its end.
                serving.end();
                if let Err(Error::Protocol(what)) = outcome {
                    process::print_error(format_args!("An RPC session was ended: {what}"));
                }
            });
            started.map_err(|errno| microbuild_rpc::TransportError::Os(errno.0))?;
        }
    }
    Ok(session.remote_root()?)
}
