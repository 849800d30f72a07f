//! The two things that a session needs from its surroundings: a byte stream and, for servers, a lock.

use core::cell::RefCell;
use core::fmt;

/// Why bytes could not be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// The peer closed the stream.
    Closed,
    /// The operating system said no, with this errno.
    Os(i32),
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection is closed"),
            Self::Os(errno) => write!(f, "errno {errno}"),
        }
    }
}

/// A connected stream, used by one thread at a time.
pub trait Transport {
    /// Fills the whole buffer, or fails with `Closed` where the stream ends before.
    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), TransportError>;
    /// Writes all the bytes.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), TransportError>;
}

impl<T: Transport + ?Sized> Transport for &mut T {
    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), TransportError> {
        (**self).read_exact(buffer)
    }
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        (**self).write_all(bytes)
    }
}

/// A value that several threads share. The library never blocks nor calls a service inside `with`.
pub trait Lock<T> {
    fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R;
}

/// For servers that have one thread.
impl<T> Lock<T> for RefCell<T> {
    fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut self.borrow_mut())
    }
}
