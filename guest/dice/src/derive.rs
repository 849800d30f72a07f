//! The derivations: a stage's secrets follow from the stage before it and from what was measured of it.

use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

pub const CDI_SIZE: usize = 32;
pub const HASH_SIZE: usize = 64;
const ID_SIZE: usize = 20;

/// The salts are the specification's.
const ASYM_SALT: [u8; 64] = [
    0x63, 0xb6, 0xa0, 0x4d, 0x2c, 0x07, 0x7f, 0xc1, 0x0f, 0x63, 0x9f, 0x21, 0xda, 0x79, 0x38, 0x44,
    0x35, 0x6c, 0xc2, 0xb0, 0xb4, 0x41, 0xb3, 0xa7, 0x71, 0x24, 0x03, 0x5c, 0x03, 0xf8, 0xe1, 0xbe,
    0x60, 0x35, 0xd3, 0x1f, 0x28, 0x28, 0x21, 0xa7, 0x45, 0x0a, 0x02, 0x22, 0x2a, 0xb1, 0xb3, 0xcf,
    0xf1, 0x67, 0x9b, 0x05, 0xab, 0x1c, 0xa5, 0xd1, 0xaf, 0xfb, 0x78, 0x9c, 0xcd, 0x2b, 0x0b, 0x3b,
];
const ID_SALT: [u8; 64] = [
    0xdb, 0xdb, 0xae, 0xbc, 0x80, 0x20, 0xda, 0x9f, 0xf0, 0xdd, 0x5a, 0x24, 0xc8, 0x3a, 0xa5, 0xa5,
    0x42, 0x86, 0xdf, 0xc2, 0x63, 0x03, 0x1e, 0x32, 0x9b, 0x4d, 0xa1, 0x48, 0x43, 0x06, 0x59, 0xfe,
    0x62, 0xcd, 0xb5, 0xb7, 0xe1, 0xe0, 0x0f, 0xc6, 0x80, 0x30, 0x67, 0x11, 0xeb, 0x44, 0x4a, 0xf7,
    0x72, 0x09, 0x35, 0x94, 0x96, 0xfc, 0xff, 0x1d, 0xb9, 0x52, 0x0b, 0xa5, 0x1c, 0x7b, 0x29, 0xea,
];

pub type Hash = [u8; HASH_SIZE];
pub type Cdi = Zeroizing<[u8; CDI_SIZE]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    NotConfigured = 0,
    Normal = 1,
    Debug = 2,
    Recovery = 3,
}

/// The two secrets of a stage: one that changes with its code, one that only its owner changes.
#[derive(Clone)]
pub struct Cdis {
    pub attest: Cdi,
    pub seal: Cdi,
}

/// A descriptor is hashed; a bare 64-byte value stands for itself.
#[derive(Clone, Copy)]
pub enum Config<'a> {
    Descriptor(&'a [u8]),
    Inline(&'a Hash),
}

impl Config<'_> {
    pub(crate) fn value(&self) -> Hash {
        match self {
            Self::Descriptor(descriptor) => sha512(&[descriptor]),
            Self::Inline(value) => **value,
        }
    }
}

/// What was measured of the next stage.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    pub code_hash: &'a Hash,
    pub config: Config<'a>,
    pub authority_hash: &'a Hash,
    pub mode: Mode,
    /// Takes part in the secrets and in no certificate.
    pub hidden: &'a [u8; 64],
}

pub fn sha512(parts: &[&[u8]]) -> Hash {
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// The specification's KDF, for outputs that fit one hash.
pub fn kdf<const N: usize>(key: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; N]> {
    const { assert!(N <= HASH_SIZE) }
    let mut output = Zeroizing::new([0; N]);
    // It fails for outputs of more than 255 hashes only.
    let _fits = Hkdf::<Sha512>::new(Some(salt), key).expand(info, &mut *output);
    output
}

pub fn derive_cdis(current: &Cdis, input: &Input) -> Cdis {
    let mode = [input.mode as u8];
    let (authority, hidden) = (&input.authority_hash[..], &input.hidden[..]);
    let config = input.config.value();
    let attest_salt = sha512(&[input.code_hash, &config, authority, &mode, hidden]);
    let seal_salt = sha512(&[authority, &mode, hidden]);
    Cdis {
        attest: kdf(&*current.attest, &attest_salt, b"CDI_Attest"),
        seal: kdf(&*current.seal, &seal_salt, b"CDI_Seal"),
    }
}

/// A stage's key; the root's from the UDS, which is its CDI. It is wiped when dropped.
pub fn derive_key(cdi_attest: &[u8; CDI_SIZE]) -> SigningKey {
    SigningKey::from_bytes(&kdf(cdi_attest, &ASYM_SALT, b"Key Pair"))
}

/// Names a key in certificates: 20 bytes in lower-case hex.
pub fn certificate_id(public_key: &[u8]) -> String {
    let mut id = kdf::<ID_SIZE>(public_key, &ID_SALT, b"ID");
    id[0] &= 0x7f;
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
