//! What a host program says first: `CONNECT port\n`, as Firecracker has it.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use crate::sys;

/// `CONNECT 4294967295\n`.
const MAX_GREETING: usize = 19;
/// How much of it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    Unfinished,
    Wrong,
    Port(u32),
}

/// Takes `CONNECT port\n` and not a byte more.
#[must_use]
pub fn read_greeting(socket: &mut UnixStream) -> Greeting {
    let mut bytes = [0; MAX_GREETING];
    let size = match sys::peek(socket.as_fd(), &mut bytes) {
        Ok(0) => return Greeting::Wrong,
        Ok(size) => size,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Greeting::Unfinished,
        Err(_) => return Greeting::Wrong,
    };
    let Some(end) = bytes[..size].iter().position(|byte| *byte == b'\n') else {
        return if size < MAX_GREETING {
            Greeting::Unfinished
        } else {
            Greeting::Wrong
        };
    };
    let port = std::str::from_utf8(&bytes[..end])
        .ok()
        .and_then(|line| line.strip_prefix("CONNECT "))
        .filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|port| port.parse().ok());
    match (port, socket.read_exact(&mut bytes[..=end])) {
        (Some(port), Ok(())) => Greeting::Port(port),
        _ => Greeting::Wrong,
    }
}
