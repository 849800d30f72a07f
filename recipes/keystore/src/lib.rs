//! The payload: what the VM's keystore does, for the host.

#![no_std]

extern crate alloc;

mod aidl;

use crate::aidl::dev::microbuild::recipes::keystore::{BnKeystore, IKeystore};
use crate::aidl::dev::microbuild::keystore::{
    Algorithm, BpMicrobuildKeystore, IMicrobuildKeystore, KeySpec,
};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use vm_payload::aidl::{Exception, Result, Status};

const PORT: u32 = 5678;
const SECRET_SIZE: i32 = 32;

struct Payload;

/// A failure of the VM's own services, for the caller.
fn unavailable(error: impl ToString) -> Status {
    Exception::new(Exception::ILLEGAL_STATE, error.to_string()).into()
}

/// Only this payload can reach it; what it derives depends on the instance, on who signed the payload, and on the alias.
fn keystore() -> Result<BpMicrobuildKeystore> {
    let root = vm_payload::connect_unix("microbuild_keystore").map_err(unavailable)?;
    Ok(BpMicrobuildKeystore::from(root))
}

/// A next version is a new key under the same alias.
fn signing_key() -> KeySpec {
    KeySpec {
        alias: "signing".into(),
        algorithm: Algorithm::ED25519,
        version: 1,
    }
}

impl IKeystore for Payload {
    fn derive(&self, purpose: &str) -> Result<Vec<u8>> {
        keystore()?.deriveKey(&format!("derive-{purpose}"), SECRET_SIZE)
    }

    fn publicKey(&self) -> Result<Vec<u8>> {
        keystore()?.getPublicKey(&signing_key())
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        keystore()?.sign(&signing_key(), message)
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<bool> {
        keystore()?.verify(&signing_key(), message, signature)
    }

    fn prove(&self, text: &str) -> Result<String> {
        let signature = self.sign(text.as_bytes())?;
        if !self.verify(text.as_bytes(), &signature)? {
            return Err(unavailable("the signature does not verify"));
        }
        Ok(signature.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn main() -> i32 {
    let payload = vm_payload::new_binder(BnKeystore(Payload));
    vm_payload::run_vsock_rpc_server(&payload, PORT, || {
        vm_payload::log!("keystore: serving on vsock port {PORT}");
        if let Err(error) = vm_payload::notify_payload_ready() {
            vm_payload::abort(format_args!("{error}"));
        }
    })
}

vm_payload::vm_main!(main);
