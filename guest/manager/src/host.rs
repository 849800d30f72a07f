//! The host's IVirtualMachineService, over vsock at the port that is this machine's CID.

use std::fmt;
use std::io;
use std::time::Duration;

use microbuild_rpc::std_io::Stream;
use microbuild_rpc::{Address, ClientSession, Error, Parcel, ParcelReader, StatusCode};
use microbuild_sys::kernel::vsock::{local_cid, VsockStream, HOST_CID};
use zeroize::Zeroizing;

const DESCRIPTOR: &str = "android.system.virtualmachineservice.IVirtualMachineService";
const NOTIFY_PAYLOAD_STARTED: u32 = 1;
const NOTIFY_PAYLOAD_READY: u32 = 2;
const NOTIFY_PAYLOAD_FINISHED: u32 = 3;
const NOTIFY_ERROR: u32 = 4;
const TAKE_DICE_HANDOVER: u32 = 101;
const IS_NEW_INSTANCE: u32 = 102;
const ADMIT_PAYLOAD: u32 = 103;
/// Of `admitPayload`: the instance has run a newer version.
pub const ERROR_ROLLBACK: i32 = 1;
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

    /// Names what was verified, before anything of it runs. Service-specific [`ERROR_ROLLBACK`] for what is too old.
    pub fn admit_payload(
        &mut self,
        packages: &[&str],
        version_codes: &[i64],
        signers: &[&str],
    ) -> Result<(), Error> {
        let packages: Vec<_> = packages.iter().copied().map(Some).collect();
        let signers: Vec<_> = signers.iter().copied().map(Some).collect();
        self.call(ADMIT_PAYLOAD, |arguments| {
            arguments.write_str_array(&packages);
            arguments.write_i64_array(version_codes);
            arguments.write_str_array(&signers);
        })
    }

    /// The secrets and the DICE chain of the system, in CBOR. The host has them no more afterwards.
    pub fn take_dice_handover(&mut self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let read = |reply: &mut ParcelReader<'_>| Ok(Zeroizing::new(reply.read_bytes()?.to_vec()));
        self.ask(TAKE_DICE_HANDOVER, |_| {}, read)
    }

    /// Whether no guest has taken this instance's handover before this boot.
    pub fn is_new_instance(&mut self) -> Result<bool, Error> {
        self.ask(IS_NEW_INSTANCE, |_| {}, |reply| reply.read_bool())
    }

    fn call(&mut self, code: u32, write: impl FnOnce(&mut Parcel)) -> Result<(), Error> {
        self.ask(code, write, |_| Ok(()))
    }

    fn ask<R>(
        &mut self,
        code: u32,
        write: impl FnOnce(&mut Parcel),
        read: impl FnOnce(&mut ParcelReader<'_>) -> Result<R, StatusCode>,
    ) -> Result<R, Error> {
        self.session
            .call(self.service, DESCRIPTOR, code, write, read)
    }
}
