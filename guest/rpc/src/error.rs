//! What can end a call or a session.

use crate::status::{Exception, StatusCode};
use crate::transport::TransportError;
use core::fmt;

/// Why a call or a session failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The connection broke; the session is over.
    Transport(TransportError),
    /// The peer broke the protocol; the session is over.
    Protocol(&'static str),
    /// The call failed and the session lives.
    Status(StatusCode),
    /// The method threw and the session lives.
    Exception(Exception),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => write!(f, "Cannot talk to the RPC peer: {error}"),
            Self::Protocol(what) => write!(f, "Cannot go on with the RPC session: {what}"),
            Self::Status(code) => write!(f, "RPC call failed: {code}"),
            Self::Exception(exception) => write!(f, "RPC call failed: {exception}"),
        }
    }
}

impl core::error::Error for Error {}

impl From<TransportError> for Error {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl From<StatusCode> for Error {
    fn from(code: StatusCode) -> Self {
        Self::Status(code)
    }
}

impl From<Exception> for Error {
    fn from(exception: Exception) -> Self {
        Self::Exception(exception)
    }
}
