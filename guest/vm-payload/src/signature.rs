//! ECDSA with the key of an attestation result: P-256, SHA-256, DER, RFC 6979.

use alloc::vec::Vec;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};

/// The most bytes that a signature takes: two numbers of 33 bytes with their headers.
pub const MAX_SIZE: usize = 72;

/// Signs a message with a key in DER (ECPrivateKey of RFC 5915). The error says what is wrong with the key.
pub fn sign(private_key: &[u8], message: &[u8]) -> Result<Vec<u8>, &'static str> {
    let key = p256::SecretKey::from_sec1_der(private_key).map_err(|_| "no P-256 key in DER")?;
    let signature: Signature = SigningKey::from(key).sign(message);
    Ok(signature.to_der().as_bytes().to_vec())
}
