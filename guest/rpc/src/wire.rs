//! What stands on the wire: `RpcConnectionHeader`, `RpcNewSessionResponse`, `RpcOutgoingConnectionInit`, and the commands
//! behind `RpcWireHeader` (names of Android's RpcWireFormat.h). Little-endian, no padding, no resynchronisation.

use crate::error::Error;
use crate::parcel::Parcel;
use crate::status::StatusCode;
use crate::transport::Transport;
use alloc::vec;
use alloc::vec::Vec;

/// The highest protocol spoken here: Android 16's.
pub const PROTOCOL_MAX: u32 = 2;
/// The largest body that is taken: Android 16's limit.
pub const MAX_BODY: usize = 614_400;
/// The largest body that every peer of protocol 0 or 1 takes: the limit up to Android 15.
pub const MAX_BODY_BEFORE_V2: usize = 100_000;
/// How a connection starts in the direction in which commands will be sent, with 4 reserved bytes.
pub(crate) const CONNECTION_INIT: [u8; 8] = *b"cci\0\0\0\0\0";

pub(crate) const COMMAND_TRANSACT: u32 = 0;
pub(crate) const COMMAND_REPLY: u32 = 1;
pub(crate) const COMMAND_DEC_STRONG: u32 = 2;

/// Special transactions: those to the null address.
pub(crate) const GET_ROOT: u32 = 0;
pub(crate) const GET_MAX_THREADS: u32 = 1;
pub(crate) const GET_SESSION_ID: u32 = 2;

const WIRE_HEADER_SIZE: usize = 16;
const TRANSACTION_SIZE: usize = 40;
const REPLY_SIZE: usize = 20;
/// At protocol 0 a reply starts with its status alone.
const REPLY_SIZE_V0: usize = 4;
const DEC_STRONG_SIZE: usize = 16;

const CONNECTION_OPTION_INCOMING: u8 = 1;
const ADDRESS_CREATED: u32 = 1;
const ADDRESS_FOR_SERVER: u32 = 2;

/// Names a session when more connections join it: random, chosen by the server.
pub type SessionId = [u8; 32];

/// `RpcWireAddress`: an object of one session; options in the low half, a counter in the high one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(pub u64);

impl Address {
    /// No object: the session itself answers.
    pub const NULL: Self = Self(0);
    /// The first object that a server sends: its root.
    pub const SERVER_ROOT: Self = Self((ADDRESS_CREATED | ADDRESS_FOR_SERVER) as u64);

    /// The address that a side gives to its next object.
    pub(crate) fn own(counter: u32, server: bool) -> Self {
        let side = if server { ADDRESS_FOR_SERVER } else { 0 };
        Self(u64::from(ADDRESS_CREATED | side) | u64::from(counter) << 32)
    }

    fn options(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }

    /// Whether the server made it (and the client did not).
    pub fn is_for_server(self) -> bool {
        self.options() & ADDRESS_FOR_SERVER != 0
    }

    /// Whether a peer of today could have made it.
    pub fn is_valid(self) -> bool {
        self.options() & !(ADDRESS_CREATED | ADDRESS_FOR_SERVER) == 0
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..at.checked_add(2)?)?
        .try_into()
        .ok()
        .map(u16::from_le_bytes)
}
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at.checked_add(4)?)?
        .try_into()
        .ok()
        .map(u32::from_le_bytes)
}
fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..at.checked_add(8)?)?
        .try_into()
        .ok()
        .map(u64::from_le_bytes)
}
const TOO_SHORT: Error = Error::Protocol("a record is shorter than its fields");

/// The first bytes of every connection, sent by the client.
#[derive(Debug, PartialEq, Eq)]
pub struct ConnectionHeader {
    /// The highest protocol of the client.
    pub version: u32,
    /// On this connection the server will send commands and the client will execute them.
    pub incoming: bool,
    /// 0: file descriptors cannot travel.
    pub fd_mode: u8,
    /// `None` asks for a new session.
    pub session: Option<SessionId>,
}

impl ConnectionHeader {
    pub fn encode(&self) -> Vec<u8> {
        let id: &[u8] = self.session.as_ref().map_or(&[], |id| id);
        let mut bytes = Vec::with_capacity(16 + id.len());
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.push(if self.incoming {
            CONNECTION_OPTION_INCOMING
        } else {
            0
        });
        bytes.push(self.fd_mode);
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&(id.len() as u16).to_le_bytes());
        bytes.extend_from_slice(id);
        bytes
    }

    pub fn read(transport: &mut impl Transport) -> Result<Self, Error> {
        let mut header = [0; 16];
        transport.read_exact(&mut header)?;
        let session = match u16_at(&header, 14).ok_or(TOO_SHORT)? {
            0 => None,
            32 => {
                let mut id = [0; 32];
                transport.read_exact(&mut id)?;
                Some(id)
            }
            _ => {
                return Err(Error::Protocol(
                    "a session id is neither 0 nor 32 bytes long",
                ))
            }
        };
        Ok(Self {
            version: u32_at(&header, 0).ok_or(TOO_SHORT)?,
            incoming: header[4] & CONNECTION_OPTION_INCOMING != 0,
            fd_mode: header[5],
            session,
        })
    }
}

/// The server's answer to a header without session id.
pub(crate) fn encode_new_session_response(version: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&version.to_le_bytes());
    bytes
}

pub(crate) fn read_new_session_response(transport: &mut impl Transport) -> Result<u32, Error> {
    let mut bytes = [0; 8];
    transport.read_exact(&mut bytes)?;
    u32_at(&bytes, 0).ok_or(TOO_SHORT)
}

pub(crate) fn read_connection_init(transport: &mut impl Transport) -> Result<(), Error> {
    let mut bytes = [0; 8];
    transport.read_exact(&mut bytes)?;
    match bytes.starts_with(b"cci\0") {
        true => Ok(()),
        false => Err(Error::Protocol("a connection does not start with \"cci\"")),
    }
}

/// One command with its body.
pub(crate) struct Frame {
    pub command: u32,
    pub body: Vec<u8>,
}

pub(crate) fn read_frame(transport: &mut impl Transport) -> Result<Frame, Error> {
    let mut header = [0; WIRE_HEADER_SIZE];
    transport.read_exact(&mut header)?;
    let size = u32_at(&header, 4)
        .and_then(|size| usize::try_from(size).ok())
        .ok_or(TOO_SHORT)?;
    if size > MAX_BODY {
        return Err(Error::Protocol(
            "a command's body is larger than 614400 bytes",
        ));
    }
    let mut body = vec![0; size];
    transport.read_exact(&mut body)?;
    Ok(Frame {
        command: u32_at(&header, 0).ok_or(TOO_SHORT)?,
        body,
    })
}

/// Header, fixed part, parcel and (from protocol 1 on) the offsets of the objects that the protocol lists.
/// Bytes of a command's body: its fixed part, a parcel's data and the table of its objects.
///
/// # Errors
/// FAILED_TRANSACTION when peers of the protocol need not take so many.
fn body_size(version: u32, fixed: usize, data: usize, objects: usize) -> Result<usize, StatusCode> {
    let table = if version >= 2 { 4 * objects } else { 0 };
    let size = fixed + data + table;
    let fits = match version {
        0 | 1 => size <= MAX_BODY_BEFORE_V2,
        // Android's sender counts the header too, and stays below.
        _ => size < MAX_BODY - WIRE_HEADER_SIZE,
    };
    fits.then_some(size).ok_or(StatusCode::FAILED_TRANSACTION)
}

/// Whether a transaction with a parcel of so many bytes and objects can be sent: FAILED_TRANSACTION when not.
pub(crate) fn check_transaction_size(
    version: u32,
    data: usize,
    objects: usize,
) -> Result<(), StatusCode> {
    body_size(version, TRANSACTION_SIZE, data, objects).map(|_| ())
}

/// The same of a reply.
pub(crate) fn check_reply_size(
    version: u32,
    data: usize,
    objects: usize,
) -> Result<(), StatusCode> {
    body_size(version, reply_fixed_size(version), data, objects).map(|_| ())
}

const fn reply_fixed_size(version: u32) -> usize {
    if version == 0 {
        REPLY_SIZE_V0
    } else {
        REPLY_SIZE
    }
}

fn encode_frame(
    version: u32,
    command: u32,
    fixed: &[u8],
    parcel: &Parcel,
) -> Result<Vec<u8>, StatusCode> {
    // No file descriptors here, so the table of protocol 1, which lists nothing else, is always empty.
    let objects = if version >= 2 { parcel.objects() } else { &[] };
    let size = body_size(version, fixed.len(), parcel.data().len(), objects.len())?;
    let mut bytes = Vec::with_capacity(WIRE_HEADER_SIZE + size);
    bytes.extend_from_slice(&command.to_le_bytes());
    bytes.extend_from_slice(&(size as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(fixed);
    bytes.extend_from_slice(parcel.data());
    for position in objects {
        bytes.extend_from_slice(&position.to_le_bytes());
    }
    Ok(bytes)
}

/// Splits what follows a fixed part into parcel and object table, and checks the table.
fn decode_parcel(version: u32, rest: &[u8], parcel_size: Option<u32>) -> Result<Parcel, Error> {
    let Some(parcel_size) = parcel_size else {
        return Ok(Parcel::received(rest.to_vec(), Vec::new(), false));
    };
    let parcel_size = usize::try_from(parcel_size).map_err(|_| TOO_SHORT)?;
    if parcel_size > rest.len() {
        return Err(Error::Protocol(
            "a parcel is larger than the command that holds it",
        ));
    }
    let (data, table) = rest.split_at(parcel_size);
    if !table.len().is_multiple_of(4) {
        return Err(Error::Protocol(
            "an object table is not made of whole entries",
        ));
    }
    if version < 2 && !table.is_empty() {
        return Err(Error::Protocol(
            "a parcel lists file descriptors, which cannot travel here",
        ));
    }
    let mut objects: Vec<u32> = Vec::with_capacity(table.len() / 4);
    for entry in table.chunks_exact(4) {
        let position = u32_at(entry, 0).ok_or(TOO_SHORT)?;
        if objects.last().is_some_and(|last| *last >= position) {
            return Err(Error::Protocol("an object table is not in ascending order"));
        }
        let word = usize::try_from(position)
            .ok()
            .filter(|at| at.saturating_add(4) < data.len());
        match word.and_then(|at| u32_at(data, at)) {
            None => {
                return Err(Error::Protocol(
                    "an object table points outside of its parcel",
                ))
            }
            Some(kind) if kind == crate::parcel::TYPE_FILE_DESCRIPTOR as u32 => {
                return Err(Error::Protocol(
                    "a parcel holds a file descriptor, which cannot travel here",
                ));
            }
            Some(_) => objects.push(position),
        }
    }
    Ok(Parcel::received(data.to_vec(), objects, version >= 2))
}

/// `RpcWireTransaction` with its parcel.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub address: Address,
    pub code: u32,
    pub flags: u32,
    pub async_number: u64,
    pub parcel: Parcel,
}

impl Transaction {
    pub fn encode(
        version: u32,
        address: Address,
        code: u32,
        flags: u32,
        async_number: u64,
        parcel: &Parcel,
    ) -> Result<Vec<u8>, StatusCode> {
        let size =
            u32::try_from(parcel.data().len()).map_err(|_| StatusCode::FAILED_TRANSACTION)?;
        let mut fixed = [0; TRANSACTION_SIZE];
        fixed[0..8].copy_from_slice(&address.0.to_le_bytes());
        fixed[8..12].copy_from_slice(&code.to_le_bytes());
        fixed[12..16].copy_from_slice(&flags.to_le_bytes());
        fixed[16..24].copy_from_slice(&async_number.to_le_bytes());
        fixed[24..28].copy_from_slice(&size.to_le_bytes());
        encode_frame(version, COMMAND_TRANSACT, &fixed, parcel)
    }

    pub fn decode(version: u32, body: &[u8]) -> Result<Self, Error> {
        let (fixed, rest) = body.split_at_checked(TRANSACTION_SIZE).ok_or(TOO_SHORT)?;
        let parcel_size = if version == 0 {
            None
        } else {
            u32_at(fixed, 24)
        };
        Ok(Self {
            address: Address(u64_at(fixed, 0).ok_or(TOO_SHORT)?),
            code: u32_at(fixed, 8).ok_or(TOO_SHORT)?,
            flags: u32_at(fixed, 12).ok_or(TOO_SHORT)?,
            async_number: u64_at(fixed, 16).ok_or(TOO_SHORT)?,
            parcel: decode_parcel(version, rest, parcel_size)?,
        })
    }
}

/// `RpcWireReply` with its parcel, which is sent only when the status is 0.
pub(crate) fn encode_reply(
    version: u32,
    reply: Result<&Parcel, StatusCode>,
) -> Result<Vec<u8>, StatusCode> {
    let empty = Parcel::new();
    let (status, parcel) = match reply {
        Ok(parcel) => (StatusCode::OK, parcel),
        Err(status) => (status, &empty),
    };
    let size = u32::try_from(parcel.data().len()).map_err(|_| StatusCode::FAILED_TRANSACTION)?;
    let mut fixed = [0; REPLY_SIZE];
    fixed[0..4].copy_from_slice(&status.0.to_le_bytes());
    fixed[4..8].copy_from_slice(&size.to_le_bytes());
    encode_frame(
        version,
        COMMAND_REPLY,
        &fixed[..reply_fixed_size(version)],
        parcel,
    )
}

pub(crate) fn decode_reply(version: u32, body: &[u8]) -> Result<Result<Parcel, StatusCode>, Error> {
    let (fixed, rest) = body
        .split_at_checked(reply_fixed_size(version))
        .ok_or(TOO_SHORT)?;
    let status = StatusCode(u32_at(fixed, 0).ok_or(TOO_SHORT)? as i32);
    if status != StatusCode::OK {
        return Ok(Err(status));
    }
    let parcel_size = if version == 0 { None } else { u32_at(fixed, 4) };
    decode_parcel(version, rest, parcel_size).map(Ok)
}

/// `RpcDecStrong`: the sender gives back `amount` references to an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DecStrong {
    pub address: Address,
    pub amount: u32,
}

impl DecStrong {
    pub fn encode(&self) -> [u8; WIRE_HEADER_SIZE + DEC_STRONG_SIZE] {
        let mut bytes = [0; WIRE_HEADER_SIZE + DEC_STRONG_SIZE];
        bytes[0..4].copy_from_slice(&COMMAND_DEC_STRONG.to_le_bytes());
        bytes[4..8].copy_from_slice(&(DEC_STRONG_SIZE as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.address.0.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.amount.to_le_bytes());
        bytes
    }

    pub fn decode(body: &[u8]) -> Result<Self, Error> {
        if body.len() != DEC_STRONG_SIZE {
            return Err(Error::Protocol("a DEC_STRONG command is not 16 bytes long"));
        }
        Ok(Self {
            address: Address(u64_at(body, 0).ok_or(TOO_SHORT)?),
            amount: u32_at(body, 8).ok_or(TOO_SHORT)?,
        })
    }
}
