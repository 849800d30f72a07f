//! IVmPayloadService: what the payload may ask of the manager, on a unix socket that only its user can open.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{chown, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use microbuild_rpc::std_io::Stream;
use microbuild_rpc::{
    Exception, Parcel, ParcelReader, Server, Service, SessionId, SessionTable, Status, StatusCode,
};
use microbuild_sys::kernel::console::say;

use crate::failure::{Failure, Reason};
use crate::payload_root::{PAYLOAD_ID, SOCKET_DIRECTORY};
use crate::{lock, SharedHost};

const SOCKET_NAME: &str = "vm_payload_service";
const DESCRIPTOR: &str = "android.system.virtualization.payload.IVmPayloadService";
const NOTIFY_PAYLOAD_READY: u32 = 1;

struct PayloadService {
    host: SharedHost,
}

impl Service for PayloadService {
    fn descriptor(&self) -> &str {
        DESCRIPTOR
    }

    fn on_transact(&self, code: u32, _arguments: &mut ParcelReader<'_>) -> Result<Parcel, Status> {
        match code {
            NOTIFY_PAYLOAD_READY => {
                let unheard = |error: microbuild_rpc::Error| {
                    Exception::new(Exception::ILLEGAL_STATE, error.to_string())
                };
                lock(&self.host).notify_payload_ready().map_err(unheard)?;
                Ok(Parcel::reply())
            }
            _ => Err(StatusCode::UNKNOWN_TRANSACTION.into()),
        }
    }
}

/// Opens the socket and serves it from a thread of its own until the machine powers off.
pub fn start(host: &SharedHost) -> Result<(), Failure> {
    let listener = listen().map_err(|error| {
        Failure::runtime(
            Reason::Unknown,
            format!("cannot serve the payload: {error}"),
        )
    })?;
    let service = PayloadService {
        host: Arc::clone(host),
    };
    let server = Arc::new(Server::new(service, Mutex::new(SessionTable::new())));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let server = Arc::clone(&server);
            match stream.and_then(|stream| Ok((stream, fresh_id()?))) {
                Ok((stream, id)) => drop(thread::spawn(move || serve(&server, stream, id))),
                Err(error) => say(&format!("payload service: {error}")),
            }
        }
    });
    Ok(())
}

fn serve(server: &Server<PayloadService, Mutex<SessionTable>>, stream: UnixStream, id: SessionId) {
    if let Err(error) = server.serve(&mut Stream(stream), id) {
        say(&format!("payload service: {error}"));
    }
}

fn listen() -> io::Result<UnixListener> {
    let path = Path::new(SOCKET_DIRECTORY).join(SOCKET_NAME);
    let listener = UnixListener::bind(&path)?;
    chown(&path, Some(0), Some(PAYLOAD_ID))?;
    fs::set_permissions(&path, Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Session ids let further connections join a session, so they must not be guessable.
fn fresh_id() -> io::Result<SessionId> {
    let mut id = SessionId::default();
    File::open("/dev/urandom")?.read_exact(&mut id)?;
    Ok(id)
}
