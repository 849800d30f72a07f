//! The serving side: one root object, any number of sessions.

use super::{Environment, Monitor, Object, Pipe, Session, Stream};
use crate::error::Error;
use crate::wire::{self, ConnectionHeader, SessionId, CONNECTION_INIT, PROTOCOL_MAX};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A peer that opens more is not served; each costs memory.
const MAX_SESSIONS: usize = 64;
/// Connections of a session on which this side calls back.
const MAX_CALLING: usize = 16;

type Sessions<O> = BTreeMap<SessionId, Arc<Session<O>>>;

/// Serves a root object. Share it between threads and call [`PeerServer::serve`] once per accepted connection.
pub struct PeerServer<O: Object> {
    root: Arc<O>,
    max_threads: u32,
    sessions: <O::Environment as Environment>::Monitor<Sessions<O>>,
}

impl<O: Object> PeerServer<O> {
    /// A server each of whose sessions may call by `max_threads` connections, at least 1.
    pub fn new(root: Arc<O>, max_threads: u32) -> Self {
        Self {
            root,
            max_threads: max_threads.clamp(1, i32::MAX as u32),
            sessions: Monitor::new(BTreeMap::new()),
        }
    }

    /// Serves one connection until its session ends, or takes it into a session and returns if this side is the one that
    /// calls by it. `fresh_id` is 32 random bytes, used if the connection asks for a new session.
    ///
    /// # Errors
    /// `Transport` and `Protocol`: what ended the connection before its time.
    pub fn serve(
        &self,
        stream: <O::Environment as Environment>::Stream,
        fresh_id: SessionId,
    ) -> Result<(), Error> {
        let header = ConnectionHeader::read(&mut Pipe(&stream))?;
        let stream = Arc::new(stream);
        match header.session {
            None => self.open(&stream, &header, fresh_id),
            Some(id) => self.join(&stream, &header, &id),
        }
    }

    /// The object that it serves.
    pub fn root(&self) -> Arc<O> {
        Arc::clone(&self.root)
    }

    /// The sessions that are alive.
    pub fn sessions(&self) -> Vec<Arc<Session<O>>> {
        self.sessions
            .with(|sessions| sessions.values().cloned().collect())
    }

    /// Ends all sessions.
    pub fn end(&self) {
        let sessions = self.sessions.with(core::mem::take);
        for session in sessions.values() {
            session.end();
        }
    }

    fn open(
        &self,
        stream: &Arc<<O::Environment as Environment>::Stream>,
        header: &ConnectionHeader,
        id: SessionId,
    ) -> Result<(), Error> {
        let version = header.version.min(PROTOCOL_MAX);
        stream.write_all(&wire::encode_new_session_response(version))?;
        if header.incoming {
            return Err(Error::Protocol(
                "a session cannot start with an incoming connection",
            ));
        }
        if header.fd_mode != 0 {
            return Err(Error::Protocol("file descriptors cannot travel here"));
        }
        wire::read_connection_init(&mut Pipe(&**stream))?;
        let session = Session::serving(version, id, Arc::clone(&self.root), self.max_threads);
        session.add_connection(stream, false)?;
        self.sessions.with(|sessions| {
            if sessions.len() >= MAX_SESSIONS {
                return Err(Error::Protocol("too many sessions"));
            }
            if sessions.contains_key(&id) {
                return Err(Error::Protocol("a session id was used twice"));
            }
            sessions.insert(id, Arc::clone(&session));
            Ok(())
        })?;
        let outcome = session.serve(stream);
        drop(self.sessions.with(|sessions| sessions.remove(&id)));
        outcome
    }

    fn join(
        &self,
        stream: &Arc<<O::Environment as Environment>::Stream>,
        header: &ConnectionHeader,
        id: &SessionId,
    ) -> Result<(), Error> {
        let session = self
            .sessions
            .with(|sessions| sessions.get(id).cloned())
            .ok_or(Error::Protocol("unknown session id"))?;
        if header.incoming {
            return match session.admit(stream, true, MAX_CALLING, &CONNECTION_INIT)? {
                true => Ok(()),
                false => Err(Error::Protocol("too many incoming connections")),
            };
        }
        // One too many, or one with a wrong start, ends the session, as since Android 16: only its own client can have sent it.
        let limit = usize::try_from(self.max_threads).unwrap_or(usize::MAX);
        let started = match session.admit(stream, false, limit, &[])? {
            true => wire::read_connection_init(&mut Pipe(&**stream)),
            false => Err(Error::Protocol(
                "more connections than GET_MAX_THREADS allows",
            )),
        };
        started.inspect_err(|_| session.end())?;
        session.serve(stream)
    }
}
