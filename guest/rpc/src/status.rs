//! Binder's two levels of failure: a status code (the call did not take place) and an AIDL exception (the method said no).

use alloc::string::String;
use core::fmt;

/// `status_t`: zero or a negative errno-like number, as it travels in `RpcWireReply.status`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusCode(pub i32);

impl StatusCode {
    pub const OK: Self = Self(0);
    pub const UNKNOWN_ERROR: Self = Self(i32::MIN);
    pub const BAD_TYPE: Self = Self(i32::MIN + 1);
    pub const FAILED_TRANSACTION: Self = Self(i32::MIN + 2);
    pub const FDS_NOT_ALLOWED: Self = Self(i32::MIN + 7);
    pub const UNEXPECTED_NULL: Self = Self(i32::MIN + 8);
    pub const PERMISSION_DENIED: Self = Self(-1);
    pub const NAME_NOT_FOUND: Self = Self(-2);
    pub const WOULD_BLOCK: Self = Self(-11);
    pub const NO_MEMORY: Self = Self(-12);
    pub const ALREADY_EXISTS: Self = Self(-17);
    pub const NO_INIT: Self = Self(-19);
    pub const BAD_VALUE: Self = Self(-22);
    pub const DEAD_OBJECT: Self = Self(-32);
    pub const INVALID_OPERATION: Self = Self(-38);
    pub const NOT_ENOUGH_DATA: Self = Self(-61);
    pub const UNKNOWN_TRANSACTION: Self = Self(-74);
    pub const BAD_INDEX: Self = Self(-75);
    pub const TIMED_OUT: Self = Self(-110);

    /// The constant's name, for messages.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::OK => "OK",
            Self::UNKNOWN_ERROR => "UNKNOWN_ERROR",
            Self::BAD_TYPE => "BAD_TYPE",
            Self::FAILED_TRANSACTION => "FAILED_TRANSACTION",
            Self::FDS_NOT_ALLOWED => "FDS_NOT_ALLOWED",
            Self::UNEXPECTED_NULL => "UNEXPECTED_NULL",
            Self::PERMISSION_DENIED => "PERMISSION_DENIED",
            Self::NAME_NOT_FOUND => "NAME_NOT_FOUND",
            Self::WOULD_BLOCK => "WOULD_BLOCK",
            Self::NO_MEMORY => "NO_MEMORY",
            Self::ALREADY_EXISTS => "ALREADY_EXISTS",
            Self::NO_INIT => "NO_INIT",
            Self::BAD_VALUE => "BAD_VALUE",
            Self::DEAD_OBJECT => "DEAD_OBJECT",
            Self::INVALID_OPERATION => "INVALID_OPERATION",
            Self::NOT_ENOUGH_DATA => "NOT_ENOUGH_DATA",
            Self::UNKNOWN_TRANSACTION => "UNKNOWN_TRANSACTION",
            Self::BAD_INDEX => "BAD_INDEX",
            Self::TIMED_OUT => "TIMED_OUT",
            _ => return None,
        })
    }
}

impl fmt::Debug for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "status {}", self.0),
        }
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An AIDL exception, as it stands at the head of a reply parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// One of the `EX_` codes below, never 0.
    pub code: i32,
    pub message: Option<String>,
    /// The service's own error number; on the wire for `SERVICE_SPECIFIC` only.
    pub service_specific: i32,
}

impl Exception {
    pub const SECURITY: i32 = -1;
    pub const BAD_PARCELABLE: i32 = -2;
    pub const ILLEGAL_ARGUMENT: i32 = -3;
    pub const NULL_POINTER: i32 = -4;
    pub const ILLEGAL_STATE: i32 = -5;
    pub const NETWORK_MAIN_THREAD: i32 = -6;
    pub const UNSUPPORTED_OPERATION: i32 = -7;
    pub const SERVICE_SPECIFIC: i32 = -8;
    pub const PARCELABLE: i32 = -9;
    /// Not an exception: a header to skip before a result that is fine.
    pub const HAS_REPLY_HEADER: i32 = -128;
    /// Never on the wire: the status code goes into the reply's own status word.
    pub const TRANSACTION_FAILED: i32 = -129;

    /// An exception of one of the general kinds.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: Some(message.into()),
            service_specific: 0,
        }
    }

    /// An exception with an error number that the interface defines.
    pub fn service_specific(error: i32, message: impl Into<String>) -> Self {
        Self {
            code: Self::SERVICE_SPECIFIC,
            message: Some(message.into()),
            service_specific: error,
        }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exception {}", self.code)?;
        if self.code == Self::SERVICE_SPECIFIC {
            write!(f, " (service specific {})", self.service_specific)?;
        }
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

/// How a service refuses a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Sent in the reply's status word; no parcel follows.
    Code(StatusCode),
    /// Sent as the head of a reply parcel whose status word is 0.
    Exception(Exception),
}

impl From<StatusCode> for Status {
    fn from(code: StatusCode) -> Self {
        Self::Code(code)
    }
}

impl From<Exception> for Status {
    fn from(exception: Exception) -> Self {
        Self::Exception(exception)
    }
}
