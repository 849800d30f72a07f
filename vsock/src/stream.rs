//! One connection between a Unix socket of the host and a port of the guest: Virtual I/O Device 1.2, 5.10.6.
//!
//! What the host sends stays in its socket until the guest has room for it. What the guest sends goes to
//! the socket at once, or waits here, as much of it as the guest was told that there is room for.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use crate::credit::{Credit, BUFFER_SIZE};
use crate::packet::{operation, Header, SHUTDOWN_RECEIVE, SHUTDOWN_SEND, TYPE_STREAM};
use crate::parts::first;
use crate::sys::{self, Part};
use crate::waiting::Waiting;

/// The most data in one packet.
const MAX_DATA: usize = 64 << 10;
const SHUTDOWN_BOTH: u32 = SHUTDOWN_RECEIVE | SHUTDOWN_SEND;

/// What makes a stream another one than all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// As which the host appears in it.
    pub host_cid: u64,
    pub host_port: u32,
    pub guest_port: u32,
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The host program has yet to say to which port it wants.
    Greeting,
    /// The guest was asked, and has yet to answer.
    Requested,
    /// The guest asked; the host program's queue is full, and is tried again until then.
    Dialling(Instant),
    Open,
    /// The host program has closed; the guest has yet to say that it knows.
    Closing,
    /// The guest has closed; the host program has yet to take what came before.
    Delivering,
}

/// What the guest must be told, once it has room for a packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Owed {
    pub reset: bool,
    pub request: bool,
    pub response: bool,
    pub credit: bool,
    pub ask_credit: bool,
    /// Flags that were not told yet.
    pub shutdown: u32,
}

/// What a stream does with its turn.
#[derive(Debug)]
pub enum Turn {
    /// Nothing until something happens to it.
    Rest,
    /// A packet for the guest, whose data is in its buffers.
    Packet(Header),
    /// The last packet: the stream is over.
    Last(Header),
}

#[derive(Debug)]
pub struct Stream {
    pub key: Key,
    pub guest_cid: u64,
    pub stage: Stage,
    pub socket: Option<UnixStream>,
    /// It is in the queue of those that may have something to tell the guest.
    pub queued: bool,
    /// Whether a host program started it.
    pub from_host: bool,
    pub owed: Owed,
    pub credit: Credit,
    /// Of the guest, for the host program.
    waiting: Waiting,
    /// The socket may have something to read.
    pub readable: bool,
    /// The host program closed its socket.
    pub hung_up: bool,
    /// The host program will send nothing more.
    ended: bool,
    /// The guest asked for credit since it last gave some.
    asked: bool,
    /// What the guest said that it will not do any more.
    guest_closed: u32,
    /// The host program was told that the guest sends nothing more.
    finished: bool,
    /// What the guest was told that the host will not do any more.
    told: u32,
}

impl Stream {
    #[must_use]
    pub fn new(key: Key, guest_cid: u64, stage: Stage, socket: Option<UnixStream>) -> Self {
        Self {
            key,
            guest_cid,
            from_host: stage == Stage::Greeting,
            stage,
            socket,
            queued: false,
            owed: Owed::default(),
            credit: Credit::default(),
            waiting: Waiting::default(),
            readable: false,
            hung_up: false,
            ended: false,
            asked: false,
            guest_closed: 0,
            finished: false,
            told: 0,
        }
    }

    /// A header of this stream, with its credit.
    fn header(&mut self, operation: u16) -> Header {
        let forwarded = self.credit.announce();
        self.owed.credit = false;
        Header {
            source_cid: self.key.host_cid,
            destination_cid: self.guest_cid,
            source_port: self.key.host_port,
            destination_port: self.key.guest_port,
            kind: TYPE_STREAM,
            operation,
            buffer_size: BUFFER_SIZE,
            forwarded,
            ..Header::default()
        }
    }

    /// Uses room that the guest has for one packet. Data is received straight into `parts`.
    pub fn turn(&mut self, parts: &[Part<'_>]) -> Turn {
        if std::mem::take(&mut self.owed.reset) {
            return Turn::Last(self.header(operation::RST));
        }
        if std::mem::take(&mut self.owed.request) {
            return Turn::Packet(self.header(operation::REQUEST));
        }
        if std::mem::take(&mut self.owed.response) {
            return Turn::Packet(self.header(operation::RESPONSE));
        }
        if self.stage == Stage::Open {
            if let Some(size) = self.receive(parts) {
                self.credit.send(size);
                let header = self.header(operation::RW);
                return Turn::Packet(Header {
                    length: size,
                    ..header
                });
            }
        }
        let flags = std::mem::take(&mut self.owed.shutdown) & !self.told;
        if flags != 0 {
            self.told |= flags;
            let header = self.header(operation::SHUTDOWN);
            if self.told == SHUTDOWN_BOTH {
                self.stage = Stage::Closing;
                self.socket = None;
                self.waiting = Waiting::default();
            }
            return Turn::Packet(Header {
                flags: self.told,
                ..header
            });
        }
        if self.owed.credit {
            return Turn::Packet(self.header(operation::CREDIT_UPDATE));
        }
        if std::mem::take(&mut self.owed.ask_credit) {
            return Turn::Packet(self.header(operation::CREDIT_REQUEST));
        }
        Turn::Rest
    }

    /// Receives from the host program as much as there is room for. None when there is nothing.
    fn receive(&mut self, parts: &[Part<'_>]) -> Option<u32> {
        if !self.readable || self.ended || self.guest_closed & SHUTDOWN_RECEIVE != 0 {
            return None;
        }
        let socket = self.socket.as_ref()?;
        let room = (self.credit.left() as usize).min(MAX_DATA);
        let result = if room == 0 {
            // There is no room for data, but its end needs none.
            sys::peek(socket.as_fd(), &mut [0])
        } else {
            sys::receive_into(socket.as_fd(), &first(parts, room))
        };
        match result {
            Ok(0) => self.end(),
            Ok(_) if room == 0 => {
                self.owed.ask_credit = !std::mem::replace(&mut self.asked, true);
            }
            Ok(size) => return u32::try_from(size).ok(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => {
                self.hung_up = true;
                self.end();
            }
        }
        None
    }

    /// The host program sends nothing more; one that hung up does not receive either.
    fn end(&mut self) {
        self.ended = true;
        self.owed.shutdown |= if self.hung_up {
            SHUTDOWN_BOTH
        } else {
            SHUTDOWN_SEND
        };
    }

    /// The host program closed its socket. What it sent before still goes to the guest.
    pub fn hang_up(&mut self) {
        self.hung_up = true;
        self.readable = true;
        if self.ended || self.guest_closed & SHUTDOWN_RECEIVE != 0 {
            self.end();
        }
    }

    /// Whether the host program will take nothing more.
    fn is_deaf(&self) -> bool {
        self.hung_up
            || self.socket.is_none()
            || (self.told | self.owed.shutdown) & SHUTDOWN_RECEIVE != 0
    }

    /// Takes data of the guest. False when there is more of it than the guest was told that there is room for.
    #[must_use]
    pub fn deliver(&mut self, parts: &[Part<'_>], size: u32) -> bool {
        if self.guest_closed & SHUTDOWN_SEND != 0 || !self.credit.receive(size) {
            return false;
        }
        let data = first(parts, size as usize);
        let mut sent = 0;
        if self.is_deaf() {
            sent = size as usize;
        } else if let (Some(socket), true) = (&self.socket, self.waiting.is_empty()) {
            match sys::send_from(socket.as_fd(), &data) {
                Ok(count) => sent = count,
                Err(error) if is_temporary(&error) => {}
                Err(_) => {
                    self.owed.shutdown |= SHUTDOWN_RECEIVE;
                    sent = size as usize;
                }
            }
        }
        self.waiting.append(&data, sent);
        if self.credit.forward(u32::try_from(sent).unwrap_or(size)) {
            self.owed.credit = true;
        }
        true
    }

    /// Sends what waits, as far as the host program takes it, and then the end if the guest said so.
    pub fn flush(&mut self) {
        while !self.waiting.is_empty() {
            let result = match &mut self.socket {
                Some(socket) => socket.write(self.waiting.bytes()),
                None => Err(io::Error::from(io::ErrorKind::NotConnected)),
            };
            let count = match result {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.owed.shutdown |= SHUTDOWN_RECEIVE;
                    self.waiting.bytes().len()
                }
            };
            self.waiting.take(count);
            if self.credit.forward(u32::try_from(count).unwrap_or(0)) {
                self.owed.credit = true;
            }
        }
        if self.guest_closed == SHUTDOWN_BOTH && self.stage == Stage::Open {
            self.owed.reset = true;
            self.socket = None;
        } else if self.guest_closed & SHUTDOWN_SEND != 0 && !self.finished {
            self.finished = true;
            self.shut(Shutdown::Write);
        }
    }

    /// The guest will not do what the flags say any more.
    pub fn guest_closes(&mut self, flags: u32) {
        let before = self.guest_closed;
        self.guest_closed |= flags & SHUTDOWN_BOTH;
        if self.guest_closed & !before & SHUTDOWN_RECEIVE != 0 {
            self.shut(Shutdown::Read);
        }
        if self.guest_closed == SHUTDOWN_BOTH && self.stage == Stage::Closing {
            self.owed.reset = true;
        }
        self.flush();
    }

    fn shut(&self, how: Shutdown) {
        if let Some(socket) = &self.socket {
            // A peer that is gone already needs no word.
            let _ = socket.shutdown(how);
        }
    }

    /// The guest answered. False when it was not asked.
    #[must_use]
    pub fn open(&mut self) -> bool {
        let Some(socket) = self
            .socket
            .as_mut()
            .filter(|_| self.stage == Stage::Requested)
        else {
            return false;
        };
        let answer = format!("OK {}\n", self.key.host_port);
        // The first bytes into a new socket: there is room for them, or nobody who reads.
        if socket.write(answer.as_bytes()).ok() != Some(answer.len()) {
            self.owed.reset = true;
            self.socket = None;
        }
        self.stage = Stage::Open;
        true
    }

    /// The guest gives credit.
    pub fn take_credit(&mut self, header: &Header) {
        self.credit.update(header);
        if self.credit.left() > 0 {
            self.asked = false;
        }
    }

    /// Whether nothing waits for the host program.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        self.waiting.is_empty()
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
