//! Services on unix sockets that only the payload's user can open.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{chown, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use microbuild_rpc::std_io::Stream;
use microbuild_rpc::{Server, Service, SessionId, SessionTable};
use microbuild_sys::kernel::console::say;

use crate::failure::Failure;
use crate::payload_root::{PAYLOAD_ID, SOCKET_DIRECTORY};

/// Connections that a payload may have at a time; each has a thread of the manager.
const CONNECTIONS_MAX: usize = 64;

/// Opens the socket and serves it from threads of their own until the machine powers off.
pub fn start<S: Service + Send + Sync + 'static>(
    name: &'static str,
    service: S,
) -> Result<(), Failure> {
    let listener = listen(name).map_err(Failure::cannot(format_args!("serve {name}")))?;
    let server = Arc::new(Server::new(service, Mutex::new(SessionTable::new())));
    thread::spawn(move || {
        let connections = Arc::new(());
        for stream in listener.incoming() {
            let server = Arc::clone(&server);
            match stream.and_then(|stream| Ok((stream, fresh_id()?))) {
                // The payload's own loss: a manager without memory could not even end the machine in order.
                Ok(_) if Arc::strong_count(&connections) > CONNECTIONS_MAX => {
                    say(&format!("{name}: more than {CONNECTIONS_MAX} connections"));
                }
                Ok((stream, id)) => {
                    let counted = Arc::clone(&connections);
                    drop(thread::spawn(move || {
                        serve(name, &server, stream, id);
                        drop(counted);
                    }));
                }
                Err(error) => say(&format!("{name}: {error}")),
            }
        }
    });
    Ok(())
}

fn serve<S: Service>(
    name: &str,
    server: &Server<S, Mutex<SessionTable>>,
    stream: UnixStream,
    id: SessionId,
) {
    if let Err(error) = server.serve(&mut Stream(stream), id) {
        say(&format!("{name}: {error}"));
    }
}

fn listen(name: &str) -> io::Result<UnixListener> {
    let path = Path::new(SOCKET_DIRECTORY).join(name);
    let listener = UnixListener::bind(&path)?;
    chown(&path, Some(0), Some(PAYLOAD_ID))?;
    fs::set_permissions(&path, Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Session ids let further connections join a session, so they must not be guessable.
fn fresh_id() -> io::Result<SessionId> {
    let mut id = SessionId::default();
    random(&mut id)?;
    Ok(id)
}

/// From the kernel's generator.
pub fn random(bytes: &mut [u8]) -> io::Result<()> {
    File::open("/dev/urandom")?.read_exact(bytes)
}
