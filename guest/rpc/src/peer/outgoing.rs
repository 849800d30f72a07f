//! Calls to the peer.

use super::connection::{Found, Lease};
use super::message::ADDRESS_OFFSET;
use super::session::{Session, StreamOf};
use super::{Environment, Message, Monitor, Object, Pipe, Stream};
use crate::error::Error;
use crate::parcel::Parcel;
use crate::status::StatusCode;
use crate::wire::{self, Address, Transaction};
use crate::FLAG_ONEWAY;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl<O: Object> Session<O> {
    pub(super) fn lease(&self, oneway: bool) -> Result<Lease<O::Environment>, StatusCode> {
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

    pub(super) fn finish(&self, lease: &Lease<O::Environment>) {
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

    pub(super) fn send(
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
        // Before anything is counted.
        wire::check_transaction_size(
            self.version,
            data.parcel().data().len(),
            data.sendable().count(),
        )?;
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
    pub(super) fn check_own(&self, message: &Message<O>) -> Result<(), StatusCode> {
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
    pub(super) fn addressed(&self, message: &Message<O>) -> Result<Parcel, StatusCode> {
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

    pub(super) fn drain(self: &Arc<Self>, stream: &Arc<StreamOf<O>>) -> Result<(), Error> {
        while stream.has_input() {
            let frame = wire::read_frame(&mut Pipe(&**stream))?;
            match frame.command {
                wire::COMMAND_DEC_STRONG => self.given_back(&frame.body)?,
                _ => return Err(Error::Protocol("a command came where none was due")),
            }
        }
        Ok(())
    }

    pub(super) fn wait_for_reply(
        self: &Arc<Self>,
        stream: &Arc<StreamOf<O>>,
    ) -> Result<Message<O>, Error> {
        loop {
            let frame = wire::read_frame(&mut Pipe(&**stream))?;
            if frame.command == wire::COMMAND_REPLY {
                let parcel = wire::decode_reply(self.version, &frame.body)??;
                return Ok(Message::received(parcel, self));
            }
            self.command(stream, frame.command, &frame.body)?;
        }
    }
}
