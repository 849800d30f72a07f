//! Calls of the peer.

use super::nodes::Turn;
use super::session::{Session, StreamOf};
use super::{Call, Environment, Message, Monitor, Object, Pipe, Stream};
use crate::error::Error;
use crate::status::StatusCode;
use crate::transport::TransportError;
use crate::wire::{self, Address, DecStrong, Transaction};
use crate::FLAG_ONEWAY;
use alloc::sync::Arc;

impl<O: Object> Session<O> {
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

    pub(super) fn command(
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

    pub(super) fn given_back(&self, body: &[u8]) -> Result<(), Error> {
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
            let data = message.parcel().data().len();
            wire::check_reply_size(self.version, data, message.sendable().count())?;
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
