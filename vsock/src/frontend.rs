//! The messages of QEMU: docs/interop/vhost-user.rst of QEMU, "Message Specification".

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::memory::RegionDescription;
use crate::ring::{Addresses, MAX_SIZE};
use crate::sys::{receive_with_descriptors, MAX_DESCRIPTORS};

/// `VIRTIO_F_VERSION_1`.
pub const F_VERSION_1: u64 = 1 << 32;
/// `VHOST_USER_F_PROTOCOL_FEATURES`.
pub const F_PROTOCOL_FEATURES: u64 = 1 << 30;
/// `VHOST_USER_PROTOCOL_F_MQ`, `_REPLY_ACK` and `_CONFIG`: QEMU asks for the guest's CID by the last.
pub const PROTOCOL_FEATURES: u64 = 1 | 1 << 3 | 1 << 9;

const HEADER_SIZE: usize = 12;
const VERSION: u32 = 1;
const FLAG_REPLY: u32 = 4;
const FLAG_NEED_REPLY: u32 = 8;
/// A configuration space of 256 bytes, and what stands before it, is the longest there is.
const MAX_PAYLOAD: usize = 12 + 256;
/// "This ring has no such descriptor."
const NO_DESCRIPTOR: u64 = 1 << 8;
/// A message that was begun must end within this time.
const PATIENCE: Duration = Duration::from_secs(5);

/// What QEMU wants.
#[derive(Debug)]
pub enum Request {
    GetFeatures,
    SetFeatures(u64),
    SetOwner,
    ResetOwner,
    SetMemoryTable(Vec<RegionDescription>, Vec<OwnedFd>),
    SetRingSize(usize, u16),
    /// As QEMU's own addresses.
    SetRingAddresses(usize, Addresses),
    SetRingBase(usize, u16),
    GetRingBase(usize),
    SetRingKick(usize, File),
    SetRingCall(usize, Option<File>),
    SetRingError,
    GetProtocolFeatures,
    SetProtocolFeatures(u64),
    GetQueueCount,
    SetRingEnabled(usize, bool),
    GetConfiguration {
        offset: u32,
        size: u32,
        flags: u32,
    },
    /// One that is not known, by its number.
    Other(u32),
}

/// A request and how it is answered.
#[derive(Debug)]
pub struct Message {
    pub request: Request,
    code: u32,
    /// QEMU waits for a word even where there is nothing to say.
    wants_word: bool,
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

/// The connection to QEMU.
#[derive(Debug)]
pub struct Frontend {
    socket: UnixStream,
}

impl Frontend {
    /// # Errors
    /// What setsockopt(2) says.
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket })
    }

    #[must_use]
    pub fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Receives a message. None when QEMU has closed.
    ///
    /// # Errors
    /// When it is none, or does not come whole.
    pub fn receive(&mut self) -> io::Result<Option<Message>> {
        let mut header = [0; HEADER_SIZE];
        let (size, descriptors) = receive_with_descriptors(self.socket.as_fd(), &mut header)?;
        if size == 0 {
            return Ok(None);
        }
        self.socket.read_exact(&mut header[size..])?;
        let mut fields = Fields(&header);
        let (code, flags) = (fields.u32()?, fields.u32()?);
        let size = fields.u32()? as usize;
        if flags & 3 != VERSION || flags & FLAG_REPLY != 0 || size > MAX_PAYLOAD {
            return Err(invalid("a header that is none"));
        }
        let mut payload = [0; MAX_PAYLOAD];
        self.socket.read_exact(&mut payload[..size])?;
        Ok(Some(Message {
            request: decode(code, &payload[..size], descriptors)?,
            code,
            wants_word: flags & FLAG_NEED_REPLY != 0,
        }))
    }

    /// Answers a message with what it asked for.
    ///
    /// # Errors
    /// What write(2) says.
    pub fn reply(&mut self, message: &Message, payload: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(HEADER_SIZE + payload.len());
        bytes.extend(message.code.to_le_bytes());
        bytes.extend((VERSION | FLAG_REPLY).to_le_bytes());
        bytes.extend(u32::try_from(payload.len()).unwrap_or(0).to_le_bytes());
        bytes.extend(payload);
        self.socket.write_all(&bytes)
    }

    /// Says whether something was done, where QEMU wants to know.
    ///
    /// # Errors
    /// What write(2) says.
    pub fn acknowledge(&mut self, message: &Message, done: bool) -> io::Result<()> {
        if !message.wants_word {
            return Ok(());
        }
        self.reply(message, &u64::from(!done).to_le_bytes())
    }
}

/// Little-endian fields of a payload, as on every machine that this runs on.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const SIZE: usize>(&mut self) -> io::Result<[u8; SIZE]> {
        let (first, rest) = self
            .0
            .split_first_chunk()
            .ok_or_else(|| invalid("a message that is too short"))?;
        self.0 = rest;
        Ok(*first)
    }

    fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    /// `struct vhost_vring_state`.
    fn ring_state(&mut self) -> io::Result<(usize, u32)> {
        Ok((self.u32()? as usize, self.u32()?))
    }

    /// The number of a ring, and whether it comes with a descriptor.
    fn ring_descriptor(&mut self, mut given: Vec<OwnedFd>) -> io::Result<(usize, Option<File>)> {
        let value = self.u64()?;
        let file = match given.pop() {
            Some(fd) if value & NO_DESCRIPTOR == 0 => Some(File::from(fd)),
            None if value & NO_DESCRIPTOR != 0 => None,
            _ => return Err(invalid("a ring with or without its descriptor")),
        };
        Ok(((value & 0xff) as usize, file))
    }
}

fn ring_size(value: u32) -> io::Result<u16> {
    u16::try_from(value)
        .ok()
        .filter(|size| size.is_power_of_two() && *size <= MAX_SIZE)
        .ok_or_else(|| invalid("a ring of an impossible size"))
}

/// Decodes a request by its `VHOST_USER_*` number.
fn decode(code: u32, payload: &[u8], descriptors: Vec<OwnedFd>) -> io::Result<Request> {
    let mut fields = Fields(payload);
    Ok(match code {
        1 => Request::GetFeatures,
        2 => Request::SetFeatures(fields.u64()?),
        3 => Request::SetOwner,
        4 => Request::ResetOwner,
        5 => {
            let count = fields.u32()? as usize;
            fields.u32()?;
            if count > MAX_DESCRIPTORS {
                return Err(invalid("more memory regions than there may be"));
            }
            let mut table = Vec::new();
            for _ in 0..count {
                table.push(RegionDescription {
                    guest_address: fields.u64()?,
                    size: fields.u64()?,
                    user_address: fields.u64()?,
                    file_offset: fields.u64()?,
                });
            }
            Request::SetMemoryTable(table, descriptors)
        }
        8 => {
            let (ring, size) = fields.ring_state()?;
            Request::SetRingSize(ring, ring_size(size)?)
        }
        9 => {
            let (ring, _flags) = fields.ring_state()?;
            let [descriptors, used, available] = [fields.u64()?, fields.u64()?, fields.u64()?];
            let addresses = Addresses {
                descriptors,
                available,
                used,
            };
            Request::SetRingAddresses(ring, addresses)
        }
        10 => {
            let (ring, base) = fields.ring_state()?;
            Request::SetRingBase(ring, (base & 0xffff) as u16)
        }
        11 => Request::GetRingBase(fields.ring_state()?.0),
        12 => match fields.ring_descriptor(descriptors)? {
            (ring, Some(file)) => Request::SetRingKick(ring, file),
            _ => return Err(invalid("a ring that is to be polled")),
        },
        13 => {
            let (ring, file) = fields.ring_descriptor(descriptors)?;
            Request::SetRingCall(ring, file)
        }
        14 => Request::SetRingError,
        15 => Request::GetProtocolFeatures,
        16 => Request::SetProtocolFeatures(fields.u64()?),
        17 => Request::GetQueueCount,
        18 => {
            let (ring, enabled) = fields.ring_state()?;
            Request::SetRingEnabled(ring, enabled != 0)
        }
        24 => Request::GetConfiguration {
            offset: fields.u32()?,
            size: fields.u32()?,
            flags: fields.u32()?,
        },
        other => Request::Other(other),
    })
}

/// `struct virtio_vsock_config`: the guest's CID, as QEMU asks for it.
#[must_use]
pub fn configuration(guest_cid: u64, offset: u32, size: u32, flags: u32) -> Vec<u8> {
    let space = guest_cid.to_le_bytes();
    let range = (offset as usize).min(space.len())
        ..(offset as usize)
            .saturating_add(size as usize)
            .min(space.len());
    let mut answer = Vec::new();
    for value in [offset, size, flags] {
        answer.extend(value.to_le_bytes());
    }
    answer.extend(&space[range]);
    answer.resize(12 + (size as usize).min(256), 0);
    answer
}
