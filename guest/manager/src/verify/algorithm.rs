//! Signature algorithm ids of APK signature schemes v2 to v4.

/// How a signature is made. DSA is not read, nor are the fs-verity ids (0x04xx), whose signers always sign the chunked
/// digest too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    RsaPss,
    RsaPkcs1,
    Ecdsa,
}

/// Of the signature and of the chunked content digest. A later one is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hash {
    Sha256,
    Sha512,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Algorithm {
    pub scheme: Scheme,
    pub hash: Hash,
}

impl Algorithm {
    /// `None` for an id that this guest does not verify.
    pub fn from_id(id: u32) -> Option<Self> {
        let (scheme, hash) = match id {
            0x0101 => (Scheme::RsaPss, Hash::Sha256),
            0x0102 => (Scheme::RsaPss, Hash::Sha512),
            0x0103 => (Scheme::RsaPkcs1, Hash::Sha256),
            0x0104 => (Scheme::RsaPkcs1, Hash::Sha512),
            0x0201 => (Scheme::Ecdsa, Hash::Sha256),
            0x0202 => (Scheme::Ecdsa, Hash::Sha512),
            _ => return None,
        };
        Some(Self { scheme, hash })
    }
}
