//! Keys, each derived from the instance's secret and from all that tells it apart.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Verifier;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::spec::{Algorithm, KeySpec};
use super::Refusal;
use crate::secrets::Secrets;

/// Tells these keys from whatever else is derived, and this way of deriving from a later one.
const SALT: &[u8] = b"microbuild-ks-v1";
/// In the place of an algorithm: secret bytes for the payload's own use.
const RAW: u8 = 0;
const SEED_SIZE: usize = 32;
/// RFC 8410 and RFC 5480: what stands before the key in a SubjectPublicKeyInfo.
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 3, 1, 7, 3, 0x42, 0,
];
/// The order of P-256 is just below 2^256: all candidates are out of range once in 2^128 keys.
const P256_CANDIDATES: usize = 4;

/// The first `size` bytes are the secret; each size has another one. At most 64.
pub fn derive_secret(secrets: &Secrets, alias: &str, size: usize) -> Zeroizing<[u8; 64]> {
    let size = (size as u32).to_be_bytes();
    secrets.derive_for_signers(SALT, [&[RAW], &size, alias.as_bytes()])
}

fn derive_seed<const N: usize>(secrets: &Secrets, spec: &KeySpec) -> Zeroizing<[u8; N]> {
    let version = spec.version.to_be_bytes();
    let info: [&[u8]; 3] = [&[spec.algorithm as u8], &version, spec.alias.as_bytes()];
    secrets.derive_for_signers(SALT, info)
}

pub struct MacKey(Zeroizing<[u8; SEED_SIZE]>);

impl MacKey {
    fn over(&self, message: &[u8]) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any size.
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&*self.0).ok()?;
        mac.update(message);
        Some(mac)
    }

    pub fn mac(&self, message: &[u8]) -> Vec<u8> {
        self.over(message)
            .map(|mac| mac.finalize().into_bytes().to_vec())
            .unwrap_or_default()
    }
}

/// What seals: a key to choose nonces with and one to derive message keys from.
pub struct SealingKey {
    pub salts: Zeroizing<[u8; SEED_SIZE]>,
    pub messages: Zeroizing<[u8; SEED_SIZE]>,
}

pub enum Key {
    Ed25519(Box<SigningKey>),
    P256(Box<p256::ecdsa::SigningKey>),
    Mac(MacKey),
    Sealing(SealingKey),
}

impl Key {
    pub fn derive(secrets: &Secrets, spec: &KeySpec) -> Result<Self, Refusal> {
        Ok(match spec.algorithm {
            Algorithm::Ed25519 => {
                let seed = derive_seed::<SEED_SIZE>(secrets, spec);
                Self::Ed25519(Box::new(SigningKey::from_bytes(&seed)))
            }
            Algorithm::EcdsaP256 => {
                let seed = derive_seed::<{ SEED_SIZE * P256_CANDIDATES }>(secrets, spec);
                // FIPS 186-5 A.2.2: the first candidate that is a private key.
                let key = seed
                    .chunks_exact(SEED_SIZE)
                    .find_map(|candidate| p256::ecdsa::SigningKey::from_slice(candidate).ok());
                Self::P256(Box::new(key.ok_or(Refusal::BadVersion)?))
            }
            Algorithm::HmacSha256 => Self::Mac(MacKey(derive_seed(secrets, spec))),
            Algorithm::Aes256Gcm => {
                let seed = derive_seed::<{ SEED_SIZE * 2 }>(secrets, spec);
                let mut key = SealingKey {
                    salts: Zeroizing::default(),
                    messages: Zeroizing::default(),
                };
                key.salts.copy_from_slice(&seed[..SEED_SIZE]);
                key.messages.copy_from_slice(&seed[SEED_SIZE..]);
                Self::Sealing(key)
            }
        })
    }

    /// DER SubjectPublicKeyInfo; `None` for a symmetric key.
    pub fn public_key(&self) -> Option<Vec<u8>> {
        match self {
            Self::Ed25519(key) => {
                Some([&ED25519_SPKI[..], key.verifying_key().as_bytes()].concat())
            }
            Self::P256(key) => {
                let point = key.verifying_key().to_encoded_point(false);
                Some([&P256_SPKI[..], point.as_bytes()].concat())
            }
            Self::Mac(_) | Self::Sealing(_) => None,
        }
    }

    /// Deterministic, both of them: RFC 8032, RFC 6979.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::Ed25519(key) => Ok(key.sign(message).to_bytes().to_vec()),
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                Ok(signature.to_der().as_bytes().to_vec())
            }
            Self::Mac(_) | Self::Sealing(_) => Err(Refusal::BadAlgorithm),
        }
    }

    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<bool, Refusal> {
        match self {
            Self::Ed25519(key) => Ok(is_ed25519(&key.verifying_key(), message, signature)),
            Self::P256(key) => Ok(is_p256(key.verifying_key(), message, signature)),
            Self::Mac(key) => Ok(key
                .over(message)
                .is_some_and(|mac| mac.verify_slice(signature).is_ok())),
            Self::Sealing(_) => Err(Refusal::BadAlgorithm),
        }
    }
}

pub(super) fn is_ed25519(key: &VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    Signature::from_slice(signature)
        .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
}

/// The signature in DER, in its one form.
pub(super) fn is_p256(key: &p256::ecdsa::VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    p256::ecdsa::Signature::from_der(signature)
        .is_ok_and(|signature| key.verify(message, &signature).is_ok())
}
