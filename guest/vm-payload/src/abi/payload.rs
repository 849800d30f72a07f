//! `vm_payload.h` and `vm_payload_restricted.h`: what a payload asks of its VM.

use super::binder::{share, AIBinder};
use super::process as binder_process;
use crate::signature;
use core::ffi::{c_char, c_void, CStr};
use core::fmt::Display;
use core::ptr;
use microbuild_rpc::{Error, Exception};
use microbuild_sys::payload::process;
use microbuild_sys::payload::socket::{Listener, VMADDR_CID_HOST};
use vm_payload::manager;
use vm_payload::manager::{AttestationResult, ManagerError};
use vm_payload::server::Acceptor;

const MAX_SECRET_SIZE: usize = 32;
const MAX_CHALLENGE_SIZE: usize = 64;

/// What Android's functions without an error code do on failure.
fn or_abort<T>(result: Result<T, impl Display>, what: impl Display) -> T {
    match result {
        Ok(value) => value,
        Err(why) => process::abort(format_args!("{what}: {why}")),
    }
}

/// Memory of the caller's to read; null is nothing.
///
/// # Safety
/// `data` is null or valid for `size` bytes as long as the result is used.
unsafe fn bytes<'a>(data: *const c_void, size: usize) -> &'a [u8] {
    if data.is_null() || size == 0 {
        return &[];
    }
    // SAFETY: not null, and else what the caller promised.
    unsafe { core::slice::from_raw_parts(data.cast(), size) }
}

/// Fills memory of the caller's as far as it goes, and returns how large the whole is.
///
/// # Safety
/// `data` is null or valid for `size` bytes, none of which is part of `value`.
unsafe fn give(value: &[u8], data: *mut c_void, size: usize) -> usize {
    if !data.is_null() {
        // SAFETY: the caller's promise; no more than either holds.
        unsafe { ptr::copy_nonoverlapping(value.as_ptr(), data.cast(), value.len().min(size)) };
    }
    value.len()
}

#[no_mangle]
pub extern "C" fn AVmPayload_notifyPayloadReady() {
    or_abort(
        vm_payload::notify_payload_ready(),
        "Failed to notify payload ready",
    );
}

/// # Safety
/// `service` is an object to which the caller has a reference; `on_ready` is null or takes `param`.
#[no_mangle]
pub unsafe extern "C" fn AVmPayload_runVsockRpcServer(
    service: *mut AIBinder,
    port: u32,
    on_ready: Option<unsafe extern "C" fn(*mut c_void)>,
    param: *mut c_void,
) -> ! {
    // SAFETY: the caller's promise.
    let Some(service) = (unsafe { share(service) }) else {
        process::abort(format_args!(
            "Cannot serve on vsock port {port}: the service is null"
        ));
    };
    let what = format_args!("Cannot serve on vsock port {port}");
    let listener = or_abort(Listener::bind_vsock(port), what);
    if let Some(on_ready) = on_ready {
        // SAFETY: the caller's promise.
        unsafe { on_ready(param) };
    }
    let threads = binder_process::threads();
    let acceptor = Acceptor::new(service, listener, Some(VMADDR_CID_HOST), threads);
    or_abort(acceptor.run(), what);
    process::abort(format_args!("{what}: the server was ended"))
}

/// # Safety
/// `identifier` has `identifier_size` bytes, `secret` has room for `size`.
#[no_mangle]
pub unsafe extern "C" fn AVmPayload_getVmInstanceSecret(
    identifier: *const c_void,
    identifier_size: usize,
    secret: *mut c_void,
    size: usize,
) {
    let what = "Failed to get the instance secret";
    if size > MAX_SECRET_SIZE {
        process::abort(format_args!("{what}: {size} bytes, where 32 are the most"));
    }
    // SAFETY: the caller's promise.
    let identifier = unsafe { bytes(identifier, identifier_size) };
    let value = or_abort(manager().vm_instance_secret(identifier, size), what);
    // SAFETY: the caller's promise; the value is new memory of `size` bytes.
    unsafe { give(&value, secret, size) };
}

/// # Safety
/// `data` is null or has room for `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn AVmPayload_getDiceAttestationChain(
    data: *mut c_void,
    size: usize,
) -> usize {
    let chain = or_abort(
        manager().dice_attestation_chain(),
        "Failed to get the attestation chain",
    );
    // SAFETY: the caller's promise; the chain is new memory.
    unsafe { give(&chain, data, size) }
}

/// # Safety
/// `data` is null or has room for `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn AVmPayload_getDiceAttestationCdi(data: *mut c_void, size: usize) -> usize {
    let cdi = or_abort(
        manager().dice_attestation_cdi(),
        "Failed to get the attestation CDI",
    );
    // SAFETY: the caller's promise; the CDI is new memory.
    unsafe { give(&cdi, data, size) }
}

#[no_mangle]
pub extern "C" fn AVmPayload_getApkContentsPath() -> *const c_char {
    c"/mnt/apk".as_ptr()
}

#[no_mangle]
pub extern "C" fn AVmPayload_getEncryptedStoragePath() -> *const c_char {
    ptr::null() // no VM of ours has a writable disk
}

/// `AVmAttestationStatus`.
mod attestation_status {
    pub const OK: i32 = 0;
    pub const INVALID_CHALLENGE: i32 = -10001;
    pub const ATTESTATION_FAILED: i32 = -10002;
    pub const UNSUPPORTED: i32 = -10003;
}

/// # Safety
/// `challenge` has `size` bytes; `result` has room for a pointer.
unsafe fn request_attestation(
    challenge: *const c_void,
    size: usize,
    test: bool,
    result: *mut *mut AttestationResult,
) -> i32 {
    if size > MAX_CHALLENGE_SIZE {
        return attestation_status::INVALID_CHALLENGE;
    }
    // SAFETY: the caller's promise.
    let challenge = unsafe { bytes(challenge, size) };
    let what = "Failed to request attestation";
    match manager().request_attestation(challenge, test) {
        Ok(value) => {
            let value = alloc::boxed::Box::new(value);
            // SAFETY: the caller's promise.
            unsafe { result.write(alloc::boxed::Box::into_raw(value)) };
            attestation_status::OK
        }
        Err(why @ ManagerError::Connect(_)) => process::abort(format_args!("{what}: {why}")),
        Err(ManagerError::Call(why)) => {
            process::print_error(format_args!("{what}: {why}"));
            match why {
                Error::Exception(Exception {
                    code: Exception::UNSUPPORTED_OPERATION,
                    ..
                }) => attestation_status::UNSUPPORTED,
                _ => attestation_status::ATTESTATION_FAILED,
            }
        }
    }
}

/// # Safety
/// `challenge` has `challenge_size` bytes; `result` has room for a pointer.
#[no_mangle]
pub unsafe extern "C" fn AVmPayload_requestAttestation(
    challenge: *const c_void,
    challenge_size: usize,
    result: *mut *mut AttestationResult,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { request_attestation(challenge, challenge_size, false, result) }
}

/// # Safety
/// `challenge` has `challenge_size` bytes; `result` has room for a pointer.
#[no_mangle]
pub unsafe extern "C" fn AVmPayload_requestAttestationForTesting(
    challenge: *const c_void,
    challenge_size: usize,
    result: *mut *mut AttestationResult,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { request_attestation(challenge, challenge_size, true, result) }
}

#[no_mangle]
pub extern "C" fn AVmAttestationStatus_toString(status: i32) -> *const c_char {
    let text: &CStr = match status {
        attestation_status::OK => c"The VM is attested",
        attestation_status::INVALID_CHALLENGE => c"The challenge is larger than 64 bytes",
        attestation_status::ATTESTATION_FAILED => c"The attestation failed; it may work later",
        attestation_status::UNSUPPORTED => c"This VM cannot be attested",
        _ => c"Unknown attestation status",
    };
    text.as_ptr()
}

/// A result of the caller's, which is there by the header's word.
///
/// # Safety
/// `result` is null or a result that is not freed while the reference is used.
unsafe fn attested<'a>(result: *const AttestationResult, function: &str) -> &'a AttestationResult {
    // SAFETY: the caller's promise.
    match unsafe { result.as_ref() } {
        Some(result) => result,
        None => process::abort(format_args!("{function}: the result is null")),
    }
}

/// # Safety
/// `result` is a result that is not freed; `data` is null or has room for `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn AVmAttestationResult_getPrivateKey(
    result: *const AttestationResult,
    data: *mut c_void,
    size: usize,
) -> usize {
    // SAFETY: the caller's promise.
    let result = unsafe { attested(result, "AVmAttestationResult_getPrivateKey") };
    // SAFETY: the caller's promise.
    unsafe { give(&result.private_key, data, size) }
}

/// # Safety
/// `result` is a result that is not freed; `message` has `message_size` bytes; `data` is null or has room for `size`.
#[no_mangle]
pub unsafe extern "C" fn AVmAttestationResult_sign(
    result: *const AttestationResult,
    message: *const c_void,
    message_size: usize,
    data: *mut c_void,
    size: usize,
) -> usize {
    // SAFETY: the caller's promise.
    let result = unsafe { attested(result, "AVmAttestationResult_sign") };
    // A signature's size varies with its numbers: who asks for room is told the most that there can be.
    if size == 0 || data.is_null() {
        return signature::MAX_SIZE;
    }
    // SAFETY: the caller's promise.
    let message = unsafe { bytes(message, message_size) };
    let what = "Failed to sign with the attested key";
    let signature = or_abort(signature::sign(&result.private_key, message), what);
    // SAFETY: the caller's promise; the signature is new memory.
    match unsafe { give(&signature, data, size) } {
        whole if whole <= size => whole,
        _ => signature::MAX_SIZE,
    }
}

/// # Safety
/// `result` is a result that is not freed.
#[no_mangle]
pub unsafe extern "C" fn AVmAttestationResult_getCertificateCount(
    result: *const AttestationResult,
) -> usize {
    // SAFETY: the caller's promise.
    let result = unsafe { attested(result, "AVmAttestationResult_getCertificateCount") };
    result.certificates.len()
}

/// # Safety
/// `result` is a result that is not freed; `data` is null or has room for `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn AVmAttestationResult_getCertificateAt(
    result: *const AttestationResult,
    index: usize,
    data: *mut c_void,
    size: usize,
) -> usize {
    let function = "AVmAttestationResult_getCertificateAt";
    // SAFETY: the caller's promise.
    let certificates = unsafe { &attested(result, function).certificates };
    match certificates.get(index) {
        // SAFETY: the caller's promise.
        Some(certificate) => unsafe { give(certificate, data, size) },
        None => process::abort(format_args!(
            "{function}: there are {} certificates, and none has the index {index}",
            certificates.len()
        )),
    }
}

/// # Safety
/// `result` is null or a result that is not freed.
#[no_mangle]
pub unsafe extern "C" fn AVmAttestationResult_free(result: *mut AttestationResult) {
    if !result.is_null() {
        // SAFETY: `request_attestation` gave it away.
        drop(unsafe { alloc::boxed::Box::from_raw(result) });
    }
}

/// `AVmAccessRollbackProtectedSecretStatus`.
mod rollback_status {
    pub const ENTRY_NOT_FOUND: i32 = -1;
    pub const BAD_SIZE: i32 = -2;
    pub const ACCESS_FAILED: i32 = -3;
}

/// The size of what is kept; always written and read whole.
const ROLLBACK_PROTECTED_SIZE: i32 = 32;

/// # Safety
/// `data` has `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn AVmPayload_writeRollbackProtectedSecret(
    data: *const c_void,
    size: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    let Some(secret) = unsafe { bytes(data, size) }.first_chunk() else {
        return rollback_status::BAD_SIZE;
    };
    match manager().write_rollback_protected(secret) {
        Ok(()) => ROLLBACK_PROTECTED_SIZE,
        Err(why) => {
            process::print_error(format_args!("Failed to write the secret: {why}"));
            rollback_status::ACCESS_FAILED
        }
    }
}

/// # Safety
/// `data` is null or has room for `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn AVmPayload_readRollbackProtectedSecret(
    data: *mut c_void,
    size: usize,
) -> i32 {
    match manager().read_rollback_protected() {
        Ok(Some(secret)) => {
            // SAFETY: the caller's promise; the secret is our own memory.
            unsafe { give(&secret, data, size) };
            ROLLBACK_PROTECTED_SIZE
        }
        Ok(None) => rollback_status::ENTRY_NOT_FOUND,
        Err(why) => {
            process::print_error(format_args!("Failed to read the secret: {why}"));
            rollback_status::ACCESS_FAILED
        }
    }
}

#[no_mangle]
pub extern "C" fn AVmPayload_isNewInstance() -> bool {
    or_abort(
        manager().is_new_instance(),
        "Failed to ask whether the instance is new",
    )
}
