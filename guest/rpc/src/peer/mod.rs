//! Sessions in which both sides have objects: calls, calls back, one-way calls in order, references, death.
//!
//! A [`Session`] is any number of connections, used by any number of threads. It knows objects as [`Object`], a type of its
//! user that is either an object of this process or stands for one of the peer's. Threads block: in [`Stream`] while bytes
//! are under way, in [`Monitor`] while all connections are in use. What blocks is the user's, given by an [`Environment`].

mod connection;
mod incoming;
mod message;
mod nodes;
mod object;
mod outgoing;
mod server;
mod session;

pub use message::Message;
pub use object::{Call, Object, Remote};
pub use server::PeerServer;
pub use session::Session;

use crate::transport::{Transport, TransportError};

/// A connected stream. One thread reads at a time and one writes, not necessarily the same.
pub trait Stream: Send + Sync + 'static {
    /// Fills the whole buffer, or fails with `Closed` where the stream ends before.
    fn read_exact(&self, buffer: &mut [u8]) -> Result<(), TransportError>;
    /// Writes all the bytes.
    fn write_all(&self, bytes: &[u8]) -> Result<(), TransportError>;
    /// Whether a read would return at once.
    fn has_input(&self) -> bool;
    /// Ends the stream both ways; who reads or writes on it fails.
    fn shut_down(&self);
}

/// A value that threads change one at a time, and on whose changes they wait. Functions must not use the same monitor.
pub trait Monitor<T>: Send + Sync {
    fn new(value: T) -> Self;
    /// Runs a function on the value and wakes all that wait.
    fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R;
    /// Runs a function on the value, again after each change, until it gives a result.
    fn wait<R>(&self, attempt: impl FnMut(&mut T) -> Option<R>) -> R;
}

/// What sessions ask of the program that they run in.
pub trait Environment: Sized + Send + Sync + 'static {
    type Stream: Stream;
    type Monitor<T: Send + 'static>: Monitor<T> + 'static;
    /// A number of the calling thread, as long as it lives no other's.
    fn thread() -> u64;
}

/// A stream as the functions of `wire` take it.
struct Pipe<'a, S>(&'a S);

impl<S: Stream> Transport for Pipe<'_, S> {
    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), TransportError> {
        self.0.read_exact(buffer)
    }
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.0.write_all(bytes)
    }
}
