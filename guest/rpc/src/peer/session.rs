//! One session: calls out, calls in, and its end.

use super::connection::{Connections, Found, Lease};
use super::message::ADDRESS_OFFSET;
use super::nodes::{Given, Nodes, Turn};
use super::{Call, Environment, Message, Monitor, Object, Pipe, Remote, Stream};
use crate::error::Error;
use crate::parcel::Parcel;
use crate::status::StatusCode;
use crate::transport::TransportError;
use crate::wire::{
    self, Address, ConnectionHeader, DecStrong, SessionId, Transaction, CONNECTION_INIT,
    PROTOCOL_MAX,
};
use crate::FLAG_ONEWAY;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

struct State<O: Object> {
    alive: bool,
    nodes: Nodes<O>,
    connections: Connections<O::Environment>,
    /// References to give back for which no connection was free.
    pending: BTreeMap<Address, u32>,
}

impl<O: Object> State<O> {
    fn owe(&mut self, address: Address, amount: u32) {
        if amount > 0 {
            let owed = self.pending.entry(address).or_default();
            *owed = owed.saturating_add(amount);
        }
    }
}

/// Objects and connections of this process and one peer.
pub struct Session<O: Object> {
    version: u32,
    /// The server knows it from the start; a client asks for it when it needs it.
    id: Option<SessionId>,
    /// What a server answers to a client that asks for the root, and for how many connections it may have.
    root: Option<Arc<O>>,
    max_threads: u32,
    state: <O::Environment as Environment>::Monitor<State<O>>,
}

type StreamOf<O> = <<O as Object>::Environment as Environment>::Stream;

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
    fn or_end<T>(&self, result: Result<T, Error>) -> Result<T, StatusCode> {
        result.map_err(|error| match error {
            Error::Status(code) => code,
            _ => {
                self.end();
                StatusCode::DEAD_OBJECT
            }
        })
    }

    fn settle(&self, given: Given<O>) {
        drop(given.dropped);
        if given.over {
            self.end();
        }
    }

    // --- references ---------------------------------------------------------------------------------

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
    fn give_back(&self, address: Address, amount: u32) {
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

    fn send_pending(&self, stream: &Arc<StreamOf<O>>) -> Result<(), Error> {
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

    // --- calls to the peer --------------------------------------------------------------------------

    fn lease(&self, oneway: bool) -> Result<Lease<O::Environment>, StatusCode> {
        let thread = O::Environment::thread();
        self.state.wait(|state| {
            if !state.alive {
                return Some(Err(StatusCode::DEAD_OBJECT));
            }
            match state.connections.find(thread, oneway) {
                Found::Lease(lease) => Some(Ok(lease)),
                Found::Busy => None,
                Found::None => Some(Err(StatusCode::WOULD_BLOCK)),
            }
        })
    }

    fn finish(&self, lease: &Lease<O::Environment>) {
        self.state
            .with(|state| state.connections.give_back(&lease.stream));
    }

    pub(super) fn transact(
        self: &Arc<Self>,
        address: Address,
        code: u32,
        flags: u32,
        data: &Message<O>,
    ) -> Result<Message<O>, StatusCode> {
        let oneway = flags & FLAG_ONEWAY != 0;
        let lease = self.lease(oneway)?;
        let outcome = self
            .send(&lease, address, code, flags, data)
            .and_then(|()| match oneway {
                true => Ok(Message::default()),
                false => self.or_end(self.wait_for_reply(&lease.stream)),
            });
        self.finish(&lease);
        outcome
    }

    fn send(
        self: &Arc<Self>,
        lease: &Lease<O::Environment>,
        address: Address,
        code: u32,
        flags: u32,
        data: &Message<O>,
    ) -> Result<(), StatusCode> {
        if lease.calling {
            // Acknowledgements of earlier one-way calls; unread, both sides would in the end wait for room.
            self.or_end(self.drain(&lease.stream))?;
        }
        self.check_own(data)?;
        // Sizes are checked on a frame without addresses, before anything is counted.
        Transaction::encode(self.version, address, code, flags, 0, &placeholder(data))?;
        let oneway = flags & FLAG_ONEWAY != 0;
        let number = self.state.with(|state| match address {
            Address::NULL => Ok(0),
            _ => state.nodes.call(address, oneway),
        })?;
        let parcel = self.addressed(data).inspect_err(|_| {
            // The call is not made after all.
            let given = self.state.with(|state| state.nodes.given_back(address, 1));
            self.settle(given);
        })?;
        let frame = Transaction::encode(self.version, address, code, flags, number, &parcel)?;
        let sent = self.send_pending(&lease.stream);
        self.or_end(sent.and_then(|()| Ok(lease.stream.write_all(&frame)?)))
    }

    /// Whether a message has no object that another session's peer knows: addresses mean nothing there.
    fn check_own(&self, message: &Message<O>) -> Result<(), StatusCode> {
        let foreign = |(_, object): (usize, &Arc<O>)| {
            object
                .remote()
                .is_some_and(|remote| !core::ptr::eq(Arc::as_ptr(remote.session()), self))
        };
        match message.sendable().any(foreign) {
            true => Err(StatusCode::INVALID_OPERATION),
            false => Ok(()),
        }
    }

    /// The parcel of a message with the addresses of its objects, which are counted, all or none.
    fn addressed(&self, message: &Message<O>) -> Result<Parcel, StatusCode> {
        let mut data = message.parcel().data().to_vec();
        let mut positions = Vec::new();
        let mut counted = Vec::new();
        for (at, object) in message.sendable() {
            let left = self.state.with(|state| match state.alive {
                true => state.nodes.leave(object),
                false => Err(StatusCode::DEAD_OBJECT),
            });
            let address = left.inspect_err(|_| {
                for address in counted.drain(..) {
                    let given = self.state.with(|state| state.nodes.given_back(address, 1));
                    self.settle(given);
                }
            })?;
            counted.push(address);
            let start = at + ADDRESS_OFFSET;
            if let Some(room) = data.get_mut(start..start + 8) {
                room.copy_from_slice(&address.0.to_le_bytes());
            }
            positions.push(u32::try_from(at).map_err(|_| StatusCode::FAILED_TRANSACTION)?);
        }
        Ok(Parcel::received(data, positions, true))
    }

    fn drain(self: &Arc<Self>, stream: &Arc<StreamOf<O>>) -> Result<(), Error> {
        while stream.has_input() {
            let frame = wire::read_frame(&mut Pipe(&**stream))?;
            match frame.command {
                wire::COMMAND_DEC_STRONG => self.given_back(&frame.body)?,
                _ => return Err(Error::Protocol("a command came where none was due")),
            }
        }
        Ok(())
    }

    fn wait_for_reply(self: &Arc<Self>, stream: &Arc<StreamOf<O>>) -> Result<Message<O>, Error> {
        loop {
            let frame = wire::read_frame(&mut Pipe(&**stream))?;
            if frame.command == wire::COMMAND_REPLY {
                let parcel = wire::decode_reply(self.version, &frame.body)??;
                return Ok(Message::received(parcel, self));
            }
            self.command(stream, frame.command, &frame.body)?;
        }
    }

    // --- calls of the peer --------------------------------------------------------------------------

    /// Executes what comes by a connection, until it or the session ends.
    pub(super) fn serve(self: &Arc<Self>, stream: &Arc<StreamOf<O>>) -> Result<(), Error> {
        let outcome = loop {
            let frame = match wire::read_frame(&mut Pipe(&**stream)) {
                Ok(frame) => frame,
                Err(error) => break error,
            };
            if let Err(error) = self.command(stream, frame.command, &frame.body) {
                break error;
            }
        };
        // What this side has ended is no failure, whatever it looks like from here.
        let alive = self.is_alive();
        self.end();
        match outcome {
            Error::Transport(TransportError::Closed) => Ok(()),
            _ if !alive => Ok(()),
            error => Err(error),
        }
    }

    fn command(
        self: &Arc<Self>,
        stream: &Arc<StreamOf<O>>,
        command: u32,
        body: &[u8],
    ) -> Result<(), Error> {
        match command {
            wire::COMMAND_TRANSACT => self.execute(stream, body),
            wire::COMMAND_DEC_STRONG => self.given_back(body),
            _ => Err(Error::Protocol("unknown command")),
        }
    }

    fn given_back(&self, body: &[u8]) -> Result<(), Error> {
        let command = DecStrong::decode(body)?;
        let given = self
            .state
            .with(|state| state.nodes.given_back(command.address, command.amount));
        self.settle(given);
        Ok(())
    }

    fn execute(self: &Arc<Self>, stream: &Arc<StreamOf<O>>, body: &[u8]) -> Result<(), Error> {
        let transaction = Transaction::decode(self.version, body)?;
        let oneway = transaction.flags & FLAG_ONEWAY != 0;
        if transaction.address == Address::NULL || !transaction.address.is_valid() {
            let reply = match transaction.address {
                Address::NULL => self.answer_special(transaction.code),
                _ => Err(StatusCode::BAD_VALUE),
            };
            return match oneway {
                true => Ok(()),
                false => self.reply(stream, reply),
            };
        }
        let address = transaction.address;
        let object = self.state.with(|state| state.nodes.called(address))?;
        let thread = O::Environment::thread();
        let before = self
            .state
            .with(|state| state.connections.begin_execution(stream, thread, !oneway));
        let outcome = match oneway {
            true => self.execute_in_order(&object, transaction).map(|()| {
                let amount = self.state.with(|state| state.nodes.take_received(address));
                self.give_back(address, amount);
            }),
            false => {
                let reply = self.call_object(&object, transaction);
                self.acknowledge(stream, address)
                    .and_then(|()| self.reply(stream, reply))
            }
        };
        self.state
            .with(|state| state.connections.end_execution(stream, before));
        outcome
    }

    /// Gives the caller back the references that its calls carried; it frees its own side by them.
    fn acknowledge(&self, stream: &Arc<StreamOf<O>>, address: Address) -> Result<(), Error> {
        self.state.with(|state| {
            let amount = state.nodes.take_received(address);
            state.owe(address, amount);
        });
        self.send_pending(stream)
    }

    fn call_object(
        self: &Arc<Self>,
        object: &Arc<O>,
        transaction: Transaction,
    ) -> Result<Message<O>, StatusCode> {
        object.transact(Call {
            code: transaction.code,
            flags: transaction.flags,
            data: Message::received(transaction.parcel, self),
            session: self,
        })
    }

    /// One-way calls run one at a time in the order of their numbers, on whichever connection they arrive.
    fn execute_in_order(
        self: &Arc<Self>,
        object: &Arc<O>,
        transaction: Transaction,
    ) -> Result<(), Error> {
        let address = transaction.address;
        let turn = self.state.with(|state| state.nodes.order(transaction))?;
        let Turn::Now(mut transaction) = turn else {
            return Ok(());
        };
        loop {
            // The caller has gone on: there is nobody to tell of a failure.
            drop(self.call_object(object, transaction));
            match self.state.with(|state| state.nodes.next_in_order(address)) {
                Some(next) => transaction = next,
                None => return Ok(()),
            }
        }
    }

    /// Transactions that the session itself answers, on the serving side.
    fn answer_special(&self, code: u32) -> Result<Message<O>, StatusCode> {
        let (Some(id), Some(root)) = (&self.id, &self.root) else {
            return Err(StatusCode::UNKNOWN_TRANSACTION);
        };
        let mut reply = Message::default();
        match code {
            wire::GET_ROOT => reply.write_object(Some(root)),
            wire::GET_MAX_THREADS => reply.parcel_mut().write_u32(self.max_threads),
            wire::GET_SESSION_ID => reply.parcel_mut().write_bytes(id),
            _ => return Err(StatusCode::UNKNOWN_TRANSACTION),
        }
        Ok(reply)
    }

    fn reply(
        &self,
        stream: &Arc<StreamOf<O>>,
        reply: Result<Message<O>, StatusCode>,
    ) -> Result<(), Error> {
        let parcel = reply.and_then(|message| {
            self.check_own(&message)?;
            wire::encode_reply(self.version, Ok(&placeholder(&message)))?;
            self.addressed(&message)
        });
        let frame = match parcel {
            Ok(parcel) => wire::encode_reply(self.version, Ok(&parcel))?,
            // A failure that says "fine" would desynchronise.
            Err(StatusCode::OK) => {
                wire::encode_reply(self.version, Err(StatusCode::UNKNOWN_ERROR))?
            }
            Err(code) => wire::encode_reply(self.version, Err(code))?,
        };
        Ok(stream.write_all(&frame)?)
    }
}

/// A parcel as large as the message's will be on the wire.
fn placeholder<O: Object>(message: &Message<O>) -> Parcel {
    let positions = message
        .sendable()
        .map(|(at, _)| u32::try_from(at).unwrap_or(u32::MAX))
        .collect();
    Parcel::received(message.parcel().data().to_vec(), positions, true)
}
