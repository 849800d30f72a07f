//! The payload: an object by AIDL, served to the host.

#![no_std]

extern crate alloc;

mod aidl;

use crate::aidl::__package_module__::{Bn__Name__, I__Name__};
use alloc::format;
use alloc::string::String;
use vm_payload::aidl::{Exception, Result};

const PORT: u32 = 5678;

struct Payload;

impl I__Name__ for Payload {
    fn add(&self, left: i32, right: i32) -> Result<i32> {
        left.checked_add(right)
            .ok_or_else(|| Exception::new(Exception::ILLEGAL_ARGUMENT, "The sum does not fit").into())
    }

    fn greet(&self, name: &str) -> Result<String> {
        if name.is_empty() {
            return Err(Exception::new(Exception::ILLEGAL_ARGUMENT, "The name is empty").into());
        }
        Ok(format!("Hello, {name}! This is Rust in a verified micro-VM."))
    }
}

fn main() -> i32 {
    let payload = vm_payload::new_binder(Bn__Name__(Payload));
    vm_payload::run_vsock_rpc_server(&payload, PORT, || {
        vm_payload::log!("__name__: serving on vsock port {PORT}");
        if let Err(error) = vm_payload::notify_payload_ready() {
            vm_payload::abort(format_args!("{error}"));
        }
    })
}

vm_payload::vm_main!(main);
