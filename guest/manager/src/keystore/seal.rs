//! Sealing: AES-256-GCM with a key and a nonce of its own for each message.
//!
//! GCM is lost when one key meets one nonce twice, and a guest has nothing to remember nonces in. Random nonces alone
//! would do within 2^32 messages, but not for a machine that is started twice from one snapshot: both go on with the
//! same random state. So a salt of 192 bits is made by a MAC over fresh random bytes *and* all that is sealed, and key
//! and nonce of the message are derived from it. Two messages share them only if they are the same message with the
//! same random bytes (then the sealed bytes are equal, which tells nothing else), or by a collision of 192 bits.
//!
//! Sealed bytes: version (1), salt (24), ciphertext, tag (16).

use aes_gcm::aead::AeadInPlace;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::keys::SealingKey;

const VERSION: u8 = 1;
const SALT_SIZE: usize = 24;
const TAG_SIZE: usize = 16;
const KEY_SIZE: usize = 32;
const NONCE_SIZE: usize = 12;
const INFO: &[u8] = b"microbuild-ks-seal-v1";
/// Random bytes for each message.
pub const FRESH_SIZE: usize = 32;
/// How much longer sealed bytes are.
pub const OVERHEAD: usize = 1 + SALT_SIZE + TAG_SIZE;

fn salt_of(
    key: &SealingKey,
    fresh: &[u8; FRESH_SIZE],
    plaintext: &[u8],
    aad: &[u8],
) -> [u8; SALT_SIZE] {
    let mut salt = [0; SALT_SIZE];
    // HMAC takes keys of any size.
    if let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(&*key.salts) {
        mac.update(fresh);
        mac.update(&(aad.len() as u64).to_be_bytes());
        mac.update(aad);
        mac.update(plaintext);
        salt.copy_from_slice(&mac.finalize().into_bytes()[..SALT_SIZE]);
    }
    salt
}

fn message_cipher(key: &SealingKey, salt: &[u8]) -> (Aes256Gcm, [u8; NONCE_SIZE]) {
    let mut material = Zeroizing::new([0; KEY_SIZE + NONCE_SIZE]);
    // It fails for outputs of more than 255 hashes only.
    let _fits = Hkdf::<Sha256>::new(Some(salt), &*key.messages).expand(INFO, &mut *material);
    let mut nonce = [0; NONCE_SIZE];
    nonce.copy_from_slice(&material[KEY_SIZE..]);
    let (cipher_key, _) = material.split_at(KEY_SIZE);
    (Aes256Gcm::new(cipher_key.into()), nonce)
}

pub fn seal(key: &SealingKey, fresh: &[u8; FRESH_SIZE], plaintext: &[u8], aad: &[u8]) -> Vec<u8> {
    let salt = salt_of(key, fresh, plaintext, aad);
    let (cipher, nonce) = message_cipher(key, &salt);
    let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD);
    sealed.push(VERSION);
    sealed.extend_from_slice(&salt);
    sealed.extend_from_slice(plaintext);
    let text = &mut sealed[1 + SALT_SIZE..];
    // It fails for texts of more than 64 GiB only; then nothing of them is left here.
    match cipher.encrypt_in_place_detached(Nonce::from_slice(&nonce), aad, text) {
        Ok(tag) => sealed.extend_from_slice(&tag),
        Err(_) => sealed.clear(),
    }
    sealed
}

/// `None` unless this key sealed these bytes with this additional data.
pub fn open(key: &SealingKey, sealed: &[u8], aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (version, rest) = sealed.split_first()?;
    if *version != VERSION || rest.len() < SALT_SIZE + TAG_SIZE {
        return None;
    }
    let (salt, rest) = rest.split_at(SALT_SIZE);
    let (ciphertext, tag) = rest.split_at(rest.len() - TAG_SIZE);
    let (cipher, nonce) = message_cipher(key, salt);
    let mut plaintext = Zeroizing::new(ciphertext.to_vec());
    cipher
        .decrypt_in_place_detached(
            Nonce::from_slice(&nonce),
            aad,
            &mut plaintext,
            Tag::from_slice(tag),
        )
        .ok()?;
    Some(plaintext)
}
