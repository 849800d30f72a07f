//! The manager's service to the payload: `IVmPayloadService` on a unix socket, one session for the life of the process.

use crate::platform::SocketStream;
use alloc::vec::Vec;
use core::fmt;
use microbuild_rpc::{Address, ClientSession, Error, Parcel, ParcelReader, StatusCode};
use microbuild_sys::payload::socket::Socket;
use microbuild_sys::payload::thread::Mutex;
use microbuild_sys::payload::Errno;

const SOCKET: &str = "/dev/socket/vm_payload_service";
const DESCRIPTOR: &str = "android.system.virtualization.payload.IVmPayloadService";

/// The service's methods by their codes (docs/guest-interface.md).
mod method {
    pub const NOTIFY_PAYLOAD_READY: u32 = 1;
    pub const GET_VM_INSTANCE_SECRET: u32 = 2;
    pub const GET_DICE_ATTESTATION_CHAIN: u32 = 3;
    pub const GET_DICE_ATTESTATION_CDI: u32 = 4;
    pub const REQUEST_ATTESTATION: u32 = 5;
    pub const WRITE_PAYLOAD_RP_DATA: u32 = 6;
    pub const READ_PAYLOAD_RP_DATA: u32 = 7;
    pub const IS_NEW_INSTANCE: u32 = 8;
}

/// What the service keeps for a payload against rollback.
pub type RollbackProtected = [u8; 32];

/// Why the manager could not be asked, or what it said.
#[derive(Debug)]
pub enum ManagerError {
    Connect(Errno),
    Call(Error),
}

impl fmt::Display for ManagerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(errno) => write!(f, "{SOCKET}: {errno}"),
            Self::Call(error) => write!(f, "{error}"),
        }
    }
}

impl From<Error> for ManagerError {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<StatusCode> for ManagerError {
    fn from(code: StatusCode) -> Self {
        Self::Call(code.into())
    }
}

type Result<T> = core::result::Result<T, ManagerError>;

struct Connection {
    session: ClientSession<SocketStream>,
    service: Address,
}

impl Connection {
    fn open() -> Result<Self> {
        let socket = Socket::connect_unix(SOCKET).map_err(ManagerError::Connect)?;
        let mut session = ClientSession::connect(SocketStream(socket))?;
        let service = session.root()?.ok_or(StatusCode::NAME_NOT_FOUND)?;
        Ok(Self { session, service })
    }
}

/// The manager as the payload sees it. Calls come one after the other, from any thread.
pub struct Manager(Mutex<Option<Connection>>);

impl Default for Manager {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

/// What was attested, and by whom.
pub struct AttestationResult {
    /// DER, RFC 5915.
    pub private_key: Vec<u8>,
    /// DER, the leaf first.
    pub certificates: Vec<Vec<u8>>,
}

impl Manager {
    /// Calls a method, over the connection that there is or a new one.
    fn call<R>(
        &self,
        code: u32,
        write: impl FnOnce(&mut Parcel),
        read: impl FnOnce(&mut ParcelReader<'_>) -> core::result::Result<R, StatusCode>,
    ) -> Result<R> {
        self.0.with(|kept| {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => Connection::open()?,
            };
            let service = connection.service;
            let outcome = connection
                .session
                .call(service, DESCRIPTOR, code, write, read);
            // One that broke is not kept: the next call tries anew.
            if !matches!(outcome, Err(Error::Transport(_) | Error::Protocol(_))) {
                *kept = Some(connection);
            }
            Ok(outcome?)
        })
    }

    /// Returns when the manager, and through it the host, knows.
    pub fn notify_payload_ready(&self) -> Result<()> {
        self.call(method::NOTIFY_PAYLOAD_READY, |_| {}, |_| Ok(()))
    }

    /// `size` bytes that depend on the instance, the payload's signer and the identifier.
    pub fn vm_instance_secret(&self, identifier: &[u8], size: usize) -> Result<Vec<u8>> {
        let size_word = i32::try_from(size).map_err(|_| StatusCode::BAD_VALUE)?;
        let write = |data: &mut Parcel| {
            data.write_bytes(identifier);
            data.write_i32(size_word);
        };
        self.call(method::GET_VM_INSTANCE_SECRET, write, |reply| {
            let secret = reply.read_bytes()?;
            match secret.len() == size {
                true => Ok(secret.to_vec()),
                false => Err(StatusCode::BAD_VALUE),
            }
        })
    }

    /// CBOR. `EX_SECURITY` where the payload may not have it.
    pub fn dice_attestation_chain(&self) -> Result<Vec<u8>> {
        self.call(
            method::GET_DICE_ATTESTATION_CHAIN,
            |_| {},
            |reply| reply.read_bytes().map(<[u8]>::to_vec),
        )
    }

    /// `EX_SECURITY` where the payload may not have it.
    pub fn dice_attestation_cdi(&self) -> Result<Vec<u8>> {
        self.call(
            method::GET_DICE_ATTESTATION_CDI,
            |_| {},
            |reply| reply.read_bytes().map(<[u8]>::to_vec),
        )
    }

    /// `EX_UNSUPPORTED_OPERATION` where there is nobody to attest to.
    pub fn request_attestation(&self, challenge: &[u8], test: bool) -> Result<AttestationResult> {
        let write = |data: &mut Parcel| {
            data.write_bytes(challenge);
            data.write_bool(test);
        };
        self.call(method::REQUEST_ATTESTATION, write, read_attestation_result)
    }

    pub fn write_rollback_protected(&self, data: &RollbackProtected) -> Result<()> {
        self.call(
            method::WRITE_PAYLOAD_RP_DATA,
            |parcel| parcel.write_bytes(data),
            |_| Ok(()),
        )
    }

    /// `None` if nothing was ever written, or the host deleted it.
    pub fn read_rollback_protected(&self) -> Result<Option<RollbackProtected>> {
        self.call(
            method::READ_PAYLOAD_RP_DATA,
            |_| {},
            |reply| {
                let data = reply.read_optional_bytes()?;
                data.map(|data| data.try_into().map_err(|_| StatusCode::BAD_VALUE))
                    .transpose()
            },
        )
    }

    /// Whether this is the first boot of the instance.
    pub fn is_new_instance(&self) -> Result<bool> {
        self.call(method::IS_NEW_INSTANCE, |_| {}, |reply| reply.read_bool())
    }
}

type Read<T> = core::result::Result<T, StatusCode>;

/// A parcelable: whether it is there, its size, its fields; fields that a newer service adds are skipped.
fn read_parcelable<R>(
    reply: &mut ParcelReader<'_>,
    fields: impl FnOnce(&mut ParcelReader<'_>) -> Read<R>,
) -> Read<R> {
    if reply.read_i32()? == 0 {
        return Err(StatusCode::UNEXPECTED_NULL);
    }
    let start = reply.position();
    let size = usize::try_from(reply.read_i32()?).map_err(|_| StatusCode::BAD_VALUE)?;
    let value = fields(reply)?;
    let end = start.checked_add(size).ok_or(StatusCode::BAD_VALUE)?;
    if end < reply.position() {
        return Err(StatusCode::BAD_VALUE);
    }
    reply.set_position(end)?;
    Ok(value)
}

fn read_attestation_result(reply: &mut ParcelReader<'_>) -> Read<AttestationResult> {
    read_parcelable(reply, |result| {
        let private_key = result.read_bytes()?.to_vec();
        // Each certificate is a parcelable of a byte array: three words at least.
        let count = result.read_length(12)?.ok_or(StatusCode::UNEXPECTED_NULL)?;
        let certificate = |reader: &mut ParcelReader<'_>| {
            read_parcelable(reader, |fields| fields.read_bytes().map(<[u8]>::to_vec))
        };
        let certificates = (0..count)
            .map(|_| certificate(result))
            .collect::<Read<Vec<_>>>()?;
        Ok(AttestationResult {
            private_key,
            certificates,
        })
    })
}
