//! Open Profile for DICE as Android's guests use it: who runs in this machine, and the secrets that only it gets.

#![forbid(unsafe_code)]

pub mod measurement;

pub use measurement::{ApkMeasurement, PayloadConfig, PayloadMeasurement};
