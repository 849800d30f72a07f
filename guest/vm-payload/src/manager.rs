//! The manager's service to the payload.

use crate::stream::SocketStream;
use alloc::format;
use alloc::string::{String, ToString};
use microbuild_rpc::ClientSession;
use microbuild_sys::payload::socket::Socket;

const SOCKET: &str = "/dev/socket/vm_payload_service";
const DESCRIPTOR: &str = "android.system.virtualization.payload.IVmPayloadService";
const NOTIFY_PAYLOAD_READY: u32 = 1;

/// Tells the manager, and through it the host, that the payload is ready. Returns when the manager has answered.
pub fn notify_payload_ready() -> Result<(), String> {
    let socket = Socket::connect_unix(SOCKET).map_err(|error| format!("{SOCKET}: {error}"))?;
    let call = || {
        let mut session = ClientSession::connect(SocketStream(socket))?;
        let service = session
            .root()?
            .ok_or(microbuild_rpc::StatusCode::NAME_NOT_FOUND)?;
        session.call(
            service,
            DESCRIPTOR,
            NOTIFY_PAYLOAD_READY,
            |_| {},
            |_| Ok(()),
        )
    };
    call().map_err(|error| error.to_string())
}
