//! The serving side: one root object, any number of sessions, each with up to `max_threads` connections.

use crate::error::Error;
use crate::parcel::Parcel;
use crate::reader::ParcelReader;
use crate::session::{SessionTable, Turn};
use crate::status::{Status, StatusCode};
use crate::transport::{Lock, Transport, TransportError};
use crate::wire::{
    self, Address, ConnectionHeader, DecStrong, SessionId, Transaction, CONNECTION_INIT,
    PROTOCOL_MAX,
};
use crate::{
    DEBUG_PID_TRANSACTION, EXTENSION_TRANSACTION, FIRST_CALL_TRANSACTION, FLAG_ONEWAY,
    INTERFACE_TRANSACTION, LAST_CALL_TRANSACTION, PING_TRANSACTION,
};

/// The root object.
pub trait Service {
    /// The interface descriptor. Calls whose token differs never reach `on_transact`.
    fn descriptor(&self) -> &str;

    /// Executes a method; `data` stands behind the interface token. The reply starts with its status header, as
    /// [`Parcel::reply`] makes it. Nobody sees the reply of a one-way call.
    ///
    /// # Errors
    /// `Status::Code` when the call cannot be executed (`UNKNOWN_TRANSACTION` for an unknown code, or what reading `data`
    /// gave), `Status::Exception` when the method throws.
    fn on_transact(&self, code: u32, data: &mut ParcelReader<'_>) -> Result<Parcel, Status>;

    /// What `DEBUG_PID_TRANSACTION` answers; 0 where it is not known.
    fn process_id(&self) -> i32 {
        #[cfg(feature = "std")]
        return i32::try_from(std::process::id()).unwrap_or(0);
        #[cfg(not(feature = "std"))]
        return 0;
    }
}

impl<S: Service + ?Sized> Service for &S {
    fn descriptor(&self) -> &str {
        (**self).descriptor()
    }
    fn on_transact(&self, code: u32, data: &mut ParcelReader<'_>) -> Result<Parcel, Status> {
        (**self).on_transact(code, data)
    }
    fn process_id(&self) -> i32 {
        (**self).process_id()
    }
}

/// Serves a root object. Share it between threads and call [`Server::serve`] once per accepted connection.
pub struct Server<S, L> {
    service: S,
    sessions: L,
    max_threads: u32,
    max_version: u32,
}

/// One connection while it is served.
struct Connection<'a, T> {
    transport: &'a mut T,
    session: SessionId,
    version: u32,
}

const ENDED: Error = Error::Protocol("another connection of the session has ended");

impl<S: Service, L: Lock<SessionTable>> Server<S, L> {
    /// A server with Android's default of one connection a session.
    pub fn new(service: S, sessions: L) -> Self {
        Self {
            service,
            sessions,
            max_threads: 1,
            max_version: PROTOCOL_MAX,
        }
    }

    /// How many connections a session may have; at least 1.
    pub fn with_max_threads(mut self, max_threads: u32) -> Self {
        self.max_threads = max_threads.clamp(1, i32::MAX as u32);
        self
    }

    /// The highest protocol to agree to.
    pub fn with_max_version(mut self, version: u32) -> Self {
        self.max_version = version.min(PROTOCOL_MAX);
        self
    }

    /// Serves one connection until its peer closes it. The end of a connection ends its session. `fresh_id` is 32 random
    /// bytes, used if the connection asks for a new session.
    ///
    /// # Errors
    /// `Transport` and `Protocol`: what ended the connection before its time. The caller closes it in any case.
    pub fn serve<T: Transport>(&self, transport: &mut T, fresh_id: SessionId) -> Result<(), Error> {
        let header = ConnectionHeader::read(transport)?;
        let (session, version) = match header.session {
            None => {
                let version = header.version.min(self.max_version);
                transport.write_all(&wire::encode_new_session_response(version))?;
                if header.incoming {
                    return Err(Error::Protocol(
                        "a session cannot start with an incoming connection",
                    ));
                }
                if header.fd_mode != 0 {
                    return Err(Error::Protocol("file descriptors cannot travel here"));
                }
                wire::read_connection_init(transport)?;
                self.sessions.with(|table| table.open(fresh_id, version))?;
                (fresh_id, version)
            }
            Some(id) => {
                // One too many ends the session, as since Android 16: only its own client can have sent it.
                let joined = self
                    .sessions
                    .with(|table| table.join(&id, header.incoming, self.max_threads));
                let version =
                    joined.inspect_err(|_| self.sessions.with(|table| table.close(&id)))?;
                (id, version)
            }
        };
        let mut connection = Connection {
            transport,
            session,
            version,
        };
        let outcome = match (header.session.is_some(), header.incoming) {
            (true, true) => self.hold(&mut connection),
            (true, false) => wire::read_connection_init(connection.transport)
                .and_then(|()| self.commands(&mut connection)),
            (false, _) => self.commands(&mut connection),
        };
        self.sessions.with(|table| table.close(&session));
        match outcome {
            Err(Error::Transport(TransportError::Closed)) => Ok(()),
            other => other,
        }
    }

    /// A connection on which only this side could send commands. The root object never calls back, so none are sent.
    fn hold<T: Transport>(&self, connection: &mut Connection<'_, T>) -> Result<(), Error> {
        connection.transport.write_all(&CONNECTION_INIT)?;
        connection.transport.read_exact(&mut [0])?;
        Err(Error::Protocol(
            "the client sent a command on an incoming connection",
        ))
    }

    fn commands<T: Transport>(&self, connection: &mut Connection<'_, T>) -> Result<(), Error> {
        loop {
            let frame = wire::read_frame(connection.transport)?;
            match frame.command {
                wire::COMMAND_TRANSACT => self.transact(connection, &frame.body)?,
                wire::COMMAND_DEC_STRONG => {
                    let command = DecStrong::decode(&frame.body)?;
                    if self.given_back(&connection.session, &command)? {
                        return Ok(());
                    }
                }
                _ => return Err(Error::Protocol("unknown command")),
            }
        }
    }

    /// True when the session has no objects left and so is over.
    fn given_back(&self, session: &SessionId, command: &DecStrong) -> Result<bool, Error> {
        self.sessions.with(|table| {
            let session = table.get(session).ok_or(ENDED)?;
            if command.address != Address::SERVER_ROOT {
                return Ok(false); // Android's rule: an unknown address is no reason to end a session
            }
            session.root_given_back(command.amount);
            Ok(session.has_no_objects())
        })
    }

    fn transact<T: Transport>(
        &self,
        connection: &mut Connection<'_, T>,
        body: &[u8],
    ) -> Result<(), Error> {
        let transaction = Transaction::decode(connection.version, body)?;
        let oneway = transaction.flags & FLAG_ONEWAY != 0;
        if transaction.address == Address::NULL {
            let reply = self.special(&connection.session, transaction.code)?;
            return if oneway {
                Ok(())
            } else {
                reply_with(connection, reply)
            };
        }
        if !transaction.address.is_valid() {
            return if oneway {
                Ok(())
            } else {
                reply_with(connection, Err(StatusCode::BAD_VALUE.into()))
            };
        }
        let known = self.sessions.with(|table| {
            let session = table.get(&connection.session).ok_or(ENDED)?;
            Ok::<_, Error>(transaction.address == Address::SERVER_ROOT && session.root_enters())
        })?;
        if !known {
            return Err(Error::Protocol(
                "the client called an object that was never sent to it",
            ));
        }
        if oneway {
            // Acknowledged with the next reply: a client that only sends one-way calls may not read for long, and writing would
            // in the end block.
            return self.execute_in_order(&connection.session, transaction);
        }
        let reply = self.execute(&transaction);
        self.acknowledge(connection)?;
        reply_with(connection, reply)
    }

    /// Transactions that the session itself answers.
    fn special(&self, session: &SessionId, code: u32) -> Result<Result<Parcel, Status>, Error> {
        let mut reply = Parcel::new();
        match code {
            wire::GET_ROOT => {
                self.sessions
                    .with(|table| table.get(session).map(|session| session.root_leaves()))
                    .ok_or(ENDED)?;
                reply.write_binder(Address::SERVER_ROOT);
            }
            wire::GET_MAX_THREADS => reply.write_u32(self.max_threads),
            wire::GET_SESSION_ID => reply.write_bytes(session),
            _ => return Ok(Err(StatusCode::UNKNOWN_TRANSACTION.into())),
        }
        Ok(Ok(reply))
    }

    fn execute(&self, transaction: &Transaction) -> Result<Parcel, Status> {
        match transaction.code {
            PING_TRANSACTION => Ok(Parcel::new()),
            EXTENSION_TRANSACTION => {
                let mut reply = Parcel::new();
                reply.write_null_binder();
                Ok(reply)
            }
            DEBUG_PID_TRANSACTION => {
                let mut reply = Parcel::new();
                reply.write_i32(self.service.process_id());
                Ok(reply)
            }
            INTERFACE_TRANSACTION => Ok(Parcel::request(self.service.descriptor())),
            FIRST_CALL_TRANSACTION..=LAST_CALL_TRANSACTION => {
                let mut data = transaction.parcel.reader();
                data.enforce_interface(self.service.descriptor())?;
                self.service.on_transact(transaction.code, &mut data)
            }
            _ => Err(StatusCode::UNKNOWN_TRANSACTION.into()),
        }
    }

    /// One-way calls run one at a time in the order of their numbers, on whichever connection they arrive.
    fn execute_in_order(&self, session: &SessionId, transaction: Transaction) -> Result<(), Error> {
        let turn = self
            .sessions
            .with(|table| table.get(session).ok_or(ENDED)?.order(transaction))?;
        let Turn::Now(mut transaction) = turn else {
            return Ok(());
        };
        loop {
            // The caller has gone on: there is nobody to tell of a failure.
            let _unseen = self.execute(&transaction);
            let next = self
                .sessions
                .with(|table| Ok::<_, Error>(table.get(session).ok_or(ENDED)?.next_in_order()))?;
            match next {
                Some(next) => transaction = next,
                None => return Ok(()),
            }
        }
    }

    /// Gives the client back the references that its calls carried; it frees its own object by them.
    fn acknowledge<T: Transport>(&self, connection: &mut Connection<'_, T>) -> Result<(), Error> {
        let (amount, over) = self.sessions.with(|table| {
            let session = table.get(&connection.session).ok_or(ENDED)?;
            Ok::<_, Error>((session.take_received(), session.has_no_objects()))
        })?;
        if amount > 0 {
            let command = DecStrong {
                address: Address::SERVER_ROOT,
                amount,
            };
            connection.transport.write_all(&command.encode())?;
        }
        match over {
            true => Err(Error::Transport(TransportError::Closed)),
            false => Ok(()),
        }
    }
}

fn reply_with<T: Transport>(
    connection: &mut Connection<'_, T>,
    reply: Result<Parcel, Status>,
) -> Result<(), Error> {
    let reply = match reply {
        Ok(parcel) => Ok(parcel),
        Err(Status::Code(StatusCode::OK)) => Err(StatusCode::UNKNOWN_ERROR), // a failure that says "fine" would desynchronise
        Err(Status::Code(code)) => Err(code),
        Err(Status::Exception(exception)) => {
            let mut parcel = Parcel::new();
            parcel.write_status(Err(&exception));
            Ok(parcel)
        }
    };
    let version = connection.version;
    let frame = match wire::encode_reply(version, reply.as_ref().map_err(|code| *code)) {
        Ok(frame) => frame,
        Err(too_large) => wire::encode_reply(version, Err(too_large))?,
    };
    connection.transport.write_all(&frame)?;
    Ok(())
}
