//! The host's IVirtualMachineService, over vsock at the port that is this machine's CID.

use std::fmt;
use std::io;
use std::time::Duration;

use microbuild_rpc::std_io::Stream;
use microbuild_rpc::{Address, ClientSession, Error, Parcel};
use microbuild_sys::kernel::vsock::{local_cid, VsockStream, HOST_CID};

const DESCRIPTOR: &str = "android.system.virtualmachineservice.IVirtualMachineService";
const NOTIFY_PAYLOAD_STARTED: u32 = 1;
const NOTIFY_PAYLOAD_READY: u32 = 2;
const NOTIFY_PAYLOAD_FINISHED: u32 = 3;
const NOTIFY_ERROR: u32 = 4;
/// Not every VMM refuses for a host without a service: some say nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A host that does not answer for this long is gone; without a limit the machine would never power off.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

pub struct Host {
    session: ClientSession<Stream<VsockStream>>,
    service: Address,
}

#[derive(Debug)]
pub enum ConnectError {
    Socket(io::Error),
    Rpc(Error),
    NoService,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) => write!(f, "cannot connect to the host: {error}"),
            Self::Rpc(error) => write!(f, "the host does not speak Binder RPC: {error}"),
            Self::NoService => f.write_str("the host offers no service"),
        }
    }
}

impl Host {
    pub fn connect() -> Result<Self, ConnectError> {
        let stream = local_cid()
            .and_then(|cid| VsockStream::connect(HOST_CID, cid, CONNECT_TIMEOUT, CALL_TIMEOUT))
            .map_err(ConnectError::Socket)?;
        let mut session = ClientSession::connect(Stream(stream)).map_err(ConnectError::Rpc)?;
        let service = session
            .root()
            .map_err(ConnectError::Rpc)?
            .ok_or(ConnectError::NoService)?;
        Ok(Self { session, service })
    }

    pub fn notify_payload_started(&mut self) -> Result<(), Error> {
        self.call(NOTIFY_PAYLOAD_STARTED, |_| {})
    }

    pub fn notify_payload_ready(&mut self) -> Result<(), Error> {
        self.call(NOTIFY_PAYLOAD_READY, |_| {})
    }

    pub fn notify_payload_finished(&mut self, code: i32) -> Result<(), Error> {
        self.call(NOTIFY_PAYLOAD_FINISHED, |arguments| {
            arguments.write_i32(code)
        })
    }

    pub fn notify_error(&mut self, code: i32, text: &str) -> Result<(), Error> {
        self.call(NOTIFY_ERROR, |arguments| {
            arguments.write_i32(code);
            arguments.write_str(text);
        })
    }

    fn call(&mut self, code: u32, write: impl FnOnce(&mut Parcel)) -> Result<(), Error> {
        self.session
            .call(self.service, DESCRIPTOR, code, write, |_| Ok(()))
    }
}
