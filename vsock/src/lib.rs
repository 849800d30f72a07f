//! The host's end of vsock, as a process beside QEMU (vhost-user): every port is a Unix socket.
//!
//! `frontend` speaks with QEMU, `memory` and `ring` with the guest, `stream` and `streams` carry the
//! connections, `server` waits for all of them. All `unsafe` code is in `sys`.

#![deny(unsafe_code)]

pub mod credit;
pub mod frontend;
pub mod greeting;
pub mod memory;
pub mod packet;
pub mod parts;
pub mod ring;
pub mod server;
pub mod slots;
pub mod stream;
pub mod streams;
#[allow(unsafe_code)]
pub mod sys;
pub mod waiting;
