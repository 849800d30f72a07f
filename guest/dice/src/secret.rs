//! The secret of an instance, from which everything is derived that its payload may ask for.

use hkdf::Hkdf;
use sha2::{Digest, Sha256, Sha512};
use zeroize::{Zeroize, Zeroizing};

use crate::derive::Cdi;

/// Android's, for getVmInstanceSecret.
const SALT_PAYLOAD_SERVICE: [u8; 32] = [
    0x8b, 0x0f, 0xf0, 0xd3, 0xb1, 0x69, 0x2b, 0x95, 0x84, 0x2c, 0x9e, 0x3c, 0x99, 0x56, 0x7a, 0x22,
    0x55, 0xf8, 0x08, 0x23, 0x81, 0x5f, 0xf5, 0x16, 0x20, 0x3e, 0xbe, 0xba, 0xb7, 0xa8, 0x43, 0x92,
];
/// Where Android has a random secret of Secretkeeper's; a machine that is not protected has zeros.
const NO_SECRETKEEPER: [u8; 32] = [0; 32];
/// The longest secret that a payload may ask for.
pub const SECRET_SIZE_MAX: usize = 32;

pub struct InstanceSecret(Zeroizing<[u8; 32]>);

impl InstanceSecret {
    /// Android's second version: what Secretkeeper would keep takes part.
    pub fn new(cdi_seal: &Cdi) -> Self {
        let mut hash = Sha256::new();
        hash.update(**cdi_seal);
        hash.update(NO_SECRETKEEPER);
        let mut digest = hash.finalize();
        let secret = Zeroizing::new(digest.into());
        digest.zeroize();
        Self(secret)
    }

    /// What getVmInstanceSecret answers. At most [`SECRET_SIZE_MAX`] bytes; a shorter one is the start of the longest.
    pub fn payload_secret(&self, identifier: &[u8], size: usize) -> Zeroizing<Vec<u8>> {
        let mut secret = Zeroizing::new(vec![0; size.min(SECRET_SIZE_MAX)]);
        // It fails for outputs of more than 255 hashes only.
        let _fits = Hkdf::<Sha256>::new(Some(&SALT_PAYLOAD_SERVICE), &*self.0)
            .expand(identifier, &mut secret);
        secret
    }

    /// A secret for another use, told apart by its salt. At most 16320 bytes, which the caller sees to.
    pub fn derive<const N: usize>(&self, salt: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; N]> {
        const { assert!(N <= 255 * 64) }
        let mut output = Zeroizing::new([0; N]);
        let _fits = Hkdf::<Sha512>::new(Some(salt), &*self.0).expand_multi_info(info, &mut *output);
        output
    }
}
