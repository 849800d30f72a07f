//! One session: its connections, its references, and its end. Calls are in `outgoing` and `incoming`.

use super::connection::Connections;
use super::nodes::{Given, Nodes};
use super::{Environment, Message, Monitor, Object, Pipe, Remote, Stream};
use crate::error::Error;
use crate::status::StatusCode;
use crate::transport::TransportError;
use crate::wire::{
    self, Address, ConnectionHeader, DecStrong, SessionId, CONNECTION_INIT, PROTOCOL_MAX,
};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

pub(super) struct State<O: Object> {
    pub alive: bool,
    pub nodes: Nodes<O>,
    pub connections: Connections<O::Environment>,
    /// References to give back for which no connection was free.
    pub pending: BTreeMap<Address, u32>,
}

impl<O: Object> State<O> {
    pub fn owe(&mut self, address: Address, amount: u32) {
        if amount > 0 {
            let owed = self.pending.entry(address).or_default();
            *owed = owed.saturating_add(amount);
        }
    }
}

/// Objects and connections of this process and one peer.
pub struct Session<O: Object> {
    pub(super) version: u32,
    /// The server knows it from the start; a client asks for it when it needs it.
    pub(super) id: Option<SessionId>,
    /// What a server answers to a client that asks for the root, and for how many connections it may have.
    pub(super) root: Option<Arc<O>>,
    pub(super) max_threads: u32,
    pub(super) state: <O::Environment as Environment>::Monitor<State<O>>,
}

pub(super) type StreamOf<O> = <<O as Object>::Environment as Environment>::Stream;

const CLOSED: Error = Error::Transport(TransportError::Closed);

impl<O: Object> Session<O> {
    fn new(
        version: u32,
        id: Option<SessionId>,
        root: Option<Arc<O>>,
        max_threads: u32,
    ) -> Arc<Self> {
        let state = State {
            alive: true,
            nodes: Nodes::new(id.is_some()),
            connections: Connections::new(),
            pending: BTreeMap::new(),
        };
        Arc::new(Self {
            version,
            id,
            root,
            max_threads,
            state: Monitor::new(state),
        })
    }

    /// The serving side, as the server opens it for a client.
    pub(super) fn serving(
        version: u32,
        id: SessionId,
        root: Arc<O>,
        max_threads: u32,
    ) -> Arc<Self> {
        Self::new(version, Some(id), Some(root), max_threads)
    }

    /// Starts a session as a client, over a stream that is connected to a server.
    ///
    /// # Errors
    /// `Transport` and `Protocol`: there is no session then.
    pub fn connect(stream: StreamOf<O>) -> Result<Arc<Self>, Error> {
        Self::connect_offering(stream, PROTOCOL_MAX)
    }

    /// Starts a session at no more than the given protocol.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_offering(stream: StreamOf<O>, offered: u32) -> Result<Arc<Self>, Error> {
        let offered = offered.min(PROTOCOL_MAX);
        let hello = ConnectionHeader {
            version: offered,
            incoming: false,
            fd_mode: 0,
            session: None,
        };
        let mut bytes = hello.encode();
        bytes.extend_from_slice(&CONNECTION_INIT);
        stream.write_all(&bytes)?;
        let version = wire::read_new_session_response(&mut Pipe(&stream))?;
        if version > offered {
            return Err(Error::Protocol(
                "the server chose a protocol that was not offered",
            ));
        }
        let session = Self::new(version, None, None, 0);
        session.add_connection(&Arc::new(stream), true)?;
        Ok(session)
    }

    /// Adds a connection of a client's to call by. There may be as many as `server_threads` says, the first one included.
    ///
    /// # Errors
    /// `Transport` if the stream broke.
    pub fn add_calling(&self, stream: StreamOf<O>, id: SessionId) -> Result<(), Error> {
        let mut bytes = self.join_header(id, false);
        bytes.extend_from_slice(&CONNECTION_INIT);
        stream.write_all(&bytes)?;
        self.add_connection(&Arc::new(stream), true)
    }

    /// Adds a connection of a client's on which the server calls back, and serves it until the session ends.
    ///
    /// # Errors
    /// `Transport` and `Protocol`: what ended the session, unless the server closed it.
    pub fn serve_incoming(
        self: &Arc<Self>,
        stream: StreamOf<O>,
        id: SessionId,
    ) -> Result<(), Error> {
        stream.write_all(&self.join_header(id, true))?;
        wire::read_connection_init(&mut Pipe(&stream))?;
        let stream = Arc::new(stream);
        self.add_connection(&stream, false)?;
        self.serve(&stream)
    }

    fn join_header(&self, id: SessionId, incoming: bool) -> Vec<u8> {
        ConnectionHeader {
            version: self.version,
            incoming,
            fd_mode: 0,
            session: Some(id),
        }
        .encode()
    }

    /// The agreed protocol.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Objects that both sides know at the moment: it does not grow in a session that leaks nothing.
    pub fn object_count(&self) -> usize {
        self.state.with(|state| state.nodes.len())
    }

    /// Whether calls have a chance.
    pub fn is_alive(&self) -> bool {
        self.state.with(|state| state.alive)
    }

    /// The server's root object.
    ///
    /// # Errors
    /// As [`Remote::transact`].
    pub fn remote_root(self: &Arc<Self>) -> Result<Option<Arc<O>>, StatusCode> {
        let reply = self.special(wire::GET_ROOT)?;
        let mut reader = reply.parcel().reader();
        reply.read_object(&mut reader)
    }

    /// How many connections the server takes.
    ///
    /// # Errors
    /// As [`Remote::transact`].
    pub fn remote_threads(self: &Arc<Self>) -> Result<i32, StatusCode> {
        self.special(wire::GET_MAX_THREADS)?
            .parcel()
            .reader()
            .read_i32()
    }

    /// The id by which further connections join.
    ///
    /// # Errors
    /// As [`Remote::transact`].
    pub fn remote_id(self: &Arc<Self>) -> Result<SessionId, StatusCode> {
        let reply = self.special(wire::GET_SESSION_ID)?;
        let mut reader = reply.parcel().reader();
        let id = reader.read_bytes()?;
        id.try_into().map_err(|_| StatusCode::BAD_VALUE)
    }

    fn special(self: &Arc<Self>, code: u32) -> Result<Message<O>, StatusCode> {
        self.transact(Address::NULL, code, 0, &Message::default())
    }

    pub(super) fn add_connection(
        &self,
        stream: &Arc<StreamOf<O>>,
        calling: bool,
    ) -> Result<(), Error> {
        self.state.with(|state| {
            if !state.alive {
                return Err(CLOSED);
            }
            state.connections.add(stream, calling);
            Ok(())
        })
    }

    /// Adds a connection of a server's, if there are fewer than `limit` of its kind; whether it did.
    ///
    /// A connection to call by is there, though in use, before `greeting` goes out on it: who hears that may count on it.
    pub(super) fn admit(
        &self,
        stream: &Arc<StreamOf<O>>,
        calling: bool,
        limit: usize,
        greeting: &[u8],
    ) -> Result<bool, Error> {
        let thread = O::Environment::thread();
        let admitted = self.state.with(|state| {
            if !state.alive {
                return Err(CLOSED);
            }
            if state.connections.count(calling) >= limit {
                return Ok(false);
            }
            state.connections.add(stream, calling);
            state.connections.begin_execution(stream, thread, false);
            Ok(true)
        })?;
        if !admitted {
            return Ok(false);
        }
        let sent = stream.write_all(greeting);
        self.state.with(|state| state.connections.give_back(stream));
        if sent.is_err() {
            self.end();
        }
        Ok(sent.map(|()| true)?)
    }

    /// Ends the session: calls under way fail, threads that serve it return, what stands for the peer's objects is told.
    pub fn end(&self) {
        let (held, orphans, pending) = self.state.with(|state| {
            state.alive = false;
            for stream in state.connections.streams() {
                stream.shut_down();
            }
            state.connections.clear();
            let (held, orphans) = state.nodes.clear();
            (held, orphans, mem::take(&mut state.pending))
        });
        drop(pending);
        for object in &orphans {
            object.died();
        }
        // Objects may call anything when they go, so they go outside of the lock.
        drop((held, orphans));
    }

    /// Ends the session if an operation on one of its connections failed.
    pub(super) fn or_end<T>(&self, result: Result<T, Error>) -> Result<T, StatusCode> {
        result.map_err(|error| match error {
            Error::Status(code) => code,
            _ => {
                self.end();
                StatusCode::DEAD_OBJECT
            }
        })
    }

    pub(super) fn settle(&self, given: Given<O>) {
        drop(given.dropped);
        if given.over {
            self.end();
        }
    }

    /// The object of an address that was read from a parcel.
    pub(super) fn enter(self: &Arc<Self>, address: Address) -> Result<Arc<O>, StatusCode> {
        let make = || O::from_remote(Remote::new(Arc::clone(self), address));
        let (object, amount) = self.state.with(|state| {
            if !state.alive {
                return Err(StatusCode::DEAD_OBJECT);
            }
            let object = state.nodes.enter(address, make)?;
            // An own object that came back: there is nothing to keep for the peer.
            Ok((object, state.nodes.take_received(address)))
        })?;
        self.give_back(address, amount);
        Ok(object)
    }

    /// A `Remote` has gone.
    pub(super) fn release(&self, address: Address) {
        let (amount, given) = self.state.with(|state| state.nodes.released(address));
        if !self.is_alive() {
            return drop(given.dropped);
        }
        self.give_back(address, amount);
        self.settle(given);
    }

    /// Tells the peer, now or with the next word to it.
    pub(super) fn give_back(&self, address: Address, amount: u32) {
        if amount == 0 {
            return;
        }
        self.state.with(|state| state.owe(address, amount));
        let thread = O::Environment::thread();
        let idle = self.state.with(|state| state.connections.find_idle(thread));
        if let Some(lease) = idle {
            let sent = self.send_pending(&lease.stream);
            self.finish(&lease);
            if sent.is_err() {
                self.end();
            }
        }
    }

    pub(super) fn send_pending(&self, stream: &Arc<StreamOf<O>>) -> Result<(), Error> {
        let pending = self.state.with(|state| mem::take(&mut state.pending));
        let commands = pending.into_iter();
        let bytes: Vec<u8> = commands
            .flat_map(|(address, amount)| DecStrong { address, amount }.encode())
            .collect();
        if !bytes.is_empty() {
            stream.write_all(&bytes)?;
        }
        Ok(())
    }
}
