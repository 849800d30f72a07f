//! What the connections of a server share: its sessions, and in each the counts of the one object that a server has, its root.

use crate::error::Error;
use crate::wire::{SessionId, Transaction};
use alloc::collections::BTreeMap;

/// A host that opens more is not served; each costs memory.
const MAX_SESSIONS: usize = 64;
/// Connections of a session on which the client offers to execute commands. Nothing is ever sent on them.
const MAX_INCOMING: u32 = 64;
/// One-way calls that wait for an earlier one: Android's limit, and one on their bytes.
const MAX_QUEUED_CALLS: usize = 10_000;
const MAX_QUEUED_BYTES: usize = 4 << 20;

/// All sessions of one server. Give it to `Server` behind a lock.
#[derive(Default)]
pub struct SessionTable {
    sessions: BTreeMap<SessionId, Session>,
}

impl SessionTable {
    pub const fn new() -> Self {
        Self {
            sessions: BTreeMap::new(),
        }
    }

    /// Sessions that are alive.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Opens a session with its first connection.
    pub(crate) fn open(&mut self, id: SessionId, version: u32) -> Result<(), Error> {
        if self.sessions.len() >= MAX_SESSIONS {
            return Err(Error::Protocol("too many sessions"));
        }
        if self.sessions.contains_key(&id) {
            return Err(Error::Protocol("a session id was used twice"));
        }
        self.sessions.insert(id, Session::new(version));
        Ok(())
    }

    /// Adds a connection to a session and returns its protocol.
    pub(crate) fn join(
        &mut self,
        id: &SessionId,
        incoming: bool,
        max_threads: u32,
    ) -> Result<u32, Error> {
        let session = self
            .sessions
            .get_mut(id)
            .ok_or(Error::Protocol("unknown session id"))?;
        let (count, limit) = match incoming {
            true => (&mut session.incoming, MAX_INCOMING),
            false => (&mut session.connections, max_threads),
        };
        if *count >= limit {
            return Err(Error::Protocol(
                "more connections than GET_MAX_THREADS allows",
            ));
        }
        *count += 1;
        Ok(session.version)
    }

    /// The session, while none of its connections has ended.
    pub(crate) fn get(&mut self, id: &SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(id)
    }

    /// Ends a session: its other connections notice at their next command.
    pub(crate) fn close(&mut self, id: &SessionId) {
        self.sessions.remove(id);
    }
}

/// What a one-way call may do now.
pub(crate) enum Turn {
    /// Execute it.
    Now(Transaction),
    /// An earlier one has not arrived yet; whoever executes that one goes on with this.
    Later,
}

pub(crate) struct Session {
    version: u32,
    connections: u32,
    incoming: u32,
    /// Times the root was sent to the client and not given back.
    root_sent: u32,
    /// Times the client sent the root's address, not yet given back to it.
    root_received: u32,
    next_async: u64,
    queued: BTreeMap<u64, Transaction>,
    queued_bytes: usize,
}

impl Session {
    fn new(version: u32) -> Self {
        Self {
            version,
            connections: 1,
            incoming: 0,
            root_sent: 0,
            root_received: 0,
            next_async: 0,
            queued: BTreeMap::new(),
            queued_bytes: 0,
        }
    }

    pub fn root_leaves(&mut self) {
        self.root_sent = self.root_sent.saturating_add(1);
    }

    /// Counts a call to the root; false when the client has no root to call.
    pub fn root_enters(&mut self) -> bool {
        let known = self.root_sent > 0 || self.root_received > 0;
        if known {
            self.root_received = self.root_received.saturating_add(1);
        }
        known
    }

    /// The references to give back after a call.
    pub fn take_received(&mut self) -> u32 {
        core::mem::take(&mut self.root_received)
    }

    /// The client gave back references. More than it had is not believed.
    pub fn root_given_back(&mut self, amount: u32) {
        if let Some(sent) = self.root_sent.checked_sub(amount) {
            self.root_sent = sent;
        }
    }

    /// Whether client and server know no object of each other any more, which ends a session.
    pub fn has_no_objects(&self) -> bool {
        self.root_sent == 0 && self.root_received == 0
    }

    /// Puts a one-way call in line.
    pub fn order(&mut self, transaction: Transaction) -> Result<Turn, Error> {
        let number = transaction.async_number;
        if number == self.next_async {
            return Ok(Turn::Now(transaction));
        }
        let bytes = self
            .queued_bytes
            .saturating_add(transaction.parcel.data().len());
        if number < self.next_async || self.queued.contains_key(&number) {
            return Err(Error::Protocol(
                "a one-way call has the number of an earlier one",
            ));
        }
        if self.queued.len() + 1 >= MAX_QUEUED_CALLS || bytes > MAX_QUEUED_BYTES {
            return Err(Error::Protocol(
                "too many one-way calls wait for an earlier one",
            ));
        }
        self.queued_bytes = bytes;
        self.queued.insert(number, transaction);
        Ok(Turn::Later)
    }

    /// The next one-way call that is due, after one was executed.
    pub fn next_in_order(&mut self) -> Option<Transaction> {
        self.next_async = self.next_async.wrapping_add(1);
        let next = self.queued.remove(&self.next_async)?;
        self.queued_bytes = self.queued_bytes.saturating_sub(next.parcel.data().len());
        Some(next)
    }
}
