//! What RPC sessions ask of the process that they run in.

use microbuild_rpc::peer::{Environment, Monitor, Stream};
use microbuild_rpc::{Transport, TransportError};
use microbuild_sys::payload::socket::Socket;
use microbuild_sys::payload::thread;

/// A connected socket.
pub struct SocketStream(pub Socket);

impl Stream for SocketStream {
    fn read_exact(&self, buffer: &mut [u8]) -> Result<(), TransportError> {
        let mut rest = buffer;
        while !rest.is_empty() {
            match self.0.receive(rest) {
                Ok(0) => return Err(TransportError::Closed),
                Ok(count) => rest = rest.get_mut(count..).unwrap_or_default(),
                Err(errno) => return Err(TransportError::Os(errno.0)),
            }
        }
        Ok(())
    }

    fn write_all(&self, bytes: &[u8]) -> Result<(), TransportError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.0.send(rest) {
                Ok(0) => return Err(TransportError::Closed),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(errno) => return Err(TransportError::Os(errno.0)),
            }
        }
        Ok(())
    }

    fn has_input(&self) -> bool {
        self.0.has_input()
    }

    fn shut_down(&self) {
        self.0.shut_down();
    }
}

/// For sessions of one thread.
impl Transport for SocketStream {
    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), TransportError> {
        Stream::read_exact(self, buffer)
    }
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        Stream::write_all(self, bytes)
    }
}

/// A monitor made of the libc's mutex and condition.
pub struct Shared<T>(thread::Monitor<T>);

impl<T: Send> Monitor<T> for Shared<T> {
    fn new(value: T) -> Self {
        Self(thread::Monitor::new(value))
    }
    fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        self.0.with(change)
    }
    fn wait<R>(&self, attempt: impl FnMut(&mut T) -> Option<R>) -> R {
        self.0.wait(attempt)
    }
}

/// This process.
pub struct Process;

impl Environment for Process {
    type Stream = SocketStream;
    type Monitor<T: Send + 'static> = Shared<T>;
    fn thread() -> u64 {
        thread::current()
    }
}
