//! Adapters for programs with std.

use crate::transport::{Lock, Transport, TransportError};
use std::io::{ErrorKind, Read, Write};
use std::sync::{Mutex, PoisonError};

/// A `Read + Write` stream (a socket) as a [`Transport`].
pub struct Stream<S>(pub S);

fn transport_error(error: &std::io::Error) -> TransportError {
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::UnexpectedEof | ErrorKind::WriteZero, _) => TransportError::Closed,
        (_, Some(errno)) => TransportError::Os(errno),
        _ => TransportError::Closed,
    }
}

impl<S: Read + Write> Transport for Stream<S> {
    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), TransportError> {
        self.0
            .read_exact(buffer)
            .map_err(|error| transport_error(&error))
    }
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.0
            .write_all(bytes)
            .map_err(|error| transport_error(&error))
    }
}

impl<T> Lock<T> for Mutex<T> {
    fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        // A thread that panicked inside a lock left whole values behind: every change here is a few assignments.
        change(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
