//! The calling side: one session over one connection.

use crate::error::Error;
use crate::parcel::Parcel;
use crate::reader::ParcelReader;
use crate::status::StatusCode;
use crate::transport::Transport;
use crate::wire::{
    self, Address, ConnectionHeader, DecStrong, SessionId, Transaction, CONNECTION_INIT,
    PROTOCOL_MAX,
};
use crate::{FLAG_ONEWAY, PING_TRANSACTION};
use alloc::collections::BTreeMap;

/// One-way calls are acknowledged by frames that nobody reads before the next two-way call. After this many of them a
/// ping reads those frames, or both sides would in the end wait for room in the socket.
const ONEWAY_CALLS_BEFORE_PING: u32 = 256;

/// What both sides count for an object of the server.
#[derive(Default)]
struct RemoteObject {
    /// Times its address was sent to the owner and not yet given back by it.
    sent: u32,
    /// Times it was received, and so has to be given back.
    received: u32,
    /// The next number of a one-way call.
    async_number: u64,
    /// Give back what was received as soon as `sent` is 0: earlier, the owner could forget an address still on its way.
    released: bool,
}

/// A session as a client, for one thread. Dropping it closes the connection, which ends the session.
pub struct ClientSession<T: Transport> {
    transport: T,
    version: u32,
    objects: BTreeMap<Address, RemoteObject>,
    oneway_calls: u32,
}

impl<T: Transport> ClientSession<T> {
    /// Starts a new session, offering the highest protocol.
    pub fn connect(transport: T) -> Result<Self, Error> {
        Self::connect_offering(transport, PROTOCOL_MAX)
    }

    /// Starts a new session at no more than the given protocol.
    pub fn connect_offering(mut transport: T, version: u32) -> Result<Self, Error> {
        let version = version.min(PROTOCOL_MAX);
        let mut hello = ConnectionHeader {
            version,
            incoming: false,
            fd_mode: 0,
            session: None,
        }
        .encode();
        hello.extend_from_slice(&CONNECTION_INIT);
        transport.write_all(&hello)?;
        let agreed = wire::read_new_session_response(&mut transport)?;
        if agreed > version {
            return Err(Error::Protocol(
                "the server chose a protocol that was not offered",
            ));
        }
        Ok(Self {
            transport,
            version: agreed,
            objects: BTreeMap::new(),
            oneway_calls: 0,
        })
    }

    /// The protocol in use.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// How many connections the server would take in this session.
    pub fn max_threads(&mut self) -> Result<i32, Error> {
        let reply = self.special(wire::GET_MAX_THREADS)?;
        Ok(reply.reader().read_i32()?)
    }

    pub fn session_id(&mut self) -> Result<SessionId, Error> {
        let reply = self.special(wire::GET_SESSION_ID)?;
        let mut reader = reply.reader();
        reader
            .read_bytes()?
            .try_into()
            .map_err(|_| Error::Protocol("a session id is not 32 bytes long"))
    }

    /// The server's root object, `None` if it has none. The caller holds a reference until [`Self::release`]; to give back
    /// the last one makes the server end the session.
    pub fn root(&mut self) -> Result<Option<Address>, Error> {
        let reply = self.special(wire::GET_ROOT)?;
        let root = reply.reader().read_binder()?;
        if let Some(address) = root {
            self.acquire(address)?;
        }
        Ok(root)
    }

    /// Counts a binder that was read from a reply.
    pub fn acquire(&mut self, address: Address) -> Result<(), Error> {
        if !address.is_valid() || !address.is_for_server() {
            return Err(Error::Protocol(
                "the server sent an address that it cannot have made",
            ));
        }
        let object = self.objects.entry(address).or_default();
        object.received = object.received.saturating_add(1);
        object.released = false;
        Ok(())
    }

    /// Gives back all references to an object, now or once the server has acknowledged the calls under way to it.
    pub fn release(&mut self, address: Address) -> Result<(), Error> {
        let Some(object) = self.objects.get_mut(&address) else {
            return Ok(());
        };
        object.released = true;
        self.give_back_if_due(address)
    }

    fn give_back_if_due(&mut self, address: Address) -> Result<(), Error> {
        match self.objects.get(&address) {
            Some(object) if object.released && object.sent == 0 => {
                let amount = object.received;
                self.objects.remove(&address);
                self.transport
                    .write_all(&DecStrong { address, amount }.encode())?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A two-way call; returns the whole reply parcel, status header included.
    ///
    /// # Errors
    /// `Status` when the call was not executed; `Transport` and `Protocol` when the session is over.
    pub fn transact(&mut self, target: Address, code: u32, data: &Parcel) -> Result<Parcel, Error> {
        self.send(target, code, 0, data)?;
        loop {
            let frame = wire::read_frame(&mut self.transport)?;
            match frame.command {
                wire::COMMAND_REPLY => {
                    self.oneway_calls = 0;
                    return Ok(wire::decode_reply(self.version, &frame.body)??);
                }
                wire::COMMAND_DEC_STRONG => self.given_back(&DecStrong::decode(&frame.body)?)?,
                wire::COMMAND_TRANSACT => self.refuse(&frame.body)?,
                _ => return Err(Error::Protocol("unknown command")),
            }
        }
    }

    /// A call that nobody answers. Calls to one object are executed in order.
    pub fn transact_oneway(
        &mut self,
        target: Address,
        code: u32,
        data: &Parcel,
    ) -> Result<(), Error> {
        self.send(target, code, FLAG_ONEWAY, data)?;
        self.oneway_calls += 1;
        if self.oneway_calls >= ONEWAY_CALLS_BEFORE_PING {
            self.transact(target, PING_TRANSACTION, &Parcel::new())?;
        }
        Ok(())
    }

    /// Calls a method of an AIDL interface: `write` puts the arguments behind the interface token, `read` takes the return
    /// value from behind the status header.
    pub fn call<R>(
        &mut self,
        target: Address,
        descriptor: &str,
        code: u32,
        write: impl FnOnce(&mut Parcel),
        read: impl FnOnce(&mut ParcelReader<'_>) -> Result<R, StatusCode>,
    ) -> Result<R, Error> {
        let mut data = Parcel::request(descriptor);
        write(&mut data);
        let reply = self.transact(target, code, &data)?;
        let mut reader = reply.reader();
        reader.read_status()??;
        Ok(read(&mut reader)?)
    }

    fn special(&mut self, code: u32) -> Result<Parcel, Error> {
        self.transact(Address::NULL, code, &Parcel::new())
    }

    fn send(&mut self, target: Address, code: u32, flags: u32, data: &Parcel) -> Result<(), Error> {
        let mut async_number = 0;
        if target != Address::NULL {
            let object = self.objects.get(&target).ok_or(StatusCode::DEAD_OBJECT)?;
            if flags & FLAG_ONEWAY != 0 {
                async_number = object.async_number;
            }
        }
        let frame = Transaction::encode(self.version, target, code, flags, async_number, data)?;
        self.transport.write_all(&frame)?;
        if let Some(object) = self.objects.get_mut(&target) {
            object.sent = object.sent.saturating_add(1);
            if flags & FLAG_ONEWAY != 0 {
                object.async_number += 1;
            }
        }
        Ok(())
    }

    fn given_back(&mut self, command: &DecStrong) -> Result<(), Error> {
        let Some(object) = self.objects.get_mut(&command.address) else {
            return Ok(()); // already forgotten here
        };
        if let Some(sent) = object.sent.checked_sub(command.amount) {
            object.sent = sent;
        }
        self.give_back_if_due(command.address)
    }

    /// This side has no objects, so a call can only be meant for the session.
    fn refuse(&mut self, body: &[u8]) -> Result<(), Error> {
        let transaction = Transaction::decode(self.version, body)?;
        if transaction.address != Address::NULL {
            return Err(Error::Protocol(
                "the server called an object that was never sent to it",
            ));
        }
        if transaction.flags & FLAG_ONEWAY == 0 {
            let reply = wire::encode_reply(self.version, Err(StatusCode::UNKNOWN_TRANSACTION))?;
            self.transport.write_all(&reply)?;
        }
        Ok(())
    }
}
