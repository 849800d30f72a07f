//! What the Rust code that `microbuild aidl rust` generates is built on: values in parcels, objects in calls.
//!
//! Generated code names only what is exported here. It knows nothing of sockets and threads: those are the [`Environment`]
//! of whoever serves or connects, see [`Binder::new`] and [`AidlObject`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod binder;
mod decoder;
mod encoder;
mod macros;
mod object;
mod service;
mod value;

pub use binder::{Binder, Reply, Slot};
pub use decoder::{Decoder, FieldsEnd};
pub use encoder::Encoder;
pub use microbuild_rpc::peer::Environment;
pub use microbuild_rpc::{Exception, Parcel, Status, StatusCode};
pub use object::AidlObject;
pub use service::{serve, Service, Source, GET_INTERFACE_HASH, GET_INTERFACE_VERSION};
pub use value::{Nullable, Structure, Value};

/// What generated code uses of the standard library.
pub mod lib {
    pub use alloc::boxed::Box;
    pub use alloc::string::String;
    pub use alloc::vec::Vec;
}

/// What a method gives: a value, or why there is none.
pub type Result<T> = core::result::Result<T, Status>;
/// What writing and reading values gives.
pub type ParcelResult<T> = core::result::Result<T, StatusCode>;
