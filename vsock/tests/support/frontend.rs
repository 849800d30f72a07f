//! QEMU's end of vhost-user.

use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{sendmsg, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::{connect_when_there, Folder};

/// QEMU's end of vhost-user.
pub struct Frontend {
    pub socket: UnixStream,
}

const NEED_REPLY: u32 = 8;

impl Frontend {
    pub fn connect(folder: &Folder) -> Self {
        Self {
            socket: connect_when_there(&folder.vhost()),
        }
    }

    pub fn message(code: u32, flags: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for value in [code, 1 | flags, payload.len() as u32] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(payload);
        bytes
    }

    pub fn send(&self, bytes: &[u8], files: &[&OwnedFd]) {
        let files: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
        }
        let parts = [std::io::IoSlice::new(bytes)];
        // A backend that has ended is told by what it should have said.
        let _ = sendmsg(&self.socket, &parts, &mut control, SendFlags::NOSIGNAL);
    }

    /// A request that only has to be understood.
    pub fn set(&mut self, code: u32, payload: &[u8], files: &[&OwnedFd]) {
        self.send(&Self::message(code, NEED_REPLY, payload), files);
        assert_eq!(self.reply(code), 0u64.to_le_bytes(), "request {code}");
    }

    pub fn get(&mut self, code: u32, payload: &[u8]) -> Vec<u8> {
        self.send(&Self::message(code, 0, payload), &[]);
        self.reply(code)
    }

    fn reply(&mut self, code: u32) -> Vec<u8> {
        let mut header = [0; 12];
        self.socket.read_exact(&mut header).unwrap();
        assert_eq!(header[..4], code.to_le_bytes());
        assert_eq!(header[4..8], 5u32.to_le_bytes());
        let mut payload = vec![0; u32::from_le_bytes(header[8..].try_into().unwrap()) as usize];
        self.socket.read_exact(&mut payload).unwrap();
        payload
    }
}
