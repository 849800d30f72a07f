//! Open Profile for DICE as Android's guests use it: who runs in this machine, and the secrets that only it gets.
//!
//! SHA-512, HKDF-SHA-512 and Ed25519; certificates in CBOR. Everything is pure: bytes in, bytes out.

#![forbid(unsafe_code)]

pub mod cbor;
pub mod certificate;
pub mod derive;
pub mod handover;
pub mod measurement;
pub mod payload;
pub mod secret;

pub use cbor::Error;
pub use derive::{Cdis, Config, Input, Mode};
pub use handover::Handover;
pub use measurement::{ApkMeasurement, PayloadConfig, PayloadMeasurement};
pub use secret::InstanceSecret;
