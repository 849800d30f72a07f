//! Binder RPC, protocol 0 to 2 (Android 13 to 16): what travels over vsock and unix sockets between host, manager and payload.
//!
//! Everything here is pure: bytes come and go through [`Transport`], shared state is kept behind [`Lock`], session ids
//! are the caller's. Every size that a peer states is checked before memory is reserved for it.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod client;
pub mod error;
pub mod parcel;
pub mod peer;
mod reader;
pub mod server;
mod session;
pub mod status;
#[cfg(feature = "std")]
pub mod std_io;
pub mod transport;
pub mod wire;

pub use client::ClientSession;
pub use error::Error;
pub use parcel::Parcel;
pub use reader::ParcelReader;
pub use server::{Server, Service};
pub use session::SessionTable;
pub use status::{Exception, Status, StatusCode};
pub use transport::{Lock, Transport, TransportError};
pub use wire::{Address, SessionId};

/// First and last code that an interface may give to its own methods; codes outside belong to Binder itself.
pub const FIRST_CALL_TRANSACTION: u32 = 1;
pub const LAST_CALL_TRANSACTION: u32 = 0x00ff_ffff;
/// `_PNG`: is the object alive? Empty reply.
pub const PING_TRANSACTION: u32 = 0x5f50_4e47;
/// `_NTF`: the object's interface descriptor as a String16, with no status header.
pub const INTERFACE_TRANSACTION: u32 = 0x5f4e_5446;
/// `_EXT`: the object's extension, a binder or null.
pub const EXTENSION_TRANSACTION: u32 = 0x5f45_5854;
/// `_PID`: the process that serves the object.
pub const DEBUG_PID_TRANSACTION: u32 = 0x5f50_4944;
/// Transaction flag: the caller does not wait and gets no reply.
pub const FLAG_ONEWAY: u32 = 1;
