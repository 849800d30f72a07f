//! Objects as sessions see them.

use super::{Environment, Message, Session};
use crate::status::StatusCode;
use crate::wire::Address;
use alloc::sync::Arc;
use core::fmt;

/// A call that an object is to execute.
pub struct Call<'a, O: Object> {
    pub code: u32,
    pub flags: u32,
    /// The arguments, with the interface token in front.
    pub data: Message<O>,
    /// The session that the call came by.
    pub session: &'a Arc<Session<O>>,
}

/// An object of this process, or one that stands for an object of the peer.
pub trait Object: Send + Sync + Sized + 'static {
    type Environment: Environment;

    /// Makes what stands for an object of the peer. Called once for each that is known at a time.
    fn from_remote(remote: Remote<Self>) -> Arc<Self>;

    /// The peer's object that this one stands for, `None` for an object of this process.
    fn remote(&self) -> Option<&Remote<Self>>;

    /// Executes a call to an object of this process: every code that a peer may send, Binder's own too.
    ///
    /// # Errors
    /// Goes to the caller in the reply's status word; no parcel follows.
    fn transact(self: &Arc<Self>, call: Call<'_, Self>) -> Result<Message<Self>, StatusCode>;

    /// The session of the object that this one stands for has ended. Called at most once, outside of all locks.
    fn died(self: &Arc<Self>);
}

/// A reference to an object of the peer, given back when dropped.
pub struct Remote<O: Object> {
    session: Arc<Session<O>>,
    address: Address,
}

impl<O: Object> fmt::Debug for Remote<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({:#x})", self.address.0)
    }
}

impl<O: Object> Remote<O> {
    pub(super) fn new(session: Arc<Session<O>>, address: Address) -> Self {
        Self { session, address }
    }

    pub fn session(&self) -> &Arc<Session<O>> {
        &self.session
    }

    pub(super) fn address(&self) -> Address {
        self.address
    }

    /// Calls the object, from any thread; returns the whole reply, or an empty one at once if the call is one-way.
    ///
    /// # Errors
    /// `DEAD_OBJECT` when the session is over, `WOULD_BLOCK` when there is no connection to call by, `FAILED_TRANSACTION`
    /// when the arguments are too large, and whatever the peer answers.
    pub fn transact(
        &self,
        code: u32,
        flags: u32,
        data: &Message<O>,
    ) -> Result<Message<O>, StatusCode> {
        self.session.transact(self.address, code, flags, data)
    }
}

impl<O: Object> Drop for Remote<O> {
    fn drop(&mut self) {
        self.session.release(self.address);
    }
}
