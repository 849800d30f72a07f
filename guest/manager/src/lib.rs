//! The part of the manager that decides whether a payload may run, apart from the machine it runs on.

#![forbid(unsafe_code)]

pub mod json;
pub mod payload_config;
pub mod verify;
